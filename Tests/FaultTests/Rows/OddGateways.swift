import Foundation
import TestSupport
import Testing

extension FaultTests {
    /// Gateways that differ from the others.
    @Suite("Odd gateways", .serialized)
    struct OddGateways {
        @Test("The clocks of gateways are two minutes wrong: order, times and duplicates are right all the same")
        func clocks() async throws {
            let library = try Self.faketime()
            try await RedisServer.run { redis in
                let folder = try ScratchFolder("clocks")
                defer { folder.remove() }
                var gateways: [GatewayProcess] = []
                for (number, shift) in ["-120s", "+0s", "+120s"].enumerated() {
                    // Where FAKETIME_SHARED is missing the library sets it, and so moves the environment, next to which
                    // Swift looks for the arguments.
                    let environment = [
                        "LD_PRELOAD": library, "FAKETIME": shift, "FAKETIME_DONT_FAKE_MONOTONIC": "1",
                        "FAKETIME_SHARED": "/roost-none /roost-none",
                    ]
                    gateways.append(
                        try await GatewayProcess.start(
                            node: "clock-\(number)", redis: redis.url, environment: environment, folder: folder.url))
                }
                do {
                    try await exchange(gateways)
                } catch {
                    for gateway in gateways { print("---- \(gateway.node)\n\(gateway.output)") }
                    for gateway in gateways { await gateway.kill() }
                    throw error
                }
                for gateway in gateways { await gateway.kill() }
            }
            try FaultTable.shared.add(
                .init(section: .gateways, fault: "the clocks of gateways are two minutes wrong", seen: "nothing"))
        }

        private func exchange(_ gateways: [GatewayProcess]) async throws {
            var guests: [Guest] = []
            for (number, gateway) in gateways.enumerated() {
                try await gateway.ready()
                guests.append(try await Guest.connect("user-\(number)", to: gateway, in: "clocks"))
            }
            let before = Date.now.timeIntervalSince1970 * 1_000
            var positions: [String] = []
            for number in 0..<30 {
                positions.append(try await guests[number % 3].store("tick", in: "clocks", id: "tick-\(number)"))
            }
            // Again over another gateway, by the same user: the first copy counts.
            let again = try await Guest.connect("user-0", to: gateways[2], in: "clocks")
            try await again.send(
                #"{"type":"message","id":"tick-0","room":"clocks","text":"tick","retry":true}"#)
            let ack = try await again.event("an ack") { $0.type == "ack" && $0.id == "tick-0" }
            #expect(ack.duplicate == true)
            #expect(ack.position == positions[0])
            for guest in guests {
                try await guest.pastOrNext("the last tick") { $0.type == "message" && $0.id == "tick-29" }
                let messages = guest.events.filter { $0.type == "message" }
                #expect(messages.map(\.position) == positions)
                #expect(messages.map(\.id) == (0..<30).map { "tick-\($0)" })
                for message in messages { #expect(abs((message.time ?? 0) - before) < 60_000) }
            }
            // Presence goes by the clock of Redis: nobody is declared dead.
            try await pause(.seconds(6))
            #expect(guests[1].events.filter { $0.type == "user_left" }.isEmpty)
            for gateway in gateways {
                let guest = try await Guest.connect("asks", port: gateway.port)
                try await guest.send(#"{"type":"members","id":"who","room":"clocks"}"#)
                let members = try await guest.event("members") { $0.id == "who" }.members
                #expect(members == ["user-0", "user-1", "user-2"])
                try await guest.close()
            }
        }

        private static func faketime() throws -> String {
            for folder in (try? FileManager.default.contentsOfDirectory(atPath: "/usr/lib")) ?? [] {
                let library = "/usr/lib/\(folder)/faketime/libfaketime.so.1"
                if FileManager.default.fileExists(atPath: library) { return library }
            }
            throw ProgramFailure(description: "faketime is not installed; deploy/test installs what the tests need")
        }

        @Test("A Redis that may throw away messages when it is full is refused, and the reason is told")
        func eviction() async throws {
            var options = RedisServer.Options()
            options.arguments = ["--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru"]
            try await RedisServer.run(options) { redis in
                let folder = try ScratchFolder("eviction")
                defer { folder.remove() }
                let gateway = try GatewayProcess.command(
                    [
                        "serve", "--redis", redis.url, "--listen", "127.0.0.1:0", "--ops-listen", "127.0.0.1:0",
                    ], folder: folder.url)
                let ending = try await eventually("it ends") { gateway.endingSoFar }
                #expect(ending == .exited(1))
                #expect(gateway.output.contains("maxmemory-policy allkeys-lru"))
                #expect(gateway.output.contains("noeviction"))
            }
            try FaultTable.shared.add(
                .init(
                    section: .store, fault: "Redis may throw away messages when it is full (`allkeys-lru`)",
                    seen: "the gateway does not start, and says why"))
        }
    }
}

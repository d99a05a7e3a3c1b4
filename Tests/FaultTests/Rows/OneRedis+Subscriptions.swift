import NIOCore
import TestSupport
import Testing

/// What happens to publications on their way to gateways.
extension FaultTests.OneRedis {
    @Test("Publications are lost while others follow: read from the log at once")
    func holes() async throws {
        let proxies = try proxies
        let traffic = try await Row(
            section: .publications, fault: "publications are lost, later ones arrive",
            seen: "nothing; they come a moment later"
        ).run { _, traffic in
            for round in 0..<10 {
                for (proxy, room) in zip(proxies, traffic.rooms) {
                    proxy.lose(round % 3 + 1, of: "roost:{\(room)}")
                }
                try await pause(.milliseconds(150))
            }
        }
        #expect(proxies.map(\.lost).reduce(0, +) >= 30)
        #expect(traffic.lags.max() ?? .zero < .seconds(3))
    }

    @Test("One publication is lost, and the next one shows it: repaired at once")
    func lostOne() async throws {
        let (stage, proxy) = (try stage, try proxies[1])
        try await stage.makeWhole()
        let room = "lost-one-\(stage.nextNumber())"
        let alice = try await Guest.connect("alice", to: stage.gateways[0], in: room)
        let bob = try await Guest.connect("bob", to: stage.gateways[1], in: room)
        var times: [Duration] = []
        for number in 1...20 {
            let lost = proxy.lost
            proxy.lose(1, of: "roost:{\(room)}")
            _ = try await alice.store("lost", in: room, id: "\(room)-lost-\(number)")
            async let found = {
                try await bob.event("the lost message") { $0.id == "\(room)-lost-\(number)" }
                return ContinuousClock.now
            }()
            _ = try await alice.store("shows it", in: room, id: "\(room)-shows-\(number)")
            let shown = ContinuousClock.now
            times.append(try await found - shown)
            #expect(proxy.lost == lost + 1)
        }
        let ids = (1...20).flatMap { ["\(room)-lost-\($0)", "\(room)-shows-\($0)"] }
        try await bob.pastOrNext("the last message") { $0.id == ids.last }
        #expect(bob.events.filter { $0.type == "message" }.map(\.id) == ids)
        let slowest = times.max() ?? .zero
        print("fault: a publication is lost, the next one arrives: 20 times repaired after at most \(slowest)")
        #expect(slowest < .seconds(2))
        try await alice.close()
        try await bob.close()
    }

    @Test("The last publication of a room is lost: found without another message")
    func lostLast() async throws {
        let (stage, proxy) = (try stage, try proxies[1])
        try await stage.makeWhole()
        let room = "lost-last-\(stage.nextNumber())"
        let alice = try await Guest.connect("alice", to: stage.gateways[0], in: room)
        let bob = try await Guest.connect("bob", to: stage.gateways[1], in: room)
        for number in 1...5 { _ = try await alice.store("before", in: room, id: "\(room)-\(number)") }
        try await bob.event("the messages before") { $0.id == "\(room)-5" }

        let lost = proxy.lost
        proxy.lose(1, of: "roost:{\(room)}")
        let position = try await alice.store("last", in: room, id: "\(room)-last")
        let stored = ContinuousClock.now
        let found = try await bob.event("the lost message", within: .seconds(15)) { $0.id == "\(room)-last" }
        let time = ContinuousClock.now - stored
        try FaultTable.shared.add(
            .init(
                section: .publications, fault: "the last publication of a room is lost",
                seen: "nothing; it comes a little later", silence: time))
        #expect(found.position == position)
        #expect(proxy.lost == lost + 1)
        #expect(time < .seconds(4))
        #expect(bob.events.filter { $0.type == "gap" || $0.type == "rewind" }.isEmpty)
        try await alice.close()
        try await bob.close()
    }

    @Test("The output buffer of a subscription overflows: Redis cuts it, and its rooms are repaired")
    func outputBuffer() async throws {
        let (redis, proxy) = (try redis, try proxies[1])
        try await redis.command("CONFIG", "SET", "client-output-buffer-limit", "pubsub 256kb 128kb 1")
        try await Row(
            section: .publications, fault: "the output buffer of a subscription overflows", seen: "nothing"
        ).run { _, traffic in
            proxy.change { $0.holdsPublications = true }
            // What is published there is no message of ours, but it piles up.
            for _ in 0..<6 {
                try await redis.command(
                    "EVAL", "for i = 1, 64 do redis.call('PUBLISH', KEYS[1], string.rep('x', 65536)) end", "1",
                    "roost:{\(traffic.rooms[0])}")
            }
            try await eventually("Redis has cut the subscription") {
                let closed = "scheduled to be closed ASAP for overcoming of output buffer limits"
                return redis.output.contains(closed) ? true : nil
            }
            proxy.clear()
            traffic.healed()
        }
    }

    /// CLIENT KILL TYPE.
    enum Connections: String, CaseIterable {
        case pubsub, normal

        var row: Row {
            switch self {
            case .pubsub:
                Row(
                    section: .publications, fault: "the subscriptions are killed every half second", seen: "nothing")
            case .normal:
                Row(
                    section: .publications, fault: "connections for commands to Redis are killed every half second",
                    seen: "`unavailable` to a few")
            }
        }
    }

    @Test("Connections to Redis are killed every half second for 2 s", arguments: Connections.allCases)
    func killedConnections(_ type: Connections) async throws {
        let redis = try redis
        try await type.row.run { _, traffic in
            for _ in 0..<4 {
                try await redis.command("CLIENT", "KILL", "TYPE", type.rawValue)
                try await pause(.milliseconds(500))
            }
            traffic.healed()
        }
    }

    @Test("A subscription is connected but deaf: noticed and replaced")
    func deaf() async throws {
        let proxy = try proxies[1]
        try await Row(
            section: .publications, fault: "a subscription is connected but deaf", seen: "nothing"
        ).run { _, traffic in
            #expect(proxy.deafen() >= 1)
            try await pause(.seconds(4))
        }
    }
}

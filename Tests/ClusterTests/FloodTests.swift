import NIOCore
import TestSupport
import Testing

extension ClusterTests {
    /// Who sends more than is good for a node pays with its own connection, and nobody else notices.
    @Suite("Floods")
    struct FloodTests {
        /// A gateway, and two who talk through it while `attack` runs.
        private func besides(
            _ arguments: [String] = [], attack: @escaping @Sendable (GatewayProcess) async throws -> Void
        ) async throws {
            try await Cluster.run(nodes: 1, arguments: arguments) { cluster in
                let node = cluster.nodes[0]
                let alice = try await Guest.connect("alice", to: node, in: "calm")
                let bob = try await Guest.connect("bob", to: node, in: "calm")
                let talk = Task {
                    var said = 0
                    repeat {
                        said += 1
                        try await alice.post("hello \(said)", to: "calm", id: "\(said)")
                        try await bob.event("hello \(said)", within: .seconds(2)) { $0.text == "hello \(said)" }
                        // Within what one member may say.
                        try? await pause(.milliseconds(10))
                    } while !Task.isCancelled
                    return said
                }
                do {
                    try await attack(node)
                } catch {
                    talk.cancel()
                    throw error
                }
                talk.cancel()
                #expect(try await talk.value > 0)
                for guest in [alice, bob] { try await guest.catchUp() }
            }
        }

        private static func count(_ name: String, at node: GatewayProcess) async throws -> Int {
            let lines = try await node.ops("/metrics").body.split(separator: "\n")
            return lines.first { $0.hasPrefix(name + " ") }?.split(separator: " ").last.flatMap { Int($0) } ?? 0
        }

        private static func bytes(_ frame: RawWebSocket.Frame, times count: Int) -> [UInt8] {
            let one = Array(frame.bytes.readableBytesView)
            return Array((0..<count).map { _ in one }.joined())
        }

        @Test(
            "Pings and tiny frames are read no faster than a client may send",
            arguments: [
                RawWebSocket.Frame(firstByte: 0x89, payload: []), .init(firstByte: 0x8A, payload: [1]), .text("x"),
            ])
        func tinyFrames(frame: RawWebSocket.Frame) async throws {
            try await besides { node in
                let mallory = try await Guest.connect("mallory", port: node.port)
                let flood = Task { try? await mallory.socket.send(bytes: Self.bytes(frame, times: 300_000)) }
                try await eventually("mallory has to wait") {
                    try await Self.count("roost_paced_reads_total", at: node) > 0 ? true : nil
                }
                // 2,000 at once, 1,000 a second, and what one burst of reads may bring beyond.
                #expect(try await Self.count("roost_frames_received_total", at: node) < 100_000)
                await mallory.socket.cut()
                _ = await flood.value
            }
        }

        @Test("A message in fragments without end is ended with 1009")
        func fragments() async throws {
            try await besides { node in
                let mallory = try await Guest.connect("mallory", port: node.port)
                let first = RawWebSocket.Frame(firstByte: 0x01, payload: []).bytes.readableBytesView
                let more = Self.bytes(.init(firstByte: 0x00, payload: []), times: 1500)
                try await mallory.socket.send(bytes: Array(first) + more)
                #expect(try await mallory.closeCode() == 1009)
                await mallory.socket.cut()
            }
        }

        @Test("Connections that say nothing, or half of something, are ended")
        func halfHandshakes() async throws {
            try await besides(["--handshake-timeout", "0.5"]) { node in
                for words in [
                    "", "GET /ws?user=mallory HTTP/1.1\r\nHost: x\r\nX-", "POST /rooms/a/messages HTTP/1.1\r\n",
                    "POST /rooms/a/messages?user=mallory HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{",
                ] {
                    let connection = try await RawConnection.connect(host: "127.0.0.1", port: node.port)
                    if !words.isEmpty { try await connection.send(words) }
                    let answer = try await connection.receive("the end") { try HTTPProbe.parse(&$0) }
                    #expect(answer == nil || answer?.status == 408, "\(words)")
                    await connection.close()
                }
            }
        }

        @Test("Who keeps connections after answers takes the places of those who say nothing, and no others")
        func keptConnections() async throws {
            try await GatewayProcess.run(["--max-pending-handshakes-per-address", "2"]) { node in
                func ask(_ connection: RawConnection) async throws -> Int? {
                    try await connection.send("GET /icon.svg HTTP/1.1\r\nHost: x\r\n\r\n")
                    return try await connection.receive("an answer") { try HTTPProbe.parse(&$0) }?.status
                }
                func areKept(_ count: Int) async throws {
                    try await eventually("\(count) are kept") {
                        try await node.metric("roost_pending_handshakes") == count ? true : nil
                    }
                }
                var kept: [RawConnection] = []
                for number in 1...2 {
                    let connection = try await RawConnection.connect(host: "127.0.0.1", port: node.port)
                    #expect(try await ask(connection) == 200)
                    kept.append(connection)
                    try await areKept(number)
                }
                let third = try await RawConnection.connect(host: "127.0.0.1", port: node.port)
                #expect(try await third.receive("the end") { try HTTPProbe.parse(&$0) } == nil)
                #expect(try await node.metric("roost_dropped_handshakes_total") == 1)
                // They may go on, and one that goes makes room.
                #expect(try await ask(kept[0]) == 200)
                try await areKept(2)
                await kept[1].close()
                try await areKept(1)
                let alice = try await Guest.connect("alice", port: node.port)
                try await areKept(1)
                try await alice.catchUp()
                for connection in kept + [third] { await connection.close() }
                await alice.socket.cut()
                try await areKept(0)
            }
        }

        @Test("A client that goes without a word, and one that hears without answering, are ended")
        func halfOpen() async throws {
            try await besides(["--heartbeat", "0.5"]) { node in
                let mallory = try await Guest.connect("mallory", port: node.port)
                #expect(try await mallory.closeCode() == 1001)
                await mallory.socket.cut()
            }
        }

        @Test("With few descriptors left newcomers are turned away; the node says that it lives, and goes on serving")
        func descriptors() async throws {
            let folder = try ScratchFolder("descriptors")
            defer { folder.remove() }
            let node = try await GatewayProcess.start(
                node: "small", redis: nil, arguments: ["--handshake-timeout", "60"], folder: folder.url,
                descriptors: 256)
            let alice = try await Guest.connect("alice", to: node, in: "calm")
            var crowd: [RawConnection] = []
            for _ in 0..<300 { crowd.append(try await RawConnection.connect(host: "127.0.0.1", port: node.port)) }
            try await eventually("some were turned away") {
                try await Self.count("roost_dropped_handshakes_total", at: node) >= 100 ? true : nil
            }
            #expect(try await node.ops("/healthz").status == 200)
            #expect(node.openFiles < 256)
            try await alice.post("still here", to: "calm", id: "1")
            try await alice.event("ack") { $0.type == "ack" }
            for connection in crowd { await connection.close() }
            try await eventually("somebody new comes in") {
                try? await Guest.connect("bob", port: node.port)
            }
            #expect(!node.output.contains("accepting pauses"))
            await node.kill()
        }
    }
}

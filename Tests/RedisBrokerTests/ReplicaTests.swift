import ChatHub
import ChatProtocol
import NIOCore
import TestSupport
import Testing

@testable import RedisBroker

@Suite("Acknowledging what replicas have")
struct ReplicaTests {
    @Test func aMessageIsAcknowledgedWhenSoManyReplicasHaveIt() async throws {
        try await withBrokers(1, configured: { $0.ackReplicas = 1 }) { primary, brokers in
            var options = RedisServer.Options()
            options.arguments = ["--replicaof", "127.0.0.1 \(primary.port)"]
            try await RedisServer.run(options) { replica in
                try await eventually("the replica is connected") {
                    try await primary.command("INFO", "replication").contains("state=online") ? true : nil
                }
                let node = brokers[0].node
                let receipts = try await node.append((1...20).map { .test("\($0)", id: "\($0)") }, to: room())
                #expect(receipts.map(\.position.seq) == Array(1...20))
                #expect(try await replica.command("XLEN", "roost:{room}:log") == "20")
            }
        }
    }

    @Test func withoutEnoughReplicasNobodyKnowsWhetherItIsSafeAndARetryTells() async throws {
        let swift: (inout RedisBrokerConfiguration) -> Void = {
            $0.ackReplicas = 1
            $0.commandTimeout = .milliseconds(400)
        }
        try await withBrokers(1, configured: swift) { primary, brokers in
            let node = brokers[0].node
            let error = await #expect(throws: BrokerError.self) {
                _ = try await node.append(.test("1", id: "x"), to: room())
            }
            #expect(error?.code == .unavailable)
            #expect(error?.message.contains("0 replicas") == true)

            var options = RedisServer.Options()
            options.arguments = ["--replicaof", "127.0.0.1 \(primary.port)"]
            try await RedisServer.run(options) { _ in
                try await eventually("the replica is connected") {
                    try await primary.command("INFO", "replication").contains("state=online") ? true : nil
                }
                let retry = try await node.append(.test("1", id: "x", isRetry: true), to: room())
                #expect(retry.isDuplicate)
            }
        }
    }

    @Test func aRestartedRedisBeginsNoEpochBeforeItHasSettled() async throws {
        let patient: (inout RedisBrokerConfiguration) -> Void = {
            $0.settlingTime = .milliseconds(600)
            $0.backoff.maximum = .milliseconds(100)
        }
        var options = RedisServer.Options()
        options.isPersistent = false
        try await withBrokers(2, options, configured: patient) { server, brokers in
            let (hasty, holder) = (brokers[0], brokers[1])
            let receipts = try await hasty.node.append((1...3).map { .test("\($0)") }, to: room())
            let held = try await holder.node.read(room(), after: .zero).entries
            await server.kill()
            for broker in brokers { _ = try await broker.isUnavailable() }
            try await server.restart()
            for broker in brokers { try await broker.isAvailable(times: 2) }
            #expect(hasty.listener.events.contains(.storeReplaced))

            // Who sends at once waits; who has the messages gives them back meanwhile.
            async let next = hasty.node.append(.test("next"), to: room())
            #expect(try await holder.node.restore(held, to: room()) == .restored)
            let position = try await next.position
            #expect(position.epoch > receipts[0].position.epoch)
            let log = try await holder.node.read(room(), after: .zero).entries
            #expect(log.map(\.position) == receipts.map(\.position) + [position])
        }
    }

    @Test func whatNobodyWasThereToHearIsGivenBackByWhoStoredIt() async throws {
        let quick: (inout RedisBrokerConfiguration) -> Void = {
            $0.settlingTime = .milliseconds(200)
            $0.backoff.maximum = .milliseconds(100)
        }
        var options = RedisServer.Options()
        options.isPersistent = false
        try await withBrokers(1, options, configured: quick) { server, brokers in
            let broker = brokers[0]
            let sender = broker.node.on(broker.loops[1])
            let receipts = try await sender.append((1...3).map { .test("\($0)", id: "\($0)") }, to: room("@bob"))
            let before = try await sender.read(room("@bob"), after: .zero).entries
            await server.kill()
            _ = try await broker.isUnavailable()
            try await server.restart()
            try await eventually("bob's messages are back") {
                try? await sender.read(room("@bob"), after: .zero).entries == before ? true : nil
            }
            let next = try await sender.append(.test("4"), to: room("@bob"))
            #expect(next.position.epoch > receipts[0].position.epoch)
        }
    }
}

@Suite("What was stored lately")
struct RecentAppendsTests {
    private let start = NIODeadline.uptimeNanoseconds(1_000_000_000)

    private func entry(_ seq: UInt64, bytes: Int = 10) -> LogEntry {
        LogEntry(
            position: Position(epoch: 7, seq: seq), time: 1, body: ByteBuffer(repeating: 0, count: bytes))
    }

    @Test func isKeptRoomByRoomInOrder() throws {
        var recent = RecentAppends(byteLimit: 1 << 20, ageLimit: .seconds(60))
        for seq in 1...4 as ClosedRange<UInt64> {
            recent.add(entry(seq), to: try room(seq % 2 == 0 ? "a" : "b"), at: start)
        }
        let rooms = recent.byRoom(at: start).sorted { $0.room.text < $1.room.text }
        #expect(rooms.map(\.room.text) == ["a", "b"])
        #expect(rooms.map { $0.entries.map(\.position.seq) } == [[2, 4], [1, 3]])
    }

    @Test func isBoundedInBytes() throws {
        var recent = RecentAppends(byteLimit: 1_000, ageLimit: .seconds(60))
        for seq in 1...20 as ClosedRange<UInt64> { recent.add(entry(seq, bytes: 72), to: try room(), at: start) }
        let kept = try #require(recent.byRoom(at: start).first?.entries)
        #expect(kept.map(\.position.seq) == Array(13...20))
        #expect(kept.reduce(0) { $0 + $1.body.readableBytes } <= 1_000)
    }

    @Test func isBoundedInAge() throws {
        var recent = RecentAppends(byteLimit: 1_000, ageLimit: .seconds(60))
        for seq in 1...3 as ClosedRange<UInt64> { recent.add(entry(seq, bytes: 72), to: try room(), at: start) }
        recent.add(entry(4), to: try room(), at: start + .seconds(50))
        let later = start + .seconds(61)
        #expect(recent.byRoom(at: later).first?.entries.map(\.position.seq) == [4])
        recent.add(entry(5), to: try room(), at: later)
        #expect(recent.byRoom(at: later).first?.entries == [entry(4), entry(5)])
    }

    @Test func keepsOneThatIsLongerThanAPieceOfMemory() throws {
        var recent = RecentAppends(byteLimit: 1_000, ageLimit: .seconds(60))
        recent.add(entry(1), to: try room(), at: start)
        recent.add(entry(2, bytes: 5_000), to: try room(), at: start)
        #expect(recent.byRoom(at: start).first?.entries.last == entry(2, bytes: 5_000))
    }
}

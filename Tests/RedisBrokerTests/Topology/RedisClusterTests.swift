import ChatHub
import ChatProtocol
import NIOCore
import RedisBroker
import Synchronization
import TestSupport
import Testing

@Suite("A Redis Cluster", .serialized)
struct RedisClusterTests {
    private func swift(_ configuration: inout RedisBrokerConfiguration) {
        configuration.commandTimeout = .milliseconds(1_500)
        configuration.connectTimeout = .milliseconds(1_000)
        configuration.probeInterval = .milliseconds(100)
        configuration.deafAfter = .milliseconds(1_000)
        configuration.heartbeatInterval = .milliseconds(100)
    }

    /// A room of each of these primaries.
    private func rooms(_ cluster: RedisClusterOfSix, _ primaries: ArraySlice<RedisServer>) async throws -> [RoomName] {
        var rooms: [RoomName] = []
        for primary in primaries {
            for number in 0... {
                let name = try room("room-\(number)")
                if try await cluster.primary(of: cluster.slot(of: "roost:{\(name)}")) === primary {
                    rooms.append(name)
                    break
                }
            }
        }
        return rooms
    }

    /// Each node can store messages, and all hear them.
    private func works(_ brokers: [TestBroker], _ room: RoomName) async throws {
        for (number, broker) in brokers.enumerated() {
            let receipt = try await eventually("node \(number) stores in \(room)") {
                try await broker.node.on(broker.loops[1]).append(.test("\(number)"), to: room)
            }
            for listener in brokers.map(\.listener) {
                _ = try await listener.hears("\(receipt.position) in \(room)") { events in
                    BrokerListener.messages(in: room, of: events).contains { $0.position == receipt.position }
                        ? true : nil
                }
            }
        }
    }

    @Test func itBehavesAsASingleRedisDoes() async throws {
        try await RedisClusterOfSix.run { cluster in
            try await withBrokers(2, at: cluster.url) { brokers in
                for behaviour in BrokerBehaviour.allCases {
                    try await behaviour.check(brokers[0].node, brokers[1].node.on(brokers[1].loops[1]))
                }
                #expect(brokers[0].broker.metrics.shardProbeNanoseconds.count == 3, "each shard carries a probe")
                #expect(brokers[0].broker.metrics.redirections == 0, "nothing went astray")
            }
            for primary in cluster.nodes.prefix(3) {
                #expect(try await primary.command("KEYS", "roost:node*") == "", "an orderly end leaves no node behind")
            }
        }
    }

    @Test func whenAPrimaryIsKilledOnlyItsRoomsWaitForItsSuccessor() async throws {
        try await RedisClusterOfSix.run { cluster in
            let rooms = try await rooms(cluster, cluster.nodes.prefix(3))
            try await withBrokers(2, at: cluster.url, configured: swift) { brokers in
                for room in rooms {
                    for broker in brokers { try await broker.node.subscribe(to: room) }
                    _ = try await brokers[0].node.enter(room, .random(), user("alice"))
                    try await works(brokers, room)
                }
                let slot = try await cluster.slot(of: "roost:{\(rooms[0])}")
                await cluster.nodes[0].kill()
                await #expect(throws: BrokerError.self) {
                    _ = try await brokers[0].node.append(.test("nowhere"), to: rooms[0])
                }
                for room in rooms.dropFirst() {
                    let receipt = try await brokers[0].node.append(.test("goes on"), to: room)
                    _ = try await brokers[1].listener.hears("\(receipt.position)") { events in
                        BrokerListener.messages(in: room, of: events).contains { $0.position == receipt.position }
                            ? true : nil
                    }
                }
                try await cluster.primary(of: slot, otherThan: cluster.nodes[0])
                for broker in brokers { try await broker.listener.hearsSubscribed(to: rooms[0], times: 2) }
                for room in rooms { try await works(brokers, room) }
                try await eventually("alice is still there") {
                    try await brokers[1].node.members(of: rooms[0]).members == [user("alice")] ? true : nil
                }
                for broker in brokers {
                    try await eventually("all is well") { broker.broker.status == .available ? true : nil }
                }
                #expect(brokers.allSatisfy { $0.broker.metrics.topologyChanges > 0 })
            }
        }
    }

    @Test func inAPlannedFailoverNothingIsLost() async throws {
        try await RedisClusterOfSix.run { cluster in
            let room = try await rooms(cluster, cluster.nodes.prefix(1))[0]
            let slot = try await cluster.slot(of: "roost:{\(room)}")
            try await withBrokers(2, at: cluster.url, configured: swift) { brokers in
                for broker in brokers { try await broker.node.subscribe(to: room) }
                try await works(brokers, room)
                let before = try await brokers[0].node.read(room, after: .zero)
                let successor = try await cluster.failover(slot: slot)
                for broker in brokers { try await broker.listener.hearsSubscribed(to: room, times: 2) }
                try await works(brokers, room)
                let after = try await brokers[1].node.read(room, after: .zero)
                #expect(Array(after.entries.prefix(before.entries.count)) == before.entries)
                #expect(try await successor.command("PUBSUB", "SHARDNUMSUB", "roost:{\(room)}").hasSuffix("2"))
            }
        }
    }

    private final class Flag: Sendable {
        private let value = Atomic(false)
        var isSet: Bool { value.load(ordering: .relaxed) }
        func set() { value.store(true, ordering: .relaxed) }
    }

    /// Stores a message each 5 ms, each once though it may have to be sent again; how many.
    private func traffic(_ broker: TestBroker, _ name: String, _ room: RoomName, until end: Flag) async throws -> Int {
        var count = 0
        while !end.isSet {
            let (node, id) = (broker.node.on(broker.loops[count % 2]), "\(name)-\(count)")
            var isRetry = false
            try await eventually("\(id) is stored") {
                defer { isRetry = true }
                return try await node.append(.test(id, id: id, isRetry: isRetry), to: room)
            }
            count += 1
            try await node.loop.scheduleTask(in: .milliseconds(5)) {}.futureResult.get()
        }
        return count
    }

    @Test func aSlotMovesWhileMessagesFlow() async throws {
        try await RedisClusterOfSix.run { cluster in
            let room = try await rooms(cluster, cluster.nodes.prefix(1))[0]
            let slot = try await cluster.slot(of: "roost:{\(room)}")
            try await withBrokers(2, at: cluster.url, configured: swift) { brokers in
                for broker in brokers { try await broker.node.subscribe(to: room) }
                let end = Flag()
                async let first = traffic(brokers[0], "a", room, until: end)
                async let second = traffic(brokers[1], "b", room, until: end)
                defer { end.set() }
                for (round, target) in [cluster.nodes[1], cluster.nodes[2], cluster.nodes[0]].enumerated() {
                    try await cluster.migrate(slot: slot, to: target)
                    for broker in brokers {
                        try await broker.listener.hearsSubscribed(to: room, times: 2 + round)
                    }
                    // Heard, too, at the new place.
                    let heard = BrokerListener.messages(in: room, of: brokers[0].listener.events).count
                    _ = try await brokers[0].listener.hearsMessages(heard + 20, in: room)
                }
                end.set()
                let sent = try await (0..<first).map { "a-\($0)" } + (0..<second).map { "b-\($0)" }
                let log = try await brokers[0].node.read(room, after: .zero, limit: 100_000)
                #expect(!log.hasMore && log.isComplete)
                #expect(log.texts.sorted() == sent.map { String(buffer: Draft.test($0, id: $0).body) }.sorted())
                #expect(brokers[0].broker.metrics.redirections > 0)
                try await eventually("each shard is heard again") {
                    brokers[0].broker.status == .available ? true : nil
                }
            }
        }
    }

    @Test func withAPassword() async throws {
        var options = RedisClusterOfSix.Options()
        options.password = "data-secret"
        try await RedisClusterOfSix.run(options) { cluster in
            try await withBrokers(1, at: cluster.url) { brokers in
                try await brokers[0].node.subscribe(to: room())
                try await works(brokers, room())
            }
            let broker = try await TestBroker.start(
                RedisURL(cluster.url.replacing(":data-secret@", with: "")), waits: false)
            try await eventually("it is said") { broker.broker.status.reason.contains("NOAUTH") ? true : nil }
            try await broker.shutdown()
        }
    }

    @Test func aServerThatIsNoNodeOfAClusterIsNamed() async throws {
        try await RedisServer.run { server in
            let broker = try await TestBroker.start(RedisURL("redis+cluster://127.0.0.1:\(server.port)"), waits: false)
            try await eventually("it is said") {
                let reason = broker.broker.status.reason
                return reason.contains("cluster support disabled") && reason.contains("127.0.0.1:\(server.port)")
                    ? true : nil
            }
            try await broker.shutdown()
        }
    }
}

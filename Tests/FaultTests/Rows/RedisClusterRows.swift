import TestSupport
import Testing

/// Three primaries with a replica each.
private final class Shards: Stage.Store {
    let cluster: RedisClusterOfSix

    init(_ cluster: RedisClusterOfSix) { self.cluster = cluster }

    func url(for gateway: Int) -> String { cluster.url }

    func owner(of room: String) async throws -> RedisServer {
        try await cluster.primary(of: try await cluster.slot(of: "roost:{\(room)}:log"))
    }

    func ask(about room: String, _ words: [String]) async throws -> String {
        try await owner(of: room).command(words)
    }

    func listeners(of room: String) async throws -> Int {
        let answer = try await ask(about: room, ["PUBSUB", "SHARDNUMSUB", "roost:{\(room)}"])
        return answer.split(separator: "\n").last.flatMap { Int($0) } ?? 0
    }

    var output: String {
        cluster.nodes.map { "redis-server \($0.port)\n\($0.output.suffix(2_000))" }.joined(separator: "\n")
    }

    func stop() async {}
}

extension FaultTests {
    @Suite(
        "With Redis Cluster", .serialized,
        .stage { work in
            try await RedisClusterOfSix.run { cluster in try await work(try await Stage.start(Shards(cluster))) }
        })
    struct RedisClusterRows {
        private var shards: Shards {
            get throws { try #require(Stage.current?.store as? Shards) }
        }

        @Test("The primary of a shard is killed: its replica takes over, other rooms go on meanwhile")
        func killedPrimary() async throws {
            let shards = try shards
            try await Row(
                section: .standIns, fault: "Redis Cluster: the primary of a shard is killed",
                seen: "`unavailable` in that shard's rooms; `rewind` where its successor lacks something", fate: .moves
            ).run { _, traffic in
                let slot = try await shards.cluster.slot(of: "roost:{\(traffic.rooms[0])}:log")
                let former = try await shards.cluster.primary(of: slot)
                await former.kill()
                try await shards.cluster.primary(of: slot, otherThan: former)
                traffic.healed()
                try await former.restart()
            }
        }

        @Test("The slots of two rooms move to other shards while messages flow")
        func migratedSlots() async throws {
            let shards = try shards
            try await Row(
                section: .standIns, fault: "Redis Cluster: slots move under load", seen: "nothing"
            ).run { _, traffic in
                for room in traffic.rooms.prefix(2) {
                    let owner = try await shards.owner(of: room)
                    let members = try await shards.cluster.members()
                    let target = try #require(members.first { $0.isPrimary && !$0.hasFailed && $0.server !== owner })
                    let slot = try await shards.cluster.slot(of: "roost:{\(room)}:log")
                    try await shards.cluster.migrate(slot: slot, to: target.server) { _ in
                        // Messages are stored and published in every phase.
                        try await pause(.milliseconds(500))
                    }
                }
            }
        }
    }
}

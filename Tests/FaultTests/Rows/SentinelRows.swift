import TestSupport
import Testing

/// A primary with two replicas, and three sentinels; as it is to be run: the primary takes nothing that no replica gets.
private final class Sentinels: Stage.Store {
    let trio: SentinelTrio

    init(_ trio: SentinelTrio) { self.trio = trio }

    func url(for gateway: Int) -> String { trio.url }

    func ask(about room: String, _ words: [String]) async throws -> String {
        try await trio.currentPrimary().command(words)
    }

    var output: String {
        trio.servers.map { "redis-server \($0.port)\n\($0.output.suffix(2_000))" }.joined(separator: "\n")
    }

    func stop() async {}
}

extension FaultTests {
    @Suite(
        "With Sentinel", .serialized,
        .stage { work in
            var options = SentinelTrio.Options()
            options.arguments = ["--min-replicas-to-write", "1", "--min-replicas-max-lag", "2"]
            try await SentinelTrio.run(options) { trio in try await work(try await Stage.start(Sentinels(trio))) }
        })
    struct SentinelRows {
        private var trio: SentinelTrio {
            get throws { try #require(Stage.current?.store as? Sentinels).trio }
        }

        @Test("The primary is killed: a replica takes over, and what it lacked is given back to it")
        func killedPrimary() async throws {
            let trio = try trio
            let former = try await trio.currentPrimary()
            try await Row(name: "16 Sentinel: primary killed", fate: .moves).run { _, traffic in
                await former.kill()
                try await trio.primary(otherThan: former)
                traffic.healed()
                try await former.restart()
            }
        }

        @Test("The primary holds still, is replaced, and goes on as if it still was the primary")
        func pausedPrimary() async throws {
            let trio = try trio
            try await ready(trio)
            let former = try await trio.currentPrimary()
            try await Row(name: "17 Sentinel: primary stopped, replaced, resumed", fate: .moves).run { _, traffic in
                former.suspend()
                try await trio.primary(otherThan: former)
                traffic.healed()
                former.resume()
            }
        }

        @Test("A failover is asked for while messages flow")
        func plannedFailover() async throws {
            let trio = try trio
            try await ready(trio)
            try await Row(name: "18 Sentinel: planned failover", fate: .moves).run { _, traffic in
                try await trio.failover()
                traffic.healed()
            }
        }

        /// Two replicas follow the primary.
        private func ready(_ trio: SentinelTrio) async throws {
            try await eventually("two replicas follow the primary", within: .seconds(30)) {
                let role = try await trio.currentPrimary().command("INFO", "replication")
                return role.contains("connected_slaves:2") ? true : nil
            }
        }
    }
}

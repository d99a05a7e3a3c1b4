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
            try await Row(
                section: .standIns, fault: "Sentinel: the primary is killed",
                seen: "`unavailable`; `rewind` where its successor lacks something", fate: .moves
            ).run { _, traffic in
                await former.kill()
                try await trio.primary(otherThan: former)
                traffic.healed()
                try await former.restart()
            }
        }

        @Test("The primary is killed before its replicas have the last second: the gateways give it back")
        func killedPrimaryAhead() async throws {
            let trio = try trio
            try await ready(trio)
            let former = try await trio.currentPrimary()
            let stage = try #require(Stage.current)
            let before = try await stage.total("roost_restored_messages_total")
            try await Row(
                section: .standIns, fault: "… and its replicas lack its last second",
                seen: "the same; what it lacks is given back", fate: .moves
            ).run { _, traffic in
                try await Machine.losing(percent: 100, ofPorts: try await replicationPorts(of: former)) {
                    let stored = traffic.acknowledged
                    try await eventually("messages are acknowledged that no replica has") {
                        traffic.acknowledged > stored + 100 ? true : nil
                    }
                    await former.kill()
                    try await trio.primary(otherThan: former)
                }
                traffic.healed()
                try await former.restart()
            }
            #expect(try await stage.total("roost_restored_messages_total") > before + 50)
        }

        /// The replicas' ends of the connections on which they follow.
        private func replicationPorts(of primary: RedisServer) async throws -> [Int] {
            let ports = try await primary.command("CLIENT", "LIST", "TYPE", "replica").split(separator: "\n")
                .compactMap { client in
                    client.split(separator: " ").first { $0.hasPrefix("addr=") }
                        .flatMap { $0.split(separator: ":").last }.flatMap { Int($0) }
                }
            #expect(ports.count == 2)
            return ports
        }

        @Test("The primary holds still, is replaced, and goes on as if it still was the primary")
        func pausedPrimary() async throws {
            let trio = try trio
            try await ready(trio)
            let former = try await trio.currentPrimary()
            try await Row(
                section: .standIns, fault: "Sentinel: the primary hangs, is replaced, and goes on",
                seen: "`unavailable`; `rewind` where its successor lacks something", fate: .moves
            ).run { _, traffic in
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
            try await Row(
                section: .standIns, fault: "Sentinel: a planned failover",
                seen: "`unavailable`; `rewind` where its successor lacks something", fate: .moves
            ).run { _, traffic in
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

import ChatHub
import ChatProtocol
import NIOCore
import RedisBroker
import TestSupport
import Testing

@Suite("A primary that sentinels name", .serialized)
struct SentinelTests {
    private func swift(_ configuration: inout RedisBrokerConfiguration) {
        configuration.commandTimeout = .milliseconds(1_000)
        configuration.connectTimeout = .milliseconds(1_000)
        configuration.probeInterval = .milliseconds(100)
        configuration.deafAfter = .milliseconds(1_000)
    }

    /// Messages can be stored by one node and heard by another one.
    private func works(_ brokers: [TestBroker], _ room: RoomName) async throws {
        for (number, broker) in brokers.enumerated() {
            // A link may have just learnt that its primary is one no more.
            let receipt = try await eventually("node \(number) stores") {
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
        try await SentinelTrio.run { trio in
            try await withBrokers(2, at: trio.url) { brokers in
                for behaviour in BrokerBehaviour.allCases {
                    try await behaviour.check(brokers[0].node, brokers[1].node.on(brokers[1].loops[1]))
                }
            }
        }
    }

    @Test func whenThePrimaryIsKilledItsSuccessorIsFound() async throws {
        try await SentinelTrio.run { trio in
            try await withBrokers(2, at: trio.url, configured: swift) { brokers in
                for broker in brokers { try await broker.node.subscribe(to: room()) }
                _ = try await brokers[0].node.enter(room(), .random(), user("alice"))
                try await works(brokers, room())
                await trio.primary.kill()
                _ = try await brokers[0].isUnavailable()
                let successor = try await trio.primary(otherThan: trio.primary)
                for broker in brokers {
                    try await broker.isAvailable(times: 2)
                    try await broker.listener.hearsSubscribed(to: room(), times: 2)
                }
                try await works(brokers, room())
                #expect(try await successor.command("PUBSUB", "NUMSUB", "roost:{room}").hasSuffix("2"))
                try await eventually("alice is still there") {
                    try await brokers[1].node.members(of: room()).members == [user("alice")] ? true : nil
                }
                // Who was the primary comes back as a replica, and nobody goes there.
                try await trio.primary.restart()
                try await works(brokers, room())
            }
        }
    }

    @Test func inAPlannedFailoverADemotedPrimaryIsLeftThoughItAnswers() async throws {
        try await SentinelTrio.run { trio in
            try await withBrokers(2, at: trio.url, configured: swift) { brokers in
                for broker in brokers { try await broker.node.subscribe(to: room()) }
                try await works(brokers, room())
                let successor = try await trio.failover()
                try await eventually("all connections are at the successor") {
                    try await successor.command("CLIENT", "LIST").split(separator: "\n")
                        .count { $0.contains(" name=roost-node-") } == 6 ? true : nil
                }
                for broker in brokers { try await broker.listener.hearsSubscribed(to: room(), times: 2) }
                try await works(brokers, room())
                #expect(brokers.allSatisfy { $0.broker.metrics.topologyChanges == 1 })
            }
        }
    }

    @Test func aPrimaryThatWasReplacedAndNeverHearsOfItIsLeft() async throws {
        var options = SentinelTrio.Options()
        // The sentinels cannot demote it, nor end its connections: it goes on as a primary for ever.
        options.primaryArguments = ["--rename-command", "SLAVEOF", "NO-SLAVEOF"]
        try await SentinelTrio.run(options) { trio in
            try await withBrokers(1, at: trio.url, configured: swift) { brokers in
                try await brokers[0].node.subscribe(to: room())
                try await works(brokers, room())
                let successor = try await trio.failover()
                try await eventually("all connections are at the successor") {
                    try await successor.command("CLIENT", "LIST").split(separator: "\n")
                        .count { $0.contains(" name=roost-node-") } == 3 ? true : nil
                }
                #expect(try await trio.primary.command("ROLE").hasPrefix("master"))
                try await works(brokers, room())
            }
        }
    }

    @Test func aPrimaryThatHoldsStillIsReplacedAndNotGoneBackTo() async throws {
        try await SentinelTrio.run { trio in
            try await withBrokers(1, at: trio.url, configured: swift) { brokers in
                try await brokers[0].node.subscribe(to: room())
                try await works(brokers, room())
                trio.primary.suspend()
                _ = try await brokers[0].isUnavailable()
                let successor = try await trio.primary(otherThan: trio.primary)
                try await brokers[0].isAvailable(times: 2)
                trio.primary.resume()
                try await works(brokers, room())
                #expect(try await successor.command("EXISTS", "roost:{room}:log") == "1")
                #expect(brokers[0].broker.status == .available)
            }
        }
    }

    @Test func sentinelsThatAreAwayArePassedOver() async throws {
        try await SentinelTrio.run { trio in
            await trio.sentinels[0].kill()
            trio.sentinels[1].suspend()
            try await withBrokers(1, at: trio.url, configured: swift) { brokers in
                try await brokers[0].node.subscribe(to: room())
                try await works(brokers, room())
                await trio.sentinels[2].kill()
                // Redis itself is there: what stands goes on.
                try await works(brokers, room())
                try await trio.primary.command("CLIENT", "KILL", "TYPE", "pubsub")
                let reason = try await brokers[0].isUnavailable()
                #expect(reason.contains("Redis closed the connection") || reason.contains("no sentinel answers"))
                try await eventually("the reason is said") {
                    brokers[0].broker.status.reason.contains("no sentinel answers") ? true : nil
                }
                trio.sentinels[1].resume()
                try await brokers[0].isAvailable(times: 2)
            }
        }
    }

    @Test func withPasswordsForTheServersAndForTheSentinels() async throws {
        var options = SentinelTrio.Options()
        options.replicas = 1
        options.password = "data-secret"
        options.sentinelPassword = "watch-secret"
        try await SentinelTrio.run(options) { trio in
            try await withBrokers(1, at: trio.url) { brokers in
                try await brokers[0].node.subscribe(to: room())
                try await works(brokers, room())
            }
            let hosts = trio.sentinels.map { "127.0.0.1:\($0.port)" }.joined(separator: ",")
            for (url, said) in [
                ("redis+sentinel://:data-secret@\(hosts)/main", "NOAUTH"),
                ("redis+sentinel://:data-secret@\(hosts)/other?sentinel_password=watch-secret", "called other"),
                ("redis+sentinel://\(hosts)/main?sentinel_password=watch-secret", "127.0.0.1:\(trio.primary.port): "),
            ] {
                let broker = try await TestBroker.start(RedisURL(url), waits: false)
                try await eventually("it is said: \(said)") {
                    broker.broker.status.reason.contains(said) ? true : nil
                }
                #expect(!broker.broker.status.reason.contains("secret"))
                try await broker.shutdown()
            }
        }
    }
}

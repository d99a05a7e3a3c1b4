import ChatHub
import ChatProtocol
import NIOCore
import RedisBroker
import TestSupport
import Testing

@Suite("Presence through failures", .serialized)
struct PresenceFaultTests {
    private func swift(_ configuration: inout RedisBrokerConfiguration) {
        configuration.probeInterval = .milliseconds(100)
        configuration.heartbeatInterval = .milliseconds(200)
        configuration.leaseTimeout = .milliseconds(1_000)
        configuration.backoff.maximum = .milliseconds(200)
    }

    private func presence(of name: String, heardBy broker: TestBroker) throws -> [Bool] {
        let user = try user(name)
        return BrokerListener.presence(in: try room(), of: broker.listener.events)
            .filter { $0.user == user }.map(\.isPresent)
    }

    private func incarnation(of node: String, _ server: RedisServer) async throws -> String? {
        try await server.command("ZRANGE", "roost:nodes", "0", "-1").split(separator: "\n")
            .first { $0.hasPrefix("\(node).") }.map(String.init)
    }

    /// The store comes back with a session that had left: a ghost under the node's own living name.
    @Test func whatAReplacedStoreBringsBackIsRemovedAndNobodyElseFlickers() async throws {
        try await withBrokers(2, configured: swift) { server, brokers in
            try await brokers[1].node.subscribe(to: room())
            _ = try await brokers[0].node.enter(room(), .random(), user("alice"))
            _ = try await brokers[0].node.on(brokers[0].loops[1]).enter(room(), .random(), user("bob"))
            _ = try await brokers[1].listener.hearsPresence(2, in: room())
            let old = try #require(try await incarnation(of: "node-0", server))
            try await server.command("HSET", "roost:{room}:sessions", "00000000000000ff", "ghost \(old)")
            try await server.command("HSET", "roost:{room}:users", "ghost", "1")

            await server.kill()
            try await server.restart()
            for broker in brokers { try await broker.isAvailable(times: 2) }
            try await brokers[1].listener.hearsSubscribed(to: room(), times: 2)
            try await eventually("the ghost is gone") {
                try await brokers[1].node.members(of: room()).members == [user("alice"), user("bob")] ? true : nil
            }
            try await eventually("the old name is forgotten") {
                let names = try await server.command("ZRANGE", "roost:nodes", "0", "-1")
                return !names.contains(old) && names.split(separator: "\n").count == 2 ? true : nil
            }
            #expect(try await server.command("KEYS", "roost:node:\(old)") == "")
            #expect(try await server.command("HVALS", "roost:{room}:sessions").contains(old) == false)
            for name in ["alice", "bob"] { #expect(try presence(of: name, heardBy: brokers[1]) == [true]) }
            #expect(try presence(of: "ghost", heardBy: brokers[1]).allSatisfy { !$0 })
        }
    }

    @Test func tenThousandSessionsThatComeBackAndLeaveCostTensOfCalls() async throws {
        try await withBrokers(1) { server, brokers in
            let watcher = brokers[0]
            let crowded = try await TestBroker.start(server, node: "crowded") { $0.commandTimeout = .seconds(30) }
            let node = crowded.node
            try await watcher.node.subscribe(to: room())
            let sessions = try (0..<10_000).map { (SessionID.random(), try user("user-\($0)")) }
            let rosters = try await node.enter(room(), sessions)
            #expect(zip(rosters, sessions).allSatisfy { $0.members.contains($1.1) && $0.members.count == 100 })
            #expect(rosters.last?.count == 10_000)
            let before = crowded.broker.metrics.commands

            try await server.command("FLUSHALL")
            try await server.command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
            try await eventually("all are back") {
                try await server.command("HLEN", "roost:{room}:users") == "10000" ? true : nil
            }
            #expect(crowded.broker.metrics.commands - before < 300)
            try await crowded.shutdown()
            _ = try await watcher.listener.hears("everybody left") { events -> Bool? in
                guard let room = RoomName("room") else { return nil }
                return BrokerListener.presence(in: room, of: events).last?.count == 0 ? true : nil
            }
            // Each user of the first and the last five hundred by name, what is between them by counts.
            #expect(BrokerListener.presence(in: try room(), of: watcher.listener.events).count <= 3 * 501)
            #expect(BrokerListener.counts(in: try room(), of: watcher.listener.events).count < 100)
            #expect(try await server.command("EXISTS", "roost:{room}:sessions", "roost:{room}:users") == "0")
        }
    }

    @Test func aCrowdOfADeadNodeIsRemovedInSlicesAndAnnouncedAsCounts() async throws {
        try await withBrokers(1) { server, brokers in
            try await brokers[0].node.subscribe(to: room())
            let victim = try await TestBroker.start(server, node: "victim")
            let sessions = try (0..<3_000).map { (SessionID.random(), try user("user-\($0)")) }
            _ = try await victim.node.enter(room(), sessions)
            _ = try await brokers[0].node.enter(room(), .random(), user("alice"))
            try await victim.vanish()
            _ = try await brokers[0].listener.hears("alice is alone") { events -> Bool? in
                guard let room = RoomName("room") else { return nil }
                let last = BrokerListener.presence(in: room, of: events).last
                return last?.isPresent == false && last?.count == 1 ? true : nil
            }
            let roster = try await brokers[0].node.roster(of: room(), limit: 500)
            #expect(roster.members == [try user("alice")])
            #expect(BrokerListener.counts(in: try room(), of: brokers[0].listener.events).count < 40)
            #expect(brokers[0].broker.metrics.sessionsSwept >= 3_000)
        }
    }
}

import ChatHub
import ChatProtocol
import NIOCore
import RedisBroker
import TestSupport
import Testing

@Suite("What happens to Redis and to nodes", .serialized)
struct FaultTests {
    private func swift(_ configuration: inout RedisBrokerConfiguration) {
        configuration.commandTimeout = .milliseconds(1_000)
        configuration.connectTimeout = .milliseconds(1_000)
        configuration.probeInterval = .milliseconds(100)
        configuration.deafAfter = .milliseconds(400)
        configuration.heartbeatInterval = .milliseconds(100)
        configuration.leaseTimeout = .milliseconds(500)
        configuration.settlingTime = .milliseconds(200)
        configuration.backoff.maximum = .milliseconds(200)
    }

    @Test(arguments: [true, false])
    func redisIsKilledAndComesBackWithOrWithoutWhatItHeld(isPersistent: Bool) async throws {
        var options = RedisServer.Options()
        options.isPersistent = isPersistent
        try await withBrokers(2, options, configured: swift) { server, brokers in
            let (first, second) = (brokers[0], brokers[1])
            let session = SessionID.random()
            _ = try await first.node.on(first.loops[1]).enter(room(), session, user("alice"))
            try await second.node.subscribe(to: room())
            let before = try await first.node.append(.test("before"), to: room())
            await server.kill()
            let reason = try await first.isUnavailable()
            #expect(!reason.isEmpty)
            await #expect(throws: BrokerError.self) { _ = try await first.node.append(.test("away"), to: room()) }

            try await server.restart()
            try await first.isAvailable(times: 2)
            try await second.isAvailable(times: 2)
            try await second.node.listener.hearsSubscribed(to: room(), times: 2)
            #expect(second.listener.events.contains(.subscriptionsLost))
            let after = try await first.node.append(.test("after"), to: room(), known: before.position)
            // What it held last may not be all that it had acknowledged.
            #expect(after.position.epoch > before.position.epoch)
            #expect(after.position.seq == 1)
            // What Redis has lost is given back by who stored it.
            try await eventually("both messages are in the log") {
                let log = try await second.node.read(room(), after: .zero)
                return Set(log.texts)
                    == Set([Draft.test("before"), Draft.test("after")].map { String(buffer: $0.body) })
                    && log.entries.count == 2 ? true : nil
            }
            #expect(try await second.node.listener.hearsMessages(2, in: room()).last?.position == after.position)
            // The session was entered again without anybody asking.
            try await eventually("alice is in the room again") {
                try await second.node.members(of: room()).members == [user("alice")] ? true : nil
            }
            try await first.node.on(first.loops[1]).leave(room(), session)
            try await eventually("alice is gone") {
                try await second.node.members(of: room()).count == 0 ? true : nil
            }
        }
    }

    @Test func aBrokerStartsWithoutRedisAndFindsItLater() async throws {
        try await RedisServer.run { server in
            await server.kill()
            let broker = try await TestBroker.start(server, waits: false, swift)
            await #expect(throws: BrokerError.self) {
                _ = try await broker.node.enter(room(), .random(), user("alice"))
            }
            await #expect(throws: BrokerError.self) { _ = try await broker.node.read(room(), after: .zero) }
            try await broker.node.broker.eventLoop.submit { [broker] in
                broker.broker.subscribe(to: try room())
            }.get()
            #expect(broker.broker.status != .available)
            try await server.restart()
            try await broker.isAvailable()
            try await broker.listener.hearsSubscribed(to: room())
            try await broker.shutdown()
        }
    }

    @Test func aRedisThatHoldsStillIsNoticedAndDoesNotStoreTwice() async throws {
        try await withBrokers(1, configured: swift) { server, brokers in
            let broker = brokers[0]
            _ = try await broker.node.append(.test("a", id: "a"), to: room())
            server.suspend()
            let failure = await #expect(throws: BrokerError.self) {
                _ = try await broker.node.append(.test("b", id: "b"), to: room())
            }
            #expect(failure?.code == .unavailable)
            _ = try await broker.isUnavailable()
            server.resume()
            try await broker.isAvailable(times: 2)
            let retry = try await broker.node.append(.test("b", id: "b", isRetry: true), to: room())
            #expect(retry.position.seq == 2)
            #expect(try await broker.node.read(room(), after: .zero).entries.count == 2)
        }
    }

    @Test func aKilledSubscriptionStandsAgain() async throws {
        try await withBrokers(1, configured: swift) { server, brokers in
            let broker = brokers[0]
            let rooms = try (0..<2_500).map { try room("room-\($0)") }
            try await broker.broker.eventLoop.submit { for room in rooms { broker.broker.subscribe(to: room) } }.get()
            for times in 1...3 {
                _ = try await broker.listener.hears("all subscriptions stand for the \(times). time") { events in
                    let confirmed = events.reduce(0) { sum, event in
                        if case .subscribed(let rooms) = event { sum + rooms.count } else { sum }
                    }
                    return confirmed >= times * rooms.count ? true : nil
                }
                let receipt = try await broker.node.append(.test("\(times)"), to: rooms[2_499])
                #expect(
                    try await broker.listener.hearsMessages(times, in: rooms[2_499]).last?.position
                        == receipt.position)
                try await server.command("CLIENT", "KILL", "TYPE", "pubsub")
            }
        }
    }

    @Test func aDeafSubscriptionIsReplacedWithinThreeSeconds() async throws {
        try await RedisServer.run { server in
            let proxy = try await FaultProxy.start(before: server.port)
            // With the product's own times.
            let broker = try await TestBroker.start(RedisURL("redis://127.0.0.1:\(proxy.port)"))
            try await broker.node.subscribe(to: room())
            #expect(proxy.deafen() == 1)
            let start = ContinuousClock.now
            let lost = try await broker.node.append(.test("not heard"), to: room())
            try await broker.listener.hearsSubscribed(to: room(), times: 2)
            #expect(ContinuousClock.now - start < .milliseconds(3_500))
            #expect(broker.broker.metrics.deafSubscriptions == 1)
            let next = try await broker.node.append(.test("heard"), to: room())
            #expect(try await broker.listener.hearsMessages(1, in: room()).map(\.position) == [next.position])
            #expect(
                BrokerListener.batches(in: try room(), of: broker.listener.events).map(\.previous) == [lost.position])
            try await broker.shutdown()
            try await proxy.stop()
        }
    }

    @Test func aDeadNodesSessionsAreRemovedByTheOthersAndAnnouncedOnce() async throws {
        try await RedisServer.run { server in
            // With the product's own times: within 5 s all is announced.
            let watchers = [
                try await TestBroker.start(server, node: "a"), try await TestBroker.start(server, node: "b"),
            ]
            let victim = try await TestBroker.start(server, node: "victim")
            let rooms = try (0..<20).map { try room("room-\($0)") }
            for watcher in watchers {
                for room in rooms { try await watcher.node.subscribe(to: room) }
            }
            let crowd = try (0..<450).map { try user("user-\($0)") }
            try await withThrowingTaskGroup { group in
                for user in crowd {
                    group.addTask { _ = try await victim.node.on(victim.loops[1]).enter(rooms[0], .random(), user) }
                }
                try await group.waitForAll()
            }
            for room in rooms { _ = try await victim.node.enter(room, .random(), user("alice")) }
            _ = try await watchers[0].node.enter(rooms[1], .random(), user("alice"))

            try await victim.vanish()
            let start = ContinuousClock.now
            for watcher in watchers {
                let changes = try await watcher.listener.hearsPresence(2 * 451, in: rooms[0])
                #expect(ContinuousClock.now - start < .seconds(5))
                #expect(changes.count == 2 * 451, "451 came, 451 went")
                #expect(Set(changes.filter { !$0.isPresent }.map(\.user)).count == 451)
                #expect(changes.last?.count == 0)
                for room in rooms[2...] {
                    #expect(try await watcher.listener.hearsPresence(2, in: room).map(\.isPresent) == [true, false])
                }
            }
            #expect(
                try await watchers[0].node.members(of: rooms[1]).members == [user("alice")], "still there elsewhere")
            try await eventually("the dead node is forgotten") {
                try await server.command("ZCARD", "roost:nodes") == "2" ? true : nil
            }
            #expect(try await server.command("KEYS", "roost:node:victim*") == "")
            for watcher in watchers {
                #expect(BrokerListener.presence(in: rooms[0], of: watcher.listener.events).count == 2 * 451)
                try await watcher.shutdown()
            }
            #expect(try await server.command("KEYS", "*") == "", "an orderly end leaves nothing behind")
        }
    }

    @Test func aNodeThatWasDeclaredDeadComesBackUnderANewName() async throws {
        try await withBrokers(2, configured: swift) { server, brokers in
            _ = try await brokers[0].node.enter(room(), .random(), user("alice"))
            let name = try await server.command("ZRANGE", "roost:nodes", "0", "-1")
                .split(separator: "\n").first { $0.hasPrefix("node-0.") }
            let incarnation = String(try #require(name))
            try await server.command("ZADD", "roost:nodes", "0", incarnation)
            try await eventually("a new incarnation, and alice in the room again") {
                let nodes = try await server.command("ZRANGE", "roost:nodes", "0", "-1").split(separator: "\n")
                let members = try await brokers[1].node.members(of: room()).members
                return try nodes.count == 2 && !nodes.contains(Substring(incarnation)) && members == [user("alice")]
                    ? true : nil
            }
            #expect(try await server.command("HVALS", "roost:{room}:sessions").contains(incarnation) == false)
        }
    }

    @Test func anOutageOfRedisIsNobodysDeath() async throws {
        try await withBrokers(2, configured: swift) { server, brokers in
            try await brokers[1].node.subscribe(to: room())
            _ = try await brokers[0].node.enter(room(), .random(), user("alice"))
            _ = try await brokers[1].listener.hearsPresence(1, in: room())
            server.suspend()
            _ = try await brokers[0].isUnavailable()
            _ = try await brokers[1].isUnavailable()
            // Longer than a lease.
            try await brokers[0].broker.eventLoop.scheduleTask(in: .seconds(1)) {}.futureResult.get()
            server.resume()
            for broker in brokers { try await broker.isAvailable(times: 2) }
            _ = try await brokers[0].node.enter(room(), .random(), user("bob"))
            let changes = try await brokers[1].listener.hearsPresence(2, in: room())
            #expect(changes.map(\.user.text) == ["alice", "bob"], "alice was never announced as gone")
        }
    }

    @Test func signalsAreDroppedWhileRedisIsAway() async throws {
        try await withBrokers(1, configured: swift) { server, brokers in
            await server.kill()
            _ = try await brokers[0].isUnavailable()
            try await brokers[0].node.announce("{}", from: .random(), in: room())
            #expect(brokers[0].broker.metrics.announcementsDropped == 1)
        }
    }
}

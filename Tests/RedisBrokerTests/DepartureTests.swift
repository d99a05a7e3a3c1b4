import ChatHub
import ChatProtocol
import Logging
import NIOCore
import NIOPosix
import TestSupport
import Testing

@testable import RedisBroker

@Suite("Leaving all rooms at the end")
struct DepartureTests {
    /// The commands of a loop whose connection does not stand.
    private func commands(on loop: any EventLoop) throws -> RedisCommands {
        let configuration = RedisBrokerConfiguration(url: try RedisURL("redis://127.0.0.1:1"), node: "node")
        let logger = Logger(label: "test", factory: { _ in SwiftLogNoOpLogHandler() })
        let counters = RedisCounters()
        let link = RedisLink(
            eventLoop: loop, target: .fixed(.tcp(host: "127.0.0.1", port: 1)),
            connector: try RedisConnector(configuration),
            settings: .init(
                url: configuration.url, clientName: "name", scripts: [], isSubscription: false,
                handshakeTimeout: .seconds(1), commandTimeout: .seconds(1), pingInterval: .seconds(1)),
            backoff: configuration.backoff, settlingTime: configuration.settlingTime, counters: counters,
            logger: logger)
        return RedisCommands(
            link: link, configuration: configuration, loopNumber: 0, incarnation: "node.1", counters: counters,
            logger: logger)
    }

    @Test func whoCannotBeTakenOutFailsTheDepartureSoThatTheLeaseRunsOut() async throws {
        let loop = MultiThreadedEventLoopGroup.singleton.next()
        let (room, alice) = (try room(), try user("alice"))
        await #expect(throws: BrokerError.self) {
            try await loop.flatSubmit {
                do {
                    let commands = try commands(on: loop)
                    let session = PresenceLedger<EventLoopPromise<Roster>>.Membership(room: room, session: .random())
                    commands.presence.enter(session, user: alice, waiter: loop.makePromise())
                    _ = commands.presence.next(limit: 1)
                    _ = commands.presence.succeeded(.register(room))
                    _ = commands.presence.next(limit: 1)
                    let roster = Roster(members: [alice], count: 1, hasMore: false)
                    for waiter in commands.presence.succeeded(.enter(session, user: alice)) { waiter.succeed(roster) }
                    return commands.leaveAll()
                } catch {
                    return loop.makeFailedFuture(error)
                }
            }.get()
        }
    }

    @Test func withNobodyThereTheDepartureNeedsNoConnection() async throws {
        let loop = MultiThreadedEventLoopGroup.singleton.next()
        let left = try await loop.flatSubmit {
            do {
                return try commands(on: loop).leaveAll().map { true }
            } catch {
                return loop.makeFailedFuture(error)
            }
        }.get()
        #expect(left)
    }
}

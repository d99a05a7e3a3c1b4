import ChatHub
import ChatProtocol
import Logging
import NIOCore
import NIOPosix
import RedisBroker
import TestSupport

/// A Redis broker of a test, with two loops of its own.
struct TestBroker: Sendable {
    let broker: RedisBroker
    let node: BrokerNode
    private let group: MultiThreadedEventLoopGroup

    var loops: [any EventLoop] { Array(group.makeIterator()) }
    var listener: BrokerListener { node.listener }

    /// Starts a broker, and waits until it is available unless told otherwise.
    static func start(
        _ server: RedisServer, node: String = "node", waits: Bool = true,
        _ change: (inout RedisBrokerConfiguration) -> Void = { _ in }
    ) async throws -> TestBroker {
        try await start(RedisURL(server.url), node: node, waits: waits, change)
    }

    static func start(
        _ url: RedisURL, node: String = "node", waits: Bool = true,
        _ change: (inout RedisBrokerConfiguration) -> Void = { _ in }
    ) async throws -> TestBroker {
        var configuration = RedisBrokerConfiguration(url: url, node: node)
        change(&configuration)
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 2)
        var logger = Logger(label: "test", factory: { _ in SwiftLogNoOpLogHandler() })
        logger.logLevel = .critical
        let broker = try RedisBroker(configuration: configuration, group: group, logger: logger)
        let started = TestBroker(broker: broker, node: try await BrokerNode(broker), group: group)
        broker.start()
        if waits { try await started.isAvailable() }
        return started
    }

    /// Waits until the broker has said so many times that it is available: on every loop.
    func isAvailable(times: Int = 1, within limit: Duration = .seconds(15)) async throws {
        _ = try await listener.hears("available for the \(times). time: \(broker.status)", within: limit) { events in
            events.count { $0 == .status(.available) } >= times ? true : nil
        }
    }

    /// Waits until the broker says that it is not available; why.
    func isUnavailable(after events: Int = 0, within limit: Duration = .seconds(15)) async throws -> String {
        try await listener.hears("unavailable", within: limit) { all in
            all.dropFirst(events).lazy.compactMap {
                if case .status(.unavailable(let reason)) = $0 { reason } else { nil }
            }.first
        }
    }

    /// Ends in good order.
    func shutdown() async throws {
        await broker.shutdown()
        try await group.shutdownGracefully()
    }

    /// Ends as if it was killed.
    func vanish() async throws {
        await broker.vanish()
        try await group.shutdownGracefully()
    }

}

/// Runs `work` with a server and so many brokers, and ends all of them.
func withBrokers(
    _ count: Int, _ options: RedisServer.Options = .init(),
    configured change: (inout RedisBrokerConfiguration) -> Void = { _ in },
    _ work: (RedisServer, [TestBroker]) async throws -> Void
) async throws {
    try await RedisServer.run(options) { server in
        var brokers: [TestBroker] = []
        for number in 0..<count {
            brokers.append(try await TestBroker.start(server, node: "node-\(number)", change))
        }
        let result: Result<Void, any Error>
        do { result = .success(try await work(server, brokers)) } catch { result = .failure(error) }
        for broker in brokers { try await broker.shutdown() }
        try result.get()
    }
}

/// Runs `work` with so many brokers of a store that runs already, and ends them.
func withBrokers(
    _ count: Int, at url: String, configured change: (inout RedisBrokerConfiguration) -> Void = { _ in },
    _ work: ([TestBroker]) async throws -> Void
) async throws {
    var brokers: [TestBroker] = []
    let result: Result<Void, any Error>
    do {
        for number in 0..<count {
            brokers.append(try await TestBroker.start(RedisURL(url), node: "node-\(number)", change))
        }
        result = .success(try await work(brokers))
    } catch {
        result = .failure(error)
    }
    for broker in brokers { try await broker.shutdown() }
    try result.get()
}

func room(_ name: String = "room") throws -> RoomName { try require(RoomName(name), "room name") }
func user(_ name: String) throws -> UserName { try require(UserName(name), "user name") }

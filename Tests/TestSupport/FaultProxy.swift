import NIOCore
import NIOPosix
import Synchronization

/// Stands between a program and its Redis, and does to the connections what networks and machines do: it delays, slows
/// down, holds, refuses, resets, cuts, makes deaf and loses. Everything holds for the connections that stand and for
/// those to come, until it is changed.
package final class FaultProxy: Sendable {
    package enum Direction: Sendable, Hashable {
        /// From the program to Redis: requests.
        case up
        /// From Redis to the program: replies and publications.
        case down
    }

    /// What all connections suffer.
    package struct Weather: Sendable {
        /// For each direction.
        package var delay = Duration.zero
        /// Up to so much is added to the delay. Nothing overtakes anything.
        package var jitter = Duration.zero
        /// For each connection and direction.
        package var bytesPerSecond: Int?
        /// What goes there waits, also the end of a connection, as in a partition: nobody is told. Nothing more is read,
        /// so that it piles up where it comes from.
        package var held: Set<Direction> = []
        /// As ``held`` downwards, but only for connections that have subscribed to something.
        package var holdsPublications = false
        /// New connections are reset.
        package var refuses = false

        package init() {}
    }

    package let port: Int
    private let listener: any Channel
    private let state: ProxyState

    /// Of their own, so that a test's many clients do not slow them down.
    private static let loops = MultiThreadedEventLoopGroup(numberOfThreads: 1)

    /// - Parameter target: the port of the real server on 127.0.0.1, which may be away.
    package static func start(before target: Int) async throws -> FaultProxy {
        let state = ProxyState()
        let listener = try await ServerBootstrap(group: loops)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .childChannelInitializer { client in
                client.eventLoop.makeCompletedFuture {
                    let relay = ProxyRelay(client: client, state: state)
                    try client.pipeline.syncOperations.addHandler(ProxyRelay.Side(relay, reading: .up))
                    relay.open(to: target)
                }
            }
            .childChannelOption(.socketOption(.tcp_nodelay), value: 1)
            .bind(host: "127.0.0.1", port: 0).get()
        guard let port = listener.localAddress?.port else { throw Impatience(description: "no port for a proxy") }
        return FaultProxy(port: port, listener: listener, state: state)
    }

    private init(port: Int, listener: any Channel, state: ProxyState) {
        self.port = port
        self.listener = listener
        self.state = state
    }

    /// For `roost serve --redis`.
    package var url: String { "redis://127.0.0.1:\(port)" }

    /// How many publications ``lose(_:of:)`` has lost so far.
    package var lost: Int { state.faults.withLock { $0.lost } }

    /// How many replies ``cutReplies(_:after:)`` has cut so far.
    package var cut: Int { state.faults.withLock { $0.cut } }

    package func change(_ change: (inout Weather) -> Void) {
        state.faults.withLock { change(&$0.weather) }
        for relay in state.relays { relay.perform { $0.pumpAll() } }
    }

    /// Back to a network without faults. What waits goes on; the deaf stay deaf.
    package func clear() {
        state.faults.withLock {
            $0.weather = Weather()
            $0.cutsToCome = 0
            $0.losses = [:]
        }
        for relay in state.relays { relay.perform { $0.pumpAll() } }
    }

    /// Resets all connections, both sides.
    package func reset() {
        for relay in state.relays { relay.perform { $0.reset() } }
    }

    /// The next so many replies end after their first `bytes` bytes, each with a reset of its connection. Publications
    /// are no replies.
    package func cutReplies(_ count: Int, after bytes: Int) {
        state.faults.withLock {
            $0.cutsToCome = count
            $0.cutAfter = bytes
        }
    }

    /// Makes the connections deaf that have subscribed to something: they stay open and carry nothing more towards the
    /// program, as those to a Redis that a failover has left behind. How many.
    package func deafen() -> Int {
        let subscribed = state.relays.filter { $0.hasSubscribed.load(ordering: .relaxed) }
        for relay in subscribed { relay.isDeaf.store(true, ordering: .relaxed) }
        return subscribed.count
    }

    /// Loses the next so many publications of messages on a channel, towards whoever has subscribed to it here.
    package func lose(_ count: Int, of channel: String) {
        state.faults.withLock { $0.losses[channel] = count }
    }

    package func stop() async throws {
        try await listener.close().get()
        reset()
    }
}

/// What the connections of a proxy have in common.
final class ProxyState: Sendable {
    struct Faults: Sendable {
        var weather = FaultProxy.Weather()
        var cutsToCome = 0
        var cutAfter = 0
        var cut = 0
        var losses: [String: Int] = [:]
        var lost = 0
    }

    let faults = Mutex(Faults())
    private let open = Mutex<[ObjectIdentifier: ProxyRelay]>([:])

    var relays: [ProxyRelay] { open.withLock { Array($0.values) } }

    func add(_ relay: ProxyRelay) { open.withLock { $0[ObjectIdentifier(relay)] = relay } }

    func remove(_ relay: ProxyRelay) { open.withLock { $0[ObjectIdentifier(relay)] = nil } }
}

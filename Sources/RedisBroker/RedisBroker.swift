package import ChatHub
package import ChatProtocol
package import Logging
package import NIOCore
import ServiceLifecycle
import Synchronization

/// Rooms through Redis 7: one command connection for each event loop, and one connection that listens.
///
/// It starts without Redis too: it tries until Redis is there, and ``status`` says what is wrong. Where Redis is, an
/// address says, or sentinels do for each connection anew; in a Redis Cluster there are such connections to each primary.
package final class RedisBroker: ModeratedBroker, Service {
    package let eventLoop: any EventLoop

    private let configuration: RedisBrokerConfiguration
    private let commands: [RedisCommands]
    /// Position in ``commands`` by the loop's identity.
    private let commandsOfLoop: [ObjectIdentifier: RedisCommands]
    let supervisor: RedisSupervisor
    private let topology: RedisTopology
    private let counters: [RedisCounters]
    private let isStarted = Atomic(false)
    private let isEnded = Atomic(false)

    /// - Parameter group: the loops that will ask for commands; the first one becomes ``eventLoop``.
    /// - Throws: when the TLS settings cannot be used.
    package init(configuration: RedisBrokerConfiguration, group: any EventLoopGroup, logger: Logger) throws {
        let connector = try RedisConnector(configuration)
        let incarnation = NodeRegistry.incarnation(of: configuration.node)
        let subscriberCounters = RedisCounters()
        let links = RedisLinks(
            configuration: configuration, connector: connector,
            name: "\(configuration.prefix)-\(incarnation.prefix { $0 != "." })", logger: logger)
        let loops = Array(group.makeIterator())
        guard let loop = loops.first else { preconditionFailure("an event loop group without event loops") }
        let own = loops.map { _ in RedisCounters() }
        let topology = RedisTopology(
            links, loops: loops, probeID: incarnation, counters: (own: subscriberCounters, loops: own))
        let commands = zip(topology.routes, own).enumerated().map { number, pair in
            RedisCommands(
                link: pair.0, configuration: configuration, loopNumber: number, incarnation: incarnation,
                counters: pair.1, logger: logger)
        }
        let first = commands[0]
        for one in commands {
            one.link.events.storeReplaced = { [weak one] in one?.storeReplaced() }
            one.link.events.up = { [weak one] in one?.connectionUp() }
            one.link.events.down = { [weak one] in one?.connectionDown() }
        }

        let registry = NodeRegistry(
            incarnation: incarnation, link: first.link, configuration: configuration, counters: subscriberCounters,
            logger: logger)
        registry.incarnationChanged = { [commands] incarnation in
            let entered = commands.map { one in
                let promise = loop.makePromise(of: Void.self)
                one.eventLoop.execute { one.incarnationChanged(to: incarnation, entered: promise) }
                return promise.futureResult
            }
            return EventLoopFuture.andAllSucceed(entered, on: loop)
        }
        let supervisor = RedisSupervisor(
            subscriber: topology.listener, registry: registry, commands: first, loops: commands.count,
            configuration: configuration, logger: logger)
        for one in commands {
            one.link.events.failureChanged = { [weak one, weak supervisor] in
                guard let one, let supervisor else { return }
                let (number, failure) = (one.loopNumber, one.link.failure)
                loop.execute { supervisor.linkChanged(number, failure: failure) }
            }
        }
        for one in commands {
            one.displaced = { [weak supervisor] session, room, why in
                guard let supervisor else { return }
                loop.execute {
                    supervisor.subscriber.delegate?.received(
                        .control(.displaced(session, from: room, why)), in: .control)
                }
            }
        }
        for one in commands {
            one.link.events.unsuitable = { [weak supervisor] reason in
                guard let supervisor else { return }
                loop.execute { supervisor.unsuitable(reason) }
            }
        }
        self.topology = topology
        self.supervisor = supervisor
        self.configuration = configuration
        self.eventLoop = loop
        self.commands = commands
        self.commandsOfLoop = Dictionary(uniqueKeysWithValues: commands.map { (ObjectIdentifier($0.eventLoop), $0) })
        self.counters = [subscriberCounters] + own
    }

    // MARK: Life

    /// Begins to connect. Does not wait, and does not fail when Redis is away.
    package func start() {
        guard !isStarted.exchange(true, ordering: .relaxed) else { return }
        for one in commands { one.eventLoop.execute { one.start() } }
        eventLoop.execute { [supervisor, topology] in
            topology.start()
            supervisor.start()
        }
    }

    /// Runs until the service group shuts down or the task is cancelled, then leaves in good order.
    ///
    /// - Throws: ``UnsuitableRedis`` when the first Redis that is reached may throw away what it was given. One that is
    ///   found so later makes the broker unavailable.
    package func run() async throws {
        start()
        // Cancelled or asked to end: either way what follows is the orderly end.
        var found: UnsuitableRedis?
        for await refusal in supervisor.refusals.cancelOnGracefulShutdown() {
            found = refusal
            break
        }
        await shutdown()
        if let found { throw found }
    }

    /// Takes all sessions out of their rooms, gives up the lease and closes the connections; within twice the command
    /// timeout, if Redis does not answer.
    package func shutdown() async {
        guard !isEnded.exchange(true, ordering: .relaxed) else { return }
        let left = commands.map { one in
            one.eventLoop.flatSubmit { one.leaveAll() }
        }
        let everybody = EventLoopFuture.andAllSucceed(left, on: eventLoop)
        // Who could not be taken out is swept by the other nodes when the lease has run out.
        if await completes(everybody) {
            _ = await completes(eventLoop.flatSubmit { [supervisor] in supervisor.registry.release() })
        }
        await stop()
    }

    /// Ends as if the process was killed: nothing is said to Redis. For tests.
    package func vanish() async {
        guard !isEnded.exchange(true, ordering: .relaxed) else { return }
        await stop()
    }

    private func stop() async {
        let stopped =
            commands.map { one in one.eventLoop.submit { one.stop() } }
            + [
                eventLoop.submit { [supervisor, topology] in
                    supervisor.stop()
                    topology.stop()
                }
            ]
        try? await EventLoopFuture.andAllComplete(stopped, on: eventLoop).get()
    }

    private func completes(_ future: EventLoopFuture<Void>) async -> Bool {
        let promise = eventLoop.makePromise(of: Bool.self)
        let timeout = eventLoop.scheduleTask(in: configuration.commandTimeout) { promise.succeed(false) }
        future.whenComplete { result in
            timeout.cancel()
            if case .success = result { promise.succeed(true) } else { promise.succeed(false) }
        }
        return (try? await promise.futureResult.get()) ?? false
    }

    // MARK: State

    /// Whether Redis can be used; from any thread.
    package var status: BrokerStatus { supervisor.status }

    /// What was done so far, over all loops; from any thread.
    package var metrics: RedisBrokerMetrics {
        var sum = RedisBrokerMetrics()
        for one in counters { one.addTo(&sum) }
        sum.shardProbeNanoseconds = topology.delays.byName
        return sum
    }

    // MARK: Broker

    package var moderation: any ModerationStore { RedisModeration(commands[0], configuration: configuration) }

    package func commands(on loop: any EventLoop) -> any BrokerCommands {
        guard let commands = commandsOfLoop[ObjectIdentifier(loop)] else {
            preconditionFailure("commands asked for a loop that is not of the broker's group")
        }
        return commands
    }

    package func setDelegate(_ delegate: any BrokerDelegate) {
        eventLoop.assertInEventLoop()
        supervisor.subscriber.delegate = delegate
        // What has been said before there was somebody to hear it.
        if status == .available { delegate.statusChanged(to: .available) }
    }

    package func subscribe(to room: RoomName) {
        eventLoop.assertInEventLoop()
        supervisor.subscriber.subscribe(to: room)
    }

    package func unsubscribe(from room: RoomName) {
        eventLoop.assertInEventLoop()
        supervisor.subscriber.unsubscribe(from: room)
    }
}

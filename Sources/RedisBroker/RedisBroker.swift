package import ChatHub
package import ChatProtocol
package import Logging
package import NIOCore
import ServiceLifecycle
import Synchronization

/// Rooms through Redis 7: one command connection for each event loop, and one connection that listens.
///
/// It starts without Redis too: it tries until Redis is there, and ``status`` says what is wrong.
package final class RedisBroker: Broker, Service {
    package let eventLoop: any EventLoop

    private let configuration: RedisBrokerConfiguration
    private let commands: [RedisCommands]
    /// Position in ``commands`` by the loop's identity.
    private let commandsOfLoop: [ObjectIdentifier: RedisCommands]
    private let supervisor: RedisSupervisor
    private let counters: [RedisCounters]
    private let isStarted = Atomic(false)
    private let isEnded = Atomic(false)

    /// - Parameter group: the loops that will ask for commands; the first one becomes ``eventLoop``.
    /// - Throws: when the TLS settings cannot be used.
    package init(configuration: RedisBrokerConfiguration, group: any EventLoopGroup, logger: Logger) throws {
        let connector = try RedisConnector(configuration)
        let incarnation = NodeRegistry.incarnation(of: configuration.node)
        let subscriberCounters = RedisCounters()
        func link(
            on loop: any EventLoop, _ role: String, isSubscription: Bool, _ counters: RedisCounters
        ) -> RedisLink {
            let name = incarnation.prefix { $0 != "." }
            return RedisLink(
                eventLoop: loop, connector: connector,
                settings: .init(
                    url: configuration.url, clientName: "\(configuration.prefix)-\(name)-\(role)",
                    scripts: isSubscription ? [] : Script.all, isSubscription: isSubscription,
                    handshakeTimeout: configuration.connectTimeout, commandTimeout: configuration.commandTimeout,
                    pingInterval: configuration.pingInterval),
                backoff: configuration.backoff, settlingTime: configuration.settlingTime, counters: counters,
                logger: logger)
        }

        var commands: [RedisCommands] = []
        var counters = [subscriberCounters]
        for (number, loop) in group.makeIterator().enumerated() {
            let own = RedisCounters()
            counters.append(own)
            commands.append(
                RedisCommands(
                    link: link(on: loop, "\(number)", isSubscription: false, own), configuration: configuration,
                    loopNumber: number, incarnation: incarnation, counters: own, logger: logger))
        }
        guard let first = commands.first else { preconditionFailure("an event loop group without event loops") }
        for one in commands {
            one.link.events.storeReplaced = { [weak one] in one?.storeReplaced() }
            one.link.events.up = { [weak one] in one?.connectionUp() }
            one.link.events.down = { [weak one] in one?.connectionDown() }
        }
        let loop = first.eventLoop

        let registry = NodeRegistry(
            incarnation: incarnation, link: first.link, configuration: configuration, counters: subscriberCounters,
            logger: logger)
        registry.incarnationChanged = { [commands] incarnation in
            for one in commands { one.eventLoop.execute { one.incarnationChanged(to: incarnation) } }
        }
        let subscriber = RedisSubscriber(
            link: link(on: loop, "subscription", isSubscription: true, subscriberCounters),
            commands: first.link, configuration: configuration, probeID: incarnation, counters: subscriberCounters,
            logger: logger)
        let supervisor = RedisSupervisor(
            subscriber: subscriber, registry: registry, commands: first, loops: commands.count,
            configuration: configuration, logger: logger)
        for one in commands {
            one.link.events.failureChanged = { [weak one, weak supervisor] in
                guard let one, let supervisor else { return }
                let (number, failure) = (one.loopNumber, one.link.failure)
                loop.execute { supervisor.linkChanged(number, failure: failure) }
            }
        }
        self.supervisor = supervisor
        self.configuration = configuration
        self.eventLoop = loop
        self.commands = commands
        self.commandsOfLoop = Dictionary(uniqueKeysWithValues: commands.map { (ObjectIdentifier($0.eventLoop), $0) })
        self.counters = counters
    }

    // MARK: Life

    /// Begins to connect. Does not wait, and does not fail when Redis is away.
    package func start() {
        guard !isStarted.exchange(true, ordering: .relaxed) else { return }
        for one in commands { one.eventLoop.execute { one.start() } }
        eventLoop.execute { [supervisor] in supervisor.start() }
    }

    /// Runs until the service group shuts down or the task is cancelled, then leaves in good order.
    package func run() async throws {
        start()
        // Cancelled or asked to end: either way what follows is the orderly end.
        try? await gracefulShutdown()
        await shutdown()
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
            + [eventLoop.submit { [supervisor] in supervisor.stop() }]
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
        return sum
    }

    // MARK: Broker

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

import ChatHub
import ChatProtocol
import Logging
import NIOCore
import Synchronization

/// What happens on the broker's loop besides commands: listening, heartbeats, and judging whether all of it works.
///
/// `@unchecked Sendable`: every method is called on the broker's loop only, but for ``status``, which is locked.
final class RedisSupervisor: @unchecked Sendable {
    let subscriber: RedisSubscriber
    let registry: NodeRegistry
    private let commands: RedisCommands
    private let configuration: RedisBrokerConfiguration
    private let logger: Logger
    private let current = Mutex(BrokerStatus.unavailable("not connected to Redis yet"))
    private var tasks: [RepeatedTask] = []

    init(
        subscriber: RedisSubscriber, registry: NodeRegistry, commands: RedisCommands,
        configuration: RedisBrokerConfiguration, logger: Logger
    ) {
        self.subscriber = subscriber
        self.registry = registry
        self.commands = commands
        self.configuration = configuration
        self.logger = logger
        subscriber.stateChanged = { [weak self] in self?.judge() }
        registry.stateChanged = { [weak self] in self?.judge() }
        commands.link.events.failureChanged = { [weak self] in self?.judge() }
        commands.link.events.up = { [weak self] in
            guard let self else { return }
            self.commands.connectionUp()
            self.registry.beat()
            self.subscriber.probe()
        }
    }

    /// From any thread. Written only when it changes.
    var status: BrokerStatus { current.withLock { $0 } }

    func start() {
        subscriber.start()
        let quarter = TimeAmount.nanoseconds(configuration.probeInterval.nanoseconds / 4)
        every(configuration.probeInterval) { $0.subscriber.probe() }
        every(configuration.heartbeatInterval) { $0.registry.beat() }
        every(quarter) {
            $0.subscriber.look()
            $0.subscriber.renewLogs()
            $0.judge()
        }
    }

    func stop() {
        for task in tasks { task.cancel() }
        tasks.removeAll()
        subscriber.stop()
        judge()
    }

    private func every(_ interval: TimeAmount, _ body: @escaping @Sendable (RedisSupervisor) -> Void) {
        let task = commands.eventLoop.scheduleRepeatedTask(initialDelay: interval, delay: interval) { [weak self] _ in
            if let self { body(self) }
        }
        tasks.append(task)
    }

    /// Compares what is with what was said.
    private func judge() {
        let failure =
            commands.link.failure ?? subscriber.failure(at: commands.eventLoop.now)
            ?? (registry.isRegistered ? nil : "this node is not registered in Redis yet")
        let status = failure.map { BrokerStatus.unavailable($0) } ?? .available
        let before = current.withLock { current in
            defer { current = status }
            return current
        }
        guard before != status else { return }
        switch (before, status) {
        case (.available, .available): break
        case (.unavailable, .available):
            logger.notice("Redis is available")
            subscriber.delegate?.statusChanged(to: status)
        case (.available, .unavailable(let reason)):
            logger.warning("Redis is unavailable", metadata: ["reason": "\(reason)"])
            subscriber.delegate?.statusChanged(to: status)
        case (.unavailable, .unavailable(let reason)):
            logger.warning("Redis is still unavailable", metadata: ["reason": "\(reason)"])
        }
    }
}

import ChatHub
import ChatProtocol
import Logging
import NIOCore
import Synchronization

/// What happens on the broker's loop besides commands: listening, heartbeats, and judging whether all of it works.
///
/// `@unchecked Sendable`: every method is called on the broker's loop only, but for ``status``, which is locked.
final class RedisSupervisor: @unchecked Sendable {
    let subscriber: any RedisListening
    let registry: NodeRegistry
    /// Those of the broker's loop.
    private let commands: RedisCommands
    private let configuration: RedisBrokerConfiguration
    private let logger: Logger
    private var links: LoopLinks
    /// The reasons that were warned of since Redis was last available.
    private var warned: Set<String> = []
    private let current = Mutex(BrokerStatus.unavailable("not connected to Redis yet"))
    private var tasks: [RepeatedTask] = []
    private var hasBeenAvailable = false
    private var hasWarnedOfPolicy = false
    /// At most one: that of a Redis which was never used.
    let refusals: AsyncStream<UnsuitableRedis>
    private let refuse: AsyncStream<UnsuitableRedis>.Continuation

    init(
        subscriber: any RedisListening, registry: NodeRegistry, commands: RedisCommands, loops: Int,
        configuration: RedisBrokerConfiguration, logger: Logger
    ) {
        self.subscriber = subscriber
        self.registry = registry
        self.commands = commands
        (refusals, refuse) = AsyncStream.makeStream(bufferingPolicy: .bufferingOldest(1))
        if commands.link.isSharded {
            // While a cluster replaces a primary all loops miss it, and all other rooms go on.
            self.links = LoopLinks(loops: loops, why: RedisLink.notConnectedYet, patience: .seconds(3), isForAll: true)
        } else {
            self.links = LoopLinks(loops: loops, why: RedisLink.notConnectedYet)
        }
        self.configuration = configuration
        self.logger = logger
        subscriber.stateChanged = { [weak self] in self?.judge() }
        registry.stateChanged = { [weak self] in self?.judge() }
        commands.link.events.storeReplaced = { [weak self] in
            guard let self else { return }
            self.commands.storeReplaced()
            self.registry.storeReplaced()
            self.subscriber.delegate?.storeReplaced()
        }
        commands.link.events.up = { [weak self] in
            guard let self else { return }
            self.commands.connectionUp()
            self.registry.beat()
            self.subscriber.probe()
            self.warnOfPolicy()
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

    /// The link of a loop stands (nil), or why it does not.
    func linkChanged(_ loop: Int, failure: String?) {
        links.changed(loop, failure: failure, at: commands.eventLoop.now)
        judge()
    }

    /// A connection met a Redis that may throw away what it was given.
    func unsuitable(_ reason: String) {
        if !hasBeenAvailable { refuse.yield(UnsuitableRedis(reason)) }
    }

    private func warnOfPolicy() {
        guard commands.link.hidesPolicy, !hasWarnedOfPolicy else { return }
        hasWarnedOfPolicy = true
        logger.warning(
            "Redis does not tell its maxmemory-policy (CONFIG GET): see to it that it is noeviction, or messages may be lost"
        )
    }

    /// Compares what is with what was said.
    private func judge() {
        let before = status
        let now = commands.eventLoop.now
        let isLenient = before == .available
        let trouble = subscriber.trouble(at: now, isLenient: isLenient)
        let connection =
            links.failure(at: now, isLenient: isLenient) ?? trouble.flatMap { $0.isOfConnection ? $0.reason : nil }
        let failure =
            connection ?? trouble?.reason
            ?? (registry.isRegistered ? nil : "this node is not registered in Redis yet")
        let status = failure.map { BrokerStatus.unavailable($0) } ?? .available
        guard before != status else { return }
        current.withLock { $0 = status }
        if status == .available { hasBeenAvailable = true }
        log(status, before: before, isOfConnection: connection != nil)
        if before == .available || status == .available { subscriber.delegate?.statusChanged(to: status) }
    }

    /// Becoming unavailable and every new reason why a connection or a login failed are worth a warning; what is merely
    /// not done yet is not.
    private func log(_ status: BrokerStatus, before: BrokerStatus, isOfConnection: Bool) {
        switch status {
        case .available:
            warned.removeAll()
            logger.notice("Redis is available")
        case .unavailable(let reason):
            let isNews = isOfConnection && reason != RedisLink.notConnectedYet && !warned.contains(reason)
            let level: Logger.Level = before == .available || isNews ? .warning : .debug
            if level == .warning { warned.insert(reason) }
            let message: Logger.Message =
                before == .available ? "Redis is unavailable" : "Redis is still unavailable"
            logger.log(level: level, message, metadata: ["reason": "\(reason)"])
        }
    }
}

/// The Redis that was found may throw away what it was given, and must be configured otherwise.
package struct UnsuitableRedis: Error, CustomStringConvertible {
    package let description: String

    init(_ description: String) { self.description = description }
}

import ChatHub
import Hiredis
import Logging
import NIOCore

/// Keeps one connection to Redis: connects, and connects again when it was lost. Confined to its event loop.
final class RedisLink {
    /// What the owner wants to know. Called on the loop.
    struct Events {
        var up: () -> Void = {}
        /// The connection is to another store than before, or to one that was restarted. Before ``up``.
        var storeReplaced: () -> Void = {}
        /// The connection was up and is gone; outstanding commands have failed already.
        var down: () -> Void = {}
        /// ``RedisLink/failure`` changed.
        var failureChanged: () -> Void = {}
        var pushed: (Reply) -> Void = { _ in }
        var readAllForNow: () -> Void = {}
    }

    let eventLoop: any EventLoop
    var events = Events()
    /// Why the link is not up; nil when it is.
    private(set) var failure: String? = RedisLink.notConnectedYet
    /// Which life of which store it is, or was last, connected to.
    private(set) var generation: StoreGeneration

    /// ``failure`` before the first attempt has ended.
    static let notConnectedYet = "not connected yet"

    private let connector: RedisConnector
    private var settings: RedisConnection.Settings
    private let counters: RedisCounters
    private let logger: Logger
    private var machine: StateMachine
    private var connection: RedisConnection?
    private var digests: [String?] = []
    private var pause: Scheduled<Void>?
    private var random = SystemRandomNumberGenerator()

    init(
        eventLoop: any EventLoop, connector: RedisConnector, settings: RedisConnection.Settings,
        backoff: Backoff.Limits, settlingTime: TimeAmount, counters: RedisCounters, logger: Logger
    ) {
        self.eventLoop = eventLoop
        self.connector = connector
        self.settings = settings
        self.counters = counters
        self.machine = StateMachine(backoff: backoff)
        self.generation = StoreGeneration(settlingTime: settlingTime)
        var logger = logger
        logger[metadataKey: "connection"] = "\(settings.clientName)"
        self.logger = logger
    }

    var isUp: Bool { failure == nil }

    func start() {
        eventLoop.assertInEventLoop()
        connect()
    }

    /// Closes the connection for good.
    func stop() {
        eventLoop.assertInEventLoop()
        guard case .stopped(let wasReady) = machine.stop() else { return }
        pause?.cancel()
        drop("this node is shutting down", wasUp: wasReady)
    }

    /// Gives the present connection up and makes a new one.
    func replace(_ reason: String) {
        eventLoop.assertInEventLoop()
        connection?.close(reason)
    }

    func isCongested(limit: Int) -> Bool { connection?.isCongested(limit: limit) ?? true }

    /// Sends one command. Fails at once when the link is not up.
    func send(_ arguments: [Argument], _ completion: RedisConnection.Completion? = nil) {
        eventLoop.assertInEventLoop()
        guard isUp, let connection else {
            completion?(.failure(.unavailable(failure ?? "not connected")))
            return
        }
        connection.send(arguments, completion)
    }

    /// Runs a script by its digest, and whole if Redis does not have it (any more).
    func run(
        _ script: Script, keys: [String], _ arguments: [Argument],
        _ completion: @escaping RedisConnection.Completion
    ) {
        let rest = [.integer(keys.count)] + keys.map { Argument.text($0) } + arguments
        let whole: [Argument] = ["EVAL", .text(script.source)] + rest
        guard script.index < digests.count, let digest = digests[script.index] else {
            return send(whole, completion)
        }
        send(["EVALSHA", .text(digest)] + rest) { [self] result in
            guard case .success(.error) = result else { return completion(result) }
            // The only error that arrives as a success is NOSCRIPT: somebody flushed the scripts. EVAL loads it again.
            counters.scriptsReloaded.add()
            send(whole, completion)
        }
    }

    /// Sends what this turn has collected at once.
    func flush() { connection?.flush() }

    private func connect() {
        guard let attempt = machine.connect() else { return }
        let events = RedisConnection.Events(
            ready: { [weak self] digests in self?.ready(attempt, digests) },
            pushed: { [weak self] reply in self?.events.pushed(reply) },
            readAllForNow: { [weak self] in self?.events.readAllForNow() },
            closed: { [weak self] reason in self?.ended(attempt, reason) })
        let connection = RedisConnection(
            settings: settings, counters: counters, now: eventLoop.now, events: events)
        self.connection = connection
        connector.connect(connection, on: eventLoop).assumeIsolated().whenComplete { [weak self] result in
            switch result {
            case .success(let channel):
                // Nobody is left to give the connection up.
                if self == nil { channel.close(promise: nil) }
            case .failure(let error): self?.ended(attempt, RedisConnector.describe(error))
            }
        }
    }

    private func ready(_ attempt: Int, _ digests: [String?]) {
        guard machine.becameReady(attempt, at: eventLoop.now) else { return }
        self.digests = digests
        settings.previous = connection?.identity
        failure = nil
        counters.connections.add()
        logger.debug("Connected to Redis")
        if generation.connected(to: connection?.generation, at: eventLoop.now) { events.storeReplaced() }
        events.failureChanged()
        events.up()
    }

    private func ended(_ attempt: Int, _ reason: String) {
        switch machine.ended(attempt, at: eventLoop.now, using: &random) {
        case .ignore, .stopped: break
        case .connectAfter(let delay, let wasReady):
            counters.disconnections.add()
            pause = eventLoop.assumeIsolated().scheduleTask(in: delay) { [weak self] in self?.connect() }
            drop(reason, wasUp: wasReady)
        }
    }

    private func drop(_ reason: String, wasUp: Bool) {
        let connection = connection
        self.connection = nil
        let isNews = failure != reason
        failure = reason
        connection?.close(reason)
        if isNews {
            logger.debug("Not connected to Redis", metadata: ["reason": "\(reason)"])
            events.failureChanged()
        }
        if wasUp { events.down() }
    }
}

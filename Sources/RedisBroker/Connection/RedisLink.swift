import ChatHub
import ChatProtocol
import Hiredis
import Logging
import NIOCore

/// Keeps one connection to Redis: connects, and connects again when it was lost. Confined to its event loop.
final class RedisLink {
    /// Where the connections go.
    enum Target {
        case fixed(RedisURL.Endpoint)
        /// Asked for each connection anew; fails with a text for operators.
        case asked((any EventLoop) -> EventLoopFuture<RedisURL.Endpoint>)
    }

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
        /// This Redis may throw away what it was given, and is not used.
        var unsuitable: (_ reason: String) -> Void = { _ in }
    }

    let eventLoop: any EventLoop
    var events = Events()
    /// Why the link is not up; nil when it is.
    private(set) var failure: String? = RedisLink.notConnectedYet
    /// Which life of which store it is, or was last, connected to.
    private(set) var generation: StoreGeneration

    /// ``failure`` before the first attempt has ended.
    static let notConnectedYet = "not connected yet"

    /// Where the present connection or attempt goes.
    private(set) var endpoint: RedisURL.Endpoint?

    private let target: Target
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
        eventLoop: any EventLoop, target: Target, connector: RedisConnector, settings: RedisConnection.Settings,
        backoff: Backoff.Limits, settlingTime: TimeAmount, counters: RedisCounters, logger: Logger
    ) {
        self.eventLoop = eventLoop
        self.target = target
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

    /// Redis does not let us see whether it may throw away what it was given. Known once the link is up.
    var hidesPolicy: Bool { connection?.hidesPolicy ?? false }

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

    /// The store goes on from this generation of it.
    func inherit(_ generation: StoreGeneration) { self.generation = generation }

    /// Redis is there from now on: leaves any other place at once.
    func moved(to place: RedisURL.Endpoint) {
        eventLoop.assertInEventLoop()
        guard let endpoint, endpoint != place else { return }
        machine.moved()
        connection?.close("the primary is \(place) now, no more \(endpoint)")
    }

    func isCongested(limit: Int) -> Bool { connection?.isCongested(limit: limit) ?? true }

    /// Sends one command. Fails at once when the link is not up.
    func send(_ arguments: [Argument], _ completion: RedisConnection.Completion? = nil) {
        send(arguments, [], completion)
    }

    private func send(_ arguments: [Argument], _ more: [Argument], _ completion: RedisConnection.Completion?) {
        eventLoop.assertInEventLoop()
        guard isUp, let connection else {
            completion?(.failure(.unavailable(failure ?? "not connected")))
            return
        }
        connection.send(arguments, more, completion)
    }

    /// Runs a script by its digest, and whole if Redis does not have it (any more).
    ///
    /// - Parameter isAsking: Says ASKING first: the node takes the command though the slot is not its own yet.
    func run(
        _ script: Script, keys: [String], _ arguments: [Argument], isAsking: Bool,
        _ completion: @escaping RedisConnection.Completion
    ) {
        let source = script.index < settings.scripts.count ? settings.scripts[script.index].source : script.source
        let digest = script.index < digests.count ? digests[script.index] : nil
        var head: [Argument] = []
        head.reserveCapacity(3 + keys.count)
        head.append(digest == nil ? "EVAL" : "EVALSHA")
        head.append(.text(digest ?? source))
        head.append(.integer(keys.count))
        for key in keys { head.append(.text(key)) }
        if isAsking { send(["ASKING"]) }
        guard digest != nil else { return send(head, arguments, completion) }
        send(head, arguments) { [self, head] result in
            guard case .success(.error) = result else { return completion(result) }
            // The only error that arrives as a success is NOSCRIPT: somebody flushed the scripts. EVAL loads it again.
            counters.scriptsReloaded.add()
            if isAsking { send(["ASKING"]) }
            send(["EVAL", .text(source)] + head[2...], arguments, completion)
        }
    }

    /// Sends what this turn has collected at once.
    func flush() { connection?.flush() }

    /// Sends all that is sent meanwhile together, at the end.
    func together(_ sends: () -> Void) {
        if let connection { connection.together(sends) } else { sends() }
    }

    private func connect() {
        guard let attempt = machine.connect() else { return }
        switch target {
        case .fixed(let endpoint): connect(attempt, to: endpoint)
        case .asked(let ask):
            ask(eventLoop).assumeIsolated().whenComplete { [weak self] result in
                switch result {
                case .success(let endpoint): self?.connect(attempt, to: endpoint)
                case .failure(let error): self?.ended(attempt, BrokerError(any: error).message)
                }
            }
        }
    }

    private func connect(_ attempt: Int, to endpoint: RedisURL.Endpoint) {
        guard machine.isConnecting(attempt) else { return }
        if self.endpoint != endpoint { settings.previous = nil }
        self.endpoint = endpoint
        let events = RedisConnection.Events(
            ready: { [weak self] digests in self?.ready(attempt, digests) },
            pushed: { [weak self] reply in self?.events.pushed(reply) },
            readAllForNow: { [weak self] in self?.events.readAllForNow() },
            unsuitable: { [weak self] reason in self?.events.unsuitable(self?.located(reason) ?? reason) },
            closed: { [weak self] reason in self?.ended(attempt, self?.located(reason) ?? reason) })
        let connection = RedisConnection(
            settings: settings, counters: counters, now: eventLoop.now, events: events)
        self.connection = connection
        let opening = connector.connect(connection, to: endpoint, on: eventLoop, within: settings.handshakeTimeout)
        opening.assumeIsolated().whenComplete { [weak self] result in
            switch result {
            case .success(let channel):
                // Nobody is left to give the connection up.
                if self == nil { channel.close(promise: nil) }
            case .failure(let error): self?.ended(attempt, RedisConnector.describe(error))
            }
        }
    }

    /// A reason with the place, where that is not what somebody has configured.
    private func located(_ reason: String) -> String {
        guard case .asked = target, let endpoint, !reason.contains(endpoint.description) else { return reason }
        return "\(endpoint): \(reason)"
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

package import ChatHub
import ChatProtocol
import Hummingbird
package import Logging
package import NIOCore
import NIOHTTP1
import ServiceLifecycle

/// One node: listens for clients, gives each a session, and joins the sessions' rooms to a broker.
///
/// On a graceful shutdown it drains: readiness goes red and new clients are refused at once, the sessions are asked to
/// move, evenly spread, and those that stay are closed with 1012.
package final class Gateway: Service {
    private let configuration: GatewayConfiguration
    private let group: any EventLoopGroup
    private let storeStatus: @Sendable () -> BrokerStatus
    private let addBrokerMetrics: @Sendable (inout PrometheusText) -> Void
    private let logger: Logger
    /// Seconds since 1970.
    private let startedAt = Double(WallClock.milliseconds()) / 1000
    private let directory: RoomDirectory
    private let moderator: Moderator
    private let lanes: [Lane]
    private let door: FrontDoor
    private let authenticator: Authenticator?
    private let environments: [NIOLoopBound<ChatSession.Environment>]
    private let pendingHandshakes: PendingHandshakes
    private let tls: TLSIdentity?
    private let opsTLS: TLSIdentity?
    private let userRates: UserRates

    /// What belongs to one event loop.
    private struct Lane: Sendable {
        var hub: LoopHub
        var registry: NIOLoopBound<SessionRegistry>
    }

    /// - Parameters:
    ///   - storeStatus: asked from any thread.
    ///   - addBrokerMetrics: appends the broker's own metrics.
    package init(
        configuration: GatewayConfiguration, broker: any ModeratedBroker, group: any EventLoopGroup,
        storeStatus: @escaping @Sendable () -> BrokerStatus,
        addBrokerMetrics: @escaping @Sendable (inout PrometheusText) -> Void, logger: Logger
    ) async throws {
        self.configuration = configuration
        self.group = group
        self.storeStatus = storeStatus
        self.addBrokerMetrics = addBrokerMetrics
        self.logger = logger
        let directory = RoomDirectory(broker: broker, logger: logger)
        self.directory = directory
        let moderator = Moderator(broker: broker, logger: logger)
        self.moderator = moderator
        var authenticator: Authenticator?
        if let authentication = configuration.authentication {
            authenticator = try await Authenticator(authentication, sanctions: moderator.sanctions, logger: logger)
        }
        self.authenticator = authenticator
        pendingHandshakes = PendingHandshakes(
            limit: configuration.maxPendingHandshakes, limitPerAddress: configuration.maxPendingHandshakesPerAddress)
        tls = try configuration.tls.map { try TLSIdentity($0, logger: logger) }
        opsTLS = try configuration.opsTLS.map { try TLSIdentity($0, logger: logger) }
        let userRates = UserRates(
            retries: RequestRates(perSecond: configuration.retriesPerSecond, burst: 20),
            reads: RequestRates(perSecond: configuration.readsPerSecond, burst: 10),
            newRooms: RequestRates(perSecond: configuration.newRoomsPerSecond, burst: 300))
        self.userRates = userRates
        var lanes: [Lane] = []
        var environments: [NIOLoopBound<ChatSession.Environment>] = []
        for (index, loop) in group.makeIterator().enumerated() {
            let (lane, environment) = try await loop.submit { [authenticator] in
                Self.makeLane(
                    index: index, on: loop, broker: broker, directory: directory, moderator: moderator,
                    configuration: configuration, authenticator: authenticator, userRates: userRates, logger: logger)
            }.get()
            lanes.append(lane)
            environments.append(environment)
        }
        self.lanes = lanes
        self.environments = environments
        door = FrontDoor(
            settings: .init(
                origins: OriginPolicy(allowed: configuration.allowedOrigins),
                maxConnections: configuration.maxConnections,
                maxConnectionsPerAddress: configuration.maxConnectionsPerAddress,
                maxSessionsPerUser: configuration.maxSessionsPerUser),
            authenticator: authenticator, sanctions: moderator.sanctions, environments: environments,
            storeStatus: storeStatus)
        try await directory.start(hubs: lanes.map(\.hub), moderator: moderator).get()
        try await moderator.start { [lanes] order, age in
            let loop = moderator.eventLoop
            let concerned = lanes.map { lane in
                lane.hub.eventLoop.submit { lane.registry.value.carryOut(order, age: age, at: .now()) }
            }
            return EventLoopFuture.whenAllSucceed(concerned, on: loop).map { $0.reduce(0, +) }
        }.get()
    }

    private static func makeLane(
        index: Int, on loop: any EventLoop, broker: any Broker, directory: RoomDirectory, moderator: Moderator,
        configuration: GatewayConfiguration, authenticator: Authenticator?, userRates: UserRates, logger: Logger
    ) -> (Lane, NIOLoopBound<ChatSession.Environment>) {
        let hub = LoopHub(
            eventLoop: loop, index: index, broker: broker, directory: directory, clock: { WallClock.microseconds() })
        let registry = SessionRegistry()
        let environment = ChatSession.Environment(
            node: configuration.node, hub: hub, registry: registry,
            limits: .init(
                rooms: configuration.maxRoomsPerSession, sessionsPerUser: configuration.maxSessionsPerUser,
                messagesPerSecond: configuration.messagesPerSecond,
                joinsPerSecond: configuration.joinsPerSecond),
            maxMessageBytes: configuration.maxMessageBytes,
            heartbeat: Int(configuration.heartbeat.nanoseconds / 1_000_000_000),
            presenceGrace: configuration.presenceGrace, clock: { WallClock.milliseconds() }, logger: logger,
            authenticator: authenticator, moderator: moderator, userRates: userRates,
            maxJSONDepth: configuration.maxJSONDepth)
        return (
            Lane(hub: hub, registry: NIOLoopBound(registry, eventLoop: loop)),
            NIOLoopBound(environment, eventLoop: loop)
        )
    }

    package func run() async throws {
        let listener = makeListener()
        // Hummingbird is asked to end, not cancelled: a connection just accepted would be dropped unfinished, which traps.
        let operations = ServiceGroup(
            configuration: .init(
                services: [.init(service: makeOperationsListener())], gracefulShutdownSignals: [], logger: quietLogger))
        // Both go on while the node drains: who knocks is told to go elsewhere, and metrics can be read to the end.
        try await withThrowingTaskGroup(of: Void.self) { tasks in
            tasks.addTask { try await Self.despiteGracefulShutdown { try await listener.run() } }
            tasks.addTask { try await Self.despiteGracefulShutdown { try await operations.run() } }
            for identity in [tls, opsTLS].compactMap({ $0 }) {
                tasks.addTask { await FileWatch(paths: identity.paths).run { identity.reload() } }
            }
            if let authenticator, let path = authenticator.keysFile {
                tasks.addTask { await FileWatch(paths: [path]).run { await authenticator.reload() } }
            }
            tasks.addTask { [self] in
                try await gracefulShutdown()
                await drain()
                await operations.triggerGracefulShutdown()
                // The operations' task ends now. An operator's request that does not end is not waited for.
                try await Task.sleep(for: .seconds(2))
            }
            // Whichever ends first, by failure or because the drain is over, ends the others. A watch ends only with them.
            defer { tasks.cancelAll() }
            try await tasks.next()
        }
        logger.info("The gateway has stopped")
    }

    private var quietLogger: Logger {
        var logger = logger
        logger.logLevel = .critical
        return logger
    }

    /// Runs in a task that hears nothing of a graceful shutdown, only of being cancelled.
    private static func despiteGracefulShutdown(_ body: @escaping @Sendable () async throws -> Void) async throws {
        let task = Task.detached { try await body() }
        try await withTaskCancellationHandler {
            try await task.value
        } onCancel: {
            task.cancel()
        }
    }

    private func makeListener() -> GatewayListener {
        var settings = GatewayListener.Configuration()
        settings.host = configuration.host
        settings.port = configuration.port
        settings.isEchoEnabled = configuration.isEchoEnabled
        settings.isCompressionEnabled = configuration.isCompressionEnabled
        settings.limits = configuration.webSocketLimits
        settings.proxies = configuration.trustedProxies
        settings.pendingHandshakes = pendingHandshakes
        settings.descriptorLimit = configuration.descriptorLimit
        settings.maxBodyBytes = max(settings.maxBodyBytes, configuration.maxMessageBytes)
        let router = Router(context: HTTPContext.self, options: .autoGenerateHeadEndpoints)
        router.middlewares.add(JSONErrors())
        WebAssets(needsToken: authenticator != nil).add(to: router)
        addAPI(to: router)
        var foundation: GatewayListener.Foundation?
        if let tls {
            foundation = { channel in try channel.pipeline.syncOperations.addHandler(tls.makeHandler()) }
        }
        return GatewayListener(
            configuration: settings, group: group, doorkeeper: door, responder: router.buildResponder(),
            foundation: foundation, logger: logger)
    }

    private func addAPI(to router: Router<HTTPContext>) {
        let access = APIAccess(
            door: door, origins: OriginPolicy(allowed: configuration.allowedOrigins), authenticator: authenticator,
            clock: { WallClock.milliseconds() })
        let group = router.group().add(middleware: CrossOrigin(access: access)).add(
            middleware: JSONErrors { [door] in door.refusedRequest($0) })
        RoomRoutes(
            access: access,
            settings: .init(
                heartbeat: configuration.heartbeat, maxMessageBytes: configuration.maxMessageBytes,
                messagesPerSecond: configuration.messagesPerSecond, presenceGrace: configuration.presenceGrace,
                maxJSONDepth: configuration.maxJSONDepth),
            environments: environments, userRates: userRates
        ).add(to: group)
        ModerationRoutes(moderator: moderator) { request, context in
            try access.checkAdministrator(
                request, from: context.peerAddress, query: try access.query(of: request))
        }.add(to: group)
    }

    private func makeOperationsListener() -> OperationsListener {
        OperationsListener(
            host: configuration.opsHost, port: configuration.opsPort, group: group, tls: opsTLS, logger: logger,
            readiness: { [self] in readiness },
            metrics: { [self] in await metricsPage() },
            // Who reaches this port is an operator.
            addRoutes: { ModerationRoutes(moderator: moderator) { _, _ in }.add(to: $0.group()) },
            onListening: { [logger] address in
                logger.info("Listening for operators", metadata: ["address": "\(address.hostAndPort)"])
            })
    }

    // MARK: - Health

    /// Whether the node should be given clients.
    private var readiness: OperationsListener.Readiness {
        if door.isDraining {
            return .notReady(HTTPRefusal(.serviceUnavailable, .draining, "this node is about to stop"))
        }
        switch storeStatus() {
        case .available where !moderator.sanctions.isKnown:
            return .notReady(HTTPRefusal(.serviceUnavailable, .unavailable, "the orders are not read yet"))
        case .available: return .ready
        case .unavailable(let reason):
            return .notReady(HTTPRefusal(.serviceUnavailable, .unavailable, "the store is away: \(reason)"))
        }
    }

    private func metricsPage() async -> ByteBuffer {
        var metrics = GatewayMetrics()
        for lane in lanes {
            let (hub, sessions) =
                (try? await lane.hub.eventLoop.submit { (lane.hub.metrics, lane.registry.value.metrics) }.get())
                ?? (HubMetrics(), SessionRegistry.Metrics())
            metrics.hubs = metrics.hubs + hub
            metrics.sessions = metrics.sessions + sessions
        }
        metrics.directory = (try? await directory.metrics().get()) ?? .init()
        metrics.handshakeRefusals = door.refusals
        metrics.requestRefusals = door.requestRefusals
        metrics.pendingHandshakes = pendingHandshakes.count
        metrics.droppedHandshakes = pendingHandshakes.dropped
        metrics.delayedStrangers = pendingHandshakes.delayed
        metrics.refusedTokens = authenticator?.failures ?? [:]
        metrics.storeStatus = storeStatus()
        metrics.isDraining = door.isDraining
        var page = PrometheusText()
        metrics.write(into: &page)
        addBrokerMetrics(&page)
        ProcessMetrics.now().write(into: &page, startedAt: startedAt)
        return ByteBuffer(string: page.text)
    }

    // MARK: - Draining

    private func drain() async {
        door.startDraining()
        let plan = DrainPlan(spread: configuration.drainTime, allowance: configuration.drainAllowance)
        var sessions = 0
        for lane in lanes {
            sessions += (try? await lane.hub.eventLoop.submit { Self.announceDrain(on: lane, plan) }.get()) ?? 0
        }
        logger.info("Draining", metadata: ["sessions": "\(sessions)"])
        if sessions > 0 {
            await waitUntilEmpty(for: plan.spread + plan.allowance + .seconds(1))
            await closeWhatIsLeft()
            // Who was closed has its grace to come back elsewhere before it is told to be gone.
            try? await Task.sleep(for: .nanoseconds(configuration.presenceGrace.nanoseconds))
        }
    }

    /// Tells each session when to move, and closes it when its time is over.
    private static func announceDrain(on lane: Lane, _ plan: DrainPlan) -> Int {
        let streams = lane.registry.value.streams
        for (index, stream) in streams.enumerated() {
            stream.end(retry: plan.slot(index, of: streams.count).after)
        }
        let sessions = lane.registry.value.sessions
        for (index, session) in sessions.enumerated() {
            let slot = plan.slot(index, of: sessions.count)
            session.send(
                .reconnect(
                    after: Int(slot.after.nanoseconds / 1_000_000),
                    deadline: Int(slot.deadline.nanoseconds / 1_000_000),
                    reason: "restart"))
            lane.hub.eventLoop.assumeIsolated().scheduleTask(in: slot.deadline) {
                session.close(.restart, reason: "this node restarts")
            }
        }
        return sessions.count
    }

    private func waitUntilEmpty(for limit: TimeAmount) async {
        let deadline = NIODeadline.now() + limit
        while .now() < deadline {
            var left = 0
            for lane in lanes {
                left += (try? await lane.hub.eventLoop.submit { lane.registry.value.sessions.count }.get()) ?? 0
            }
            if left == 0 { return }
            guard (try? await Task.sleep(for: .milliseconds(50))) != nil else { return }
        }
    }

    private func closeWhatIsLeft() async {
        for lane in lanes {
            try? await lane.hub.eventLoop.submit {
                for session in lane.registry.value.sessions { session.close(.restart, reason: "this node restarts") }
            }.get()
        }
        await waitUntilEmpty(for: .seconds(4))
    }
}

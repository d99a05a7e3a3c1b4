import ArgumentParser
import ChatGateway
import ChatHub
import LoadTest
import Logging
import NIOCore
import NIOPosix
import RedisBroker
import ServiceLifecycle
import UnixSignals

/// `roost serve`: one gateway, alone or in a cluster.
struct ServeCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "serve",
        abstract: "Run a gateway.",
        discussion: """
            Without --redis it is a whole chat server by itself, its rooms in memory. With --redis any number of \
            gateways share their rooms. Flags go before the environment (ROOST_*), the environment before the file, \
            the file before the defaults.
            """)

    @OptionGroup var options: ServeOptions

    func validate() throws {
        _ = try options.configuration()
    }

    func run() async throws {
        let configuration = try options.configuration()
        LineLogHandler.bootstrap(level: configuration.logLevel, format: configuration.logFormat)
        let logger = Logger(label: "roost")
        if !configuration.hasAuthentication, !configuration.listen.isLoopback {
            logger.warning(
                "NO AUTHENTICATION: everybody who reaches this address may take any name and read every room",
                metadata: ["address": "\(configuration.listen)"])
        }
        let group = MultiThreadedEventLoopGroup(numberOfThreads: configuration.loops)
        do {
            if configuration.redis.isEmpty {
                try await serve(configuration, on: group, with: Self.memoryBroker(configuration, group), logger: logger)
            } else {
                let broker = try RedisBroker(
                    configuration: configuration.redisBroker(), group: group, logger: logger)
                try await serve(
                    configuration, on: group,
                    with: Store(
                        broker: broker, services: [broker], status: { broker.status },
                        addMetrics: { $0.add(broker.metrics) }),
                    logger: logger)
            }
        } catch {
            var reason = "\(error)"
            if let error = error as? ListenError {
                let isPublic = error.port == configuration.listen.port && error.host == configuration.listen.host
                reason += isPublic ? " (--listen)" : " (--ops-listen)"
            }
            logger.critical("The gateway cannot run", metadata: ["error": "\(reason)"])
            try? await group.shutdownGracefully()
            throw ExitCode.failure
        }
        try await group.shutdownGracefully()
    }

    /// A broker with what the gateway needs around it.
    private struct Store {
        var broker: any ModeratedBroker
        /// To be run before and stopped after the gateway.
        var services: [any Service]
        var status: @Sendable () -> BrokerStatus
        var addMetrics: @Sendable (inout PrometheusText) -> Void
    }

    private static func memoryBroker(
        _ configuration: ServeConfiguration, _ group: MultiThreadedEventLoopGroup
    ) -> Store {
        var settings = MemoryBroker.Settings()
        settings.historyMessages = configuration.historyMessages
        settings.historyAge = TimeAmount(configuration.historyAge)
        settings.messagesPerSecond = configuration.roomMessagesPerSecond
        settings.sessionsPerUser = configuration.maxSessionsPerUser
        let broker = MemoryBroker(
            eventLoop: group.next(), loops: Array(group.makeIterator()), settings: settings,
            clock: { WallClock.milliseconds() })
        return Store(broker: broker, services: [], status: { .available }, addMetrics: { _ in })
    }

    private func serve(
        _ configuration: ServeConfiguration, on group: MultiThreadedEventLoopGroup, with store: Store, logger: Logger
    ) async throws {
        let descriptors = FileDescriptorLimit.raise()
        logger.debug("Files may be open", metadata: ["limit": "\(descriptors)"])
        var settings = configuration.gateway
        settings.descriptorLimit = descriptors
        let gateway = try await Gateway(
            configuration: settings, broker: store.broker, group: group, storeStatus: store.status,
            addBrokerMetrics: store.addMetrics, logger: logger)
        let services = store.services.map {
            ServiceGroupConfiguration.ServiceConfiguration(service: $0, failureTerminationBehavior: .cancelGroup)
        }
        let group = ServiceGroup(
            configuration: ServiceGroupConfiguration(
                services: services + [
                    .init(
                        service: gateway, successTerminationBehavior: .gracefullyShutdownGroup,
                        failureTerminationBehavior: .gracefullyShutdownGroup)
                ],
                gracefulShutdownSignals: [.sigterm, .sigint], logger: logger))
        try await group.run()
    }
}

extension ServeConfiguration {
    var gateway: GatewayConfiguration {
        var gateway = GatewayConfiguration(node: nodeName)
        gateway.host = listen.host
        gateway.port = listen.port
        gateway.opsHost = opsListen.host
        gateway.opsPort = opsListen.port
        gateway.isEchoEnabled = enableEcho
        gateway.isCompressionEnabled = compression
        gateway.authentication = authentication
        if !tlsCert.isEmpty {
            gateway.tls = TLSFiles(certificate: tlsCert, key: tlsKey)
            if !opsClientCA.isEmpty {
                gateway.opsTLS = TLSFiles(certificate: tlsCert, key: tlsKey, clientAuthorities: opsClientCA)
            }
        }
        gateway.allowedOrigins = Set(allowedOrigins.map { $0.lowercased() })
        gateway.maxMessageBytes = maxMessageBytes
        gateway.maxJSONDepth = maxJSONDepth
        gateway.maxFragments = maxFragments
        gateway.maxHeaderBytes = maxHeaderBytes
        gateway.maxConnections = maxConnections
        gateway.maxConnectionsPerAddress = maxConnectionsPerAddress
        gateway.trustedProxies = ProxyTrust(trustedProxies) ?? ProxyTrust()
        gateway.maxSessionsPerUser = maxSessionsPerUser
        gateway.maxPendingHandshakes = maxPendingHandshakes
        gateway.maxPendingHandshakesPerAddress = maxPendingHandshakesPerAddress
        gateway.joinsPerSecond = joinsPerSecond
        gateway.retriesPerSecond = retriesPerSecond
        gateway.readsPerSecond = readsPerSecond
        gateway.newRoomsPerSecond = newRoomsPerSecond
        gateway.maxRoomsPerSession = maxRoomsPerSession
        gateway.messagesPerSecond = messagesPerSecond
        gateway.heartbeat = TimeAmount(heartbeat)
        gateway.handshakeTimeout = TimeAmount(handshakeTimeout)
        gateway.stallTimeout = TimeAmount(stallTimeout)
        gateway.unreadOutputBytes = maxUnreadBytes
        gateway.drainTime = TimeAmount(drainTime)
        gateway.drainAllowance = TimeAmount(drainDeadline - drainTime)
        return gateway
    }

    /// Nil: everybody is who they say.
    private var authentication: AuthenticationConfiguration? {
        guard hasAuthentication else { return nil }
        var authentication = AuthenticationConfiguration()
        authentication.secret = authSecret.isEmpty ? nil : authSecret
        authentication.secretAlgorithm = authSecretAlgorithm.token
        authentication.keysFile = authKeysFile.isEmpty ? nil : authKeysFile
        authentication.rules = TokenVerifier.Rules(
            issuer: authIssuer.isEmpty ? nil : authIssuer, audience: authAudience.isEmpty ? nil : authAudience,
            leeway: UInt64(authLeeway))
        authentication.apiKeyHashes = apiKeyHashes
        return authentication
    }

    func redisBroker() throws -> RedisBrokerConfiguration {
        var broker = RedisBrokerConfiguration(url: try RedisURL(redis), node: nodeName)
        broker.tlsCAFile = redisCAFile.isEmpty ? nil : redisCAFile
        broker.tlsServerName = redisServerName.isEmpty ? nil : redisServerName
        broker.prefix = redisPrefix
        broker.connectTimeout = TimeAmount(redisConnectTimeout)
        broker.commandTimeout = TimeAmount(redisCommandTimeout)
        broker.ackReplicas = ackReplicas
        broker.logLength = historyMessages
        broker.messagesPerSecond = roomMessagesPerSecond
        broker.sessionsPerUser = maxSessionsPerUser
        broker.logIdleExpiry = TimeAmount(historyAge)
        return broker
    }
}

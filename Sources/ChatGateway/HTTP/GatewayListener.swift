import ChatProtocol
package import Hummingbird
package import Logging
package import NIOCore
import NIOHTTP1
import NIOPosix
import ServiceLifecycle
import Synchronization

/// The public port: WebSockets at `/ws` (and `/echo`), everything else to the HTTP routes.
///
/// WebSockets live on the event loops alone; the tasks of ordinary requests are children of ``run()``.
package final class GatewayListener: Service, Sendable {
    package struct Configuration: Sendable {
        package var host = "127.0.0.1"
        /// 0 for any free one.
        package var port = 8080
        package var limits = WebSocketLimits()
        /// Whether there is a WebSocket at `/echo`; the doorkeeper gives it its session.
        package var isEchoEnabled = false
        /// Whether clients that offer permessage-deflate get it.
        package var isCompressionEnabled = false
        /// Connections that may wait to be accepted.
        package var backlog: Int32 = 4096
        /// Ordinary requests that may be under way at once; more are refused with 503.
        package var maxRequests = 256
        /// Bytes of an ordinary request's body; more is a 413.
        package var maxBodyBytes = 64 * 1024
        /// Who may say where a connection comes from.
        package var proxies = ProxyTrust()
        package var pendingHandshakes = PendingHandshakes(limit: 0)
        /// File descriptors that the process may have, of which some are kept from clients; nil when that is not known.
        package var descriptorLimit: Int?
        /// How long an HTTP connection may stay open between two requests.
        package var idleTimeout: TimeAmount = .seconds(60)

        package init() {}
    }

    /// Adds handlers below HTTP, such as TLS, to a connection just accepted. On its event loop.
    package typealias Foundation = @Sendable (any Channel) throws -> Void

    /// What the connections of one event loop have in common.
    private struct LoopShare {
        let wheel: HeartbeatWheel
        let compression = LoopCompression()
        let reception: Reception
    }

    private enum State {
        case initial
        case listening(any Channel)
        case stopped
    }

    private let configuration: Configuration
    private let group: any EventLoopGroup
    private let setting: ConnectionSetting
    private let shares: [ObjectIdentifier: LoopShare]
    private let foundation: Foundation?
    private let respond: @Sendable (Request, HTTPContext) async throws -> Response
    private let logger: Logger
    private let state = Mutex(State.initial)
    private let load: RequestLoad
    private let exchanges: AsyncStream<HTTPExchange>
    private let incoming: AsyncStream<HTTPExchange>.Continuation

    /// - Parameters:
    ///   - responder: answers ordinary requests, such as a router's (with ``JSONErrors`` as its first middleware).
    ///   - foundation: handlers to put first into each connection, for TLS.
    package init(
        configuration: Configuration, group: any EventLoopGroup, doorkeeper: any Doorkeeper,
        responder: some HTTPResponder<HTTPContext>, foundation: Foundation? = nil, logger: Logger
    ) {
        let limits = configuration.limits
        let load = RequestLoad(limit: configuration.maxRequests)
        let (exchanges, incoming) = AsyncStream.makeStream(of: HTTPExchange.self)
        self.configuration = configuration
        self.group = group
        self.foundation = foundation
        self.respond = { try await responder.respond(to: $0, context: $1) }
        self.logger = logger
        self.load = load
        self.exchanges = exchanges
        self.incoming = incoming
        self.shares = Dictionary(
            uniqueKeysWithValues: group.makeIterator().map { loop in
                let share = LoopShare(
                    wheel: HeartbeatWheel(eventLoop: loop, limits: limits),
                    reception: Reception(eventLoop: loop, pending: configuration.pendingHandshakes))
                return (ObjectIdentifier(loop), share)
            })
        self.setting = ConnectionSetting(
            limits: limits,
            validator: HandshakeValidator(
                limits: limits, isEchoEnabled: configuration.isEchoEnabled,
                isCompressionEnabled: configuration.isCompressionEnabled),
            doorkeeper: doorkeeper,
            proxies: configuration.proxies,
            pendingHandshakes: configuration.pendingHandshakes,
            maxBodyBytes: configuration.maxBodyBytes,
            idleTimeout: configuration.idleTimeout,
            dispatch: { exchange in
                if let refusal = load.begin() { return refusal }
                incoming.yield(exchange)
                return nil
            })
    }

    // MARK: Life

    /// Starts to listen, unless it does already.
    ///
    /// - Returns: the address, with the port that was chosen.
    /// - Throws: ``ListenError``.
    @discardableResult
    package func bind() async throws -> SocketAddress {
        if case .listening(let channel) = state.withLock({ $0 }), let address = channel.localAddress {
            return address
        }
        let channel: any Channel
        do {
            channel = try await bootstrap.bind(host: configuration.host, port: configuration.port).get()
        } catch {
            throw ListenError(host: configuration.host, port: configuration.port, underlying: error)
        }
        let isWanted = state.withLock { state in
            guard case .initial = state else { return false }
            state = .listening(channel)
            return true
        }
        guard isWanted, let address = channel.localAddress else {
            channel.close(promise: nil)
            throw CancellationError()
        }
        logger.info("Listening for clients", metadata: ["address": "\(address.hostAndPort)"])
        return address
    }

    /// Answers ordinary requests until graceful shutdown; then accepts nothing more, finishes what is under way and
    /// returns. WebSockets are not its business: they end when their sessions end them.
    package func run() async throws {
        try await bind()
        await withDiscardingTaskGroup { tasks in
            await withGracefulShutdownHandler {
                for await exchange in exchanges {
                    tasks.addTask { await self.answer(exchange) }
                }
            } onGracefulShutdown: {
                self.load.stop()
                self.stopAccepting()
                self.incoming.finish()
            }
        }
        stopAccepting()
    }

    /// Closes the listening socket. Connections that stand go on.
    package func stopAccepting() {
        let channel: (any Channel)? = state.withLock { state in
            defer { state = .stopped }
            guard case .listening(let channel) = state else { return nil }
            return channel
        }
        channel?.close(promise: nil)
    }

    // MARK: Ordinary requests

    private func answer(_ exchange: HTTPExchange) async {
        await withTaskGroup(of: Void.self) { tasks in
            tasks.addTask {
                let place = RequestLoad.Place(in: self.load)
                let response = await self.response(to: exchange, place)
                let mayGoOn = await exchange.send(response, isLast: self.load.isStopping)
                // Before the client's next request is looked at, which may need the very place that this one gives back.
                place.leave()
                exchange.finish(mayGoOn: mayGoOn)
            }
            // Whoever has gone needs no answer: the first to end ends the other.
            tasks.addTask { for await _ in exchange.lost {} }
            await tasks.next()
            tasks.cancelAll()
        }
    }

    private func response(to exchange: HTTPExchange, _ place: RequestLoad.Place) async -> Response {
        guard let request = exchange.request else {
            return HTTPErrors.response(
                to: HTTPRefusal(.badRequest, .badRequest, "a header field's name is not valid"))
        }
        do {
            let source = ApplicationRequestContextSource(channel: exchange.channel, logger: logger)
            let context = HTTPContext(source: source, peerAddress: exchange.peerAddress) {
                place.leave()
                exchange.lasts()
            }
            return try await respond(request, context)
        } catch {
            if !(error is any HTTPResponseError), !(error is HTTPRefusal), !(error is CancellationError) {
                logger.error("a route failed", metadata: ["error": "\(error)"])
            }
            return HTTPErrors.response(to: error)
        }
    }

    // MARK: Connections

    private var bootstrap: ServerBootstrap {
        let limits = configuration.limits
        let waterMarks = ChannelOptions.Types.WriteBufferWaterMark(
            low: limits.lowWaterMark, high: max(limits.lowWaterMark, limits.highWaterMark))
        return ServerBootstrap(group: group)
            .serverChannelOption(.backlog, value: configuration.backlog)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            // Some newcomers in each turn of the loop: the others wait in the system's queue, at no cost.
            .serverChannelOption(.maxMessagesPerRead, value: 2)
            .serverChannelInitializer { [logger, pending = setting.pendingHandshakes] channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(AcceptPause(pending: pending, logger: logger))
                }
            }
            // At once, as the bootstrap's own child options take a future each, and four times the instructions.
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    if let options = channel.syncOptions {
                        try options.setOption(.tcpOption(.tcp_nodelay), value: 1)
                        try options.setOption(.allowRemoteHalfClosure, value: true)
                        try options.setOption(.recvAllocator, value: ReadSizes())
                        // Whoever sends more than one buffer's worth waits for the others in between.
                        try options.setOption(.maxMessagesPerRead, value: 1)
                        try options.setOption(.writeBufferWaterMark, value: waterMarks)
                    }
                    try self.prepare(channel)
                }
            }
    }

    private func prepare(_ channel: any Channel) throws {
        guard let share = shares[ObjectIdentifier(channel.eventLoop)] else {
            throw ChannelError.inappropriateOperationForState
        }
        let pipeline = channel.pipeline.syncOperations
        let socket = try pipeline.withUnsafeTransportIfAvailable(of: NIOBSDSocket.Handle.self) { $0 }
        // There is nobody to talk to yet, so it is closed without a word.
        guard DescriptorReserve(limit: configuration.descriptorLimit).allows(Int(socket ?? 0)) else {
            setting.pendingHandshakes.drop()
            return channel.close(promise: nil)
        }
        let peer = channel.remoteAddress?.ipAddress ?? ""
        let address = setting.proxies.isTrusted(peer) ? nil : peer
        guard setting.pendingHandshakes.begin(address) else { return channel.close(promise: nil) }
        let gate = ReceptionGate(reception: share.reception, address: peer)
        try pipeline.addHandler(gate)
        try foundation?(channel)
        let limits = configuration.limits
        var decoding = NIOHTTPDecoderLimitConfiguration()
        // The decoder counts the target as a field; the exact limits are checked on what it lets through.
        decoding.maxHeaderFieldSize = max(limits.headerBytes, limits.requestTargetBytes)
        decoding.maxHeaderListSize = limits.headerBytes + limits.requestTargetBytes
        decoding.maxHeaderFieldCount = limits.headerFields
        let meter = HeadMeter()
        let encoder = HTTPResponseEncoder()
        let decoder = ByteToMessageHandler(
            HTTPRequestDecoder(leftOverBytesStrategy: .forwardBytes, limitConfiguration: decoding))
        try pipeline.addHandler(meter)
        try pipeline.addHandler(encoder)
        try pipeline.addHandler(decoder)
        try pipeline.addHandler(
            UpgradeSwitch(
                setting: setting, wheel: share.wheel, compression: share.compression, peer: peer,
                socket: foundation == nil ? socket : nil, pendingAddress: address, gate: gate, meter: meter,
                encoder: encoder, decoder: decoder))
    }
}

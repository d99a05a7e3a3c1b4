package import ChatProtocol
package import NIOCore
import NIOHTTP1
import NIOPosix
package import NIOSSL
import NIOWebSocket

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#else
import Darwin
#endif

/// Hears what happens on a ``ClientConnection``, on its event loop.
package protocol ClientConnectionDelegate: AnyObject {
    /// The handshake is done; `welcome` follows.
    func opened(_ connection: ClientConnection)
    /// One whole text message.
    func received(_ text: ByteBuffer, on connection: ClientConnection)
    /// The end of a burst of messages: a good moment to act on all of them. What was sent is flushed after it.
    func receivedAllForNow(on connection: ClientConnection)
    /// What was written has left; more may be.
    func becameWritable(_ connection: ClientConnection)
    /// Exactly once, also for a connection that never opened. Nothing follows.
    func closed(_ connection: ClientConnection, _ ending: ConnectionEnding)
}

/// One WebSocket connection to a node: bytes and life, no meaning.
///
/// Confined to its event loop, one channel handler without a task, so that a process can have thousands.
package final class ClientConnection {
    /// How a connection is made; the same for all connections of a client.
    package struct Options: Sendable {
        package var user: UserName?
        package var token: String?
        package var headers: [(name: String, value: String)] = []
        package var echo = true
        /// For `wss`.
        package var tls: NIOSSLContext?
        /// For TCP, TLS and the handshake together.
        package var timeout: TimeAmount = .seconds(10)
        /// Whether text is checked to be UTF-8.
        package var checksText = true
        /// Where to connect from; nil: the system chooses.
        package var localAddress: SocketAddress?
        /// Bytes that TCP may hold unread (SO_RCVBUF); nil: the system chooses.
        package var receiveBuffer: Int?

        package init() {}

        /// One TLS context for all connections, where one is needed at all.
        ///
        /// - Parameter file: certificates (PEM) that the nodes' are checked against, instead of the system's.
        package mutating func prepareTLS(for addresses: [ServerAddress], trusting file: String? = nil) throws {
            guard addresses.contains(where: \.isSecure) else { return }
            var configuration = TLSConfiguration.makeClientConfiguration()
            if let file { configuration.trustRoots = .file(file) }
            tls = try NIOSSLContext(configuration: configuration)
        }
    }

    private enum State {
        case opening, open, closing, closed
    }

    package let address: ServerAddress
    package let eventLoop: any EventLoop
    private var delegate: (any ClientConnectionDelegate)?
    private var state = State.opening
    private var channel: (any Channel)?
    private var reader: FrameReader
    private var keepAlive: KeepAlive
    private var lifeCheck: Scheduled<Void>?
    private var deadline: Scheduled<Void>?
    private var outgoing = ByteBuffer()
    private var scratch = ByteBuffer()
    private var isReading = false
    /// The HTTP codec is still in the pipeline, which takes no frames.
    private var isUpgrading = false
    private var random = SystemRandomNumberGenerator()

    /// Whether incoming messages are held back; see ``pause()``.
    package private(set) var isPaused = false

    /// False while more is written than the network takes.
    package var isWritable: Bool { channel?.isWritable ?? false }

    private init(
        to address: ServerAddress, options: Options, on eventLoop: any EventLoop,
        delegate: any ClientConnectionDelegate
    ) {
        self.address = address
        self.eventLoop = eventLoop
        self.delegate = delegate
        reader = FrameReader(maximumLength: ServerMessage.maximumLength, checksText: options.checksText)
        keepAlive = KeepAlive(heartbeat: .seconds(25), now: .now())
    }

    /// Begins to connect, on the event loop; the delegate, kept until ``ClientConnectionDelegate/closed(_:_:)``, hears
    /// how it went, never before this returns.
    package static func connect(
        to address: ServerAddress, options: Options, on eventLoop: any EventLoop,
        delegate: any ClientConnectionDelegate
    ) -> ClientConnection {
        eventLoop.assertInEventLoop()
        let connection = ClientConnection(to: address, options: options, on: eventLoop, delegate: delegate)
        let bound = NIOLoopBound(connection, eventLoop: eventLoop)
        eventLoop.execute { bound.value.start(options) }
        return connection
    }

    private func start(_ options: Options) {
        guard state == .opening else { return }
        let bound = NIOLoopBound(self, eventLoop: eventLoop)
        let address = address
        deadline = eventLoop.scheduleTask(in: options.timeout) {
            bound.value.fail(.unreachable("no answer from \(address) in time"))
        }
        var bootstrap = ClientBootstrap(group: eventLoop)
            .connectTimeout(options.timeout)
            .channelOption(.maxMessagesPerRead, value: 4)
            .channelOption(
                .recvAllocator, value: AdaptiveRecvByteBufferAllocator(minimum: 512, initial: 2048, maximum: 65536)
            )
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try ClientConnection.configure(channel, for: bound.value, options: options)
                }
            }
        if let localAddress = options.localAddress { bootstrap = bootstrap.bind(to: localAddress) }
        if let size = options.receiveBuffer {
            bootstrap = bootstrap.channelOption(.socketOption(.so_rcvbuf), value: .init(size))
        }
        // A name is resolved away from the loop; a number needs nobody.
        let connected: EventLoopFuture<any Channel>
        if let number = try? SocketAddress(ipAddress: address.host, port: address.port) {
            connected = bootstrap.connect(to: number)
        } else {
            connected = bootstrap.connect(host: address.host, port: address.port)
        }
        connected.assumeIsolated().whenComplete { result in
            switch result {
            case .success(let channel):
                // Given up in the meantime: nobody else holds the channel.
                if self.state == .closed { channel.close(promise: nil) }
            case .failure(let error as IOError) where [EADDRNOTAVAIL, EADDRINUSE].contains(error.errnoCode):
                self.fail(.noLocalPort)
            case .failure(let error):
                self.fail(.unreachable("\(address): \(error)"))
            }
        }
    }

    private static func configure(_ channel: any Channel, for connection: ClientConnection, options: Options) throws {
        let address = connection.address
        let pipeline = channel.pipeline.syncOperations
        connection.channel = channel
        if address.isSecure {
            let context = try options.tls ?? NIOSSLContext(configuration: .makeClientConfiguration())
            // Server name indication is for names only.
            let isNumber = (try? SocketAddress(ipAddress: address.host, port: address.port)) != nil
            try pipeline.addHandler(
                NIOSSLClientHandler(context: context, serverHostname: isNumber ? nil : address.host))
        }
        let encoder = HTTPRequestEncoder()
        let decoder = ByteToMessageHandler(HTTPResponseDecoder(leftOverBytesStrategy: .forwardBytes))
        try pipeline.addHandler(encoder)
        try pipeline.addHandler(decoder)
        try pipeline.addHandler(
            Handshake(address: address, options: options, codec: (encoder, decoder), connection: connection))
    }

    // MARK: - The handshake's outcome

    func handshakeDone(in pipeline: ChannelPipeline.SynchronousOperations, after handshake: Handshake) throws {
        guard state == .opening else { return }
        try pipeline.addHandler(SocketHandler(self), position: .after(handshake))
        state = .open
        isUpgrading = true
        deadline?.cancel()
        deadline = nil
        keepAlive.heard(at: .now())
        checkLife()
        delegate?.opened(self)
    }

    /// The HTTP codec is gone, and what came in one packet with its answer was read.
    func upgraded() {
        isUpgrading = false
        burstEnded()
    }

    /// Ends a connection that cannot be used (any more), without a goodbye.
    package func fail(_ ending: ConnectionEnding) {
        finish(ending)
        channel?.close(promise: nil)
    }

    // MARK: - Sending

    /// Queues one event; ``flush()`` sends it. Nothing happens when the connection is not open.
    package func send(_ message: ClientMessage) {
        scratch.clear()
        message.write(into: &scratch)
        send(text: scratch)
    }

    /// Queues one text message.
    package func send(text: ByteBuffer) {
        guard state == .open else { return }
        write(text, kind: .text)
    }

    /// Sends what is queued; cheap when nothing is.
    package func flush() {
        guard outgoing.readableBytes > 0, !isUpgrading, let channel else { return }
        channel.writeAndFlush(outgoing, promise: nil)
        outgoing = ByteBuffer()
    }

    private func write(_ payload: ByteBuffer, kind: MaskedFrame.Kind) {
        MaskedFrame.write(payload, kind: kind, key: random.next(), into: &outgoing)
        // Handed over in time, so that `isWritable` speaks of it.
        if outgoing.readableBytes > 32 * 1024 { flush() }
    }

    // MARK: - Reading

    /// Holds back what comes, first here and then in TCP's buffers, until ``resume()``. The node sees a client that
    /// does not read.
    package func pause() {
        guard !isPaused, state == .open else { return }
        isPaused = true
        try? channel?.syncOptions?.setOption(.autoRead, value: false)
    }

    package func resume() {
        guard isPaused else { return }
        isPaused = false
        // Not from within the delegate's call: what is held back comes on a stack of its own.
        let bound = NIOLoopBound(self, eventLoop: eventLoop)
        eventLoop.execute {
            let connection = bound.value
            guard !connection.isPaused, connection.state == .open else { return }
            connection.keepAlive.heard(at: .now())
            connection.readFrames()
            connection.burstEnded()
            guard !connection.isPaused else { return }
            try? connection.channel?.syncOptions?.setOption(.autoRead, value: true)
        }
    }

    fileprivate func received(_ bytes: ByteBuffer) {
        switch state {
        case .open, .closing:
            keepAlive.heard(at: .now())
            reader.append(bytes)
            readFrames()
        case .opening, .closed:
            break
        }
    }

    private func readFrames() {
        // A delegate that closes, pauses or resumes from within must not start a second walk through the buffer.
        guard !isReading else { return }
        isReading = true
        defer { isReading = false }
        do {
            while !isPaused, state == .open || state == .closing, let event = try reader.next() {
                handle(event)
            }
        } catch {
            guard state == .open else { return fail(.byClient) }
            write(MaskedFrame.closePayload(code: error.code, reason: error.message), kind: .close)
            flush()
            fail(.violated(error.message))
        }
    }

    private func handle(_ event: FrameReader.Event) {
        switch event {
        case .text(let text):
            if state == .open { delegate?.received(text, on: self) }
        case .ping(let payload):
            // A node that does not read gets no pongs piled up for it.
            if state == .open, isWritable { write(payload, kind: .pong) }
        case .pong:
            break
        case .close(let code, let reason):
            let wasOpen = state == .open
            if wasOpen {
                write(MaskedFrame.closePayload(code: code ?? 1000, reason: ""), kind: .close)
                flush()
            }
            finish(wasOpen ? .closed(code: code, reason: reason) : .byClient)
            // The node ends TCP (RFC 6455, section 7.1.1); this is for one that does not.
            closeChannel(after: .seconds(1))
        }
    }

    /// All that came at once was read.
    func burstEnded() {
        delegate?.receivedAllForNow(on: self)
        flush()
    }

    fileprivate func writabilityChanged() {
        if isWritable, state == .open {
            delegate?.becameWritable(self)
            flush()
        }
    }

    // MARK: - Life and end

    /// The node has said how often it pings.
    package func heartbeatIs(_ heartbeat: TimeAmount) {
        keepAlive.heartbeatIs(heartbeat)
        checkLife()
    }

    private func checkLife() {
        lifeCheck?.cancel()
        guard state == .open else { return }
        // A paused connection cannot hear; the node's own heartbeat decides how long that may last.
        if isPaused { keepAlive.heard(at: .now()) }
        switch keepAlive.check(at: .now()) {
        case .silent:
            fail(.silent)
        case .alive(let next):
            let bound = NIOLoopBound(self, eventLoop: eventLoop)
            lifeCheck = eventLoop.scheduleTask(deadline: next) { bound.value.checkLife() }
        }
    }

    /// Says goodbye and closes; the delegate's `closed` follows within two seconds.
    package func close(_ code: CloseCode = .normal) {
        switch state {
        case .opening:
            let bound = NIOLoopBound(self, eventLoop: eventLoop)
            eventLoop.execute { bound.value.fail(.byClient) }
        case .open:
            state = .closing
            write(MaskedFrame.closePayload(code: code.rawValue, reason: ""), kind: .close)
            flush()
            if isPaused { resumeToClose() }
            closeChannel(after: .seconds(2))
        case .closing, .closed:
            break
        }
    }

    private func resumeToClose() {
        isPaused = false
        try? channel?.syncOptions?.setOption(.autoRead, value: true)
    }

    private func closeChannel(after delay: TimeAmount) {
        deadline?.cancel()
        let bound = NIOLoopBound(self, eventLoop: eventLoop)
        deadline = eventLoop.scheduleTask(in: delay) { bound.value.fail(.byClient) }
    }

    fileprivate func inactive(_ reason: String) {
        finish(state == .closing ? .byClient : .lost(reason))
        deadline?.cancel()
        deadline = nil
    }

    private func finish(_ ending: ConnectionEnding) {
        guard state != .closed else { return }
        state = .closed
        lifeCheck?.cancel()
        deadline?.cancel()
        deadline = nil
        let delegate = delegate.take()
        delegate?.closed(self, ending)
    }
}

/// Stands in the pipeline for a connection.
private final class SocketHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer

    private let connection: ClientConnection
    private var failure: String?

    init(_ connection: ClientConnection) {
        self.connection = connection
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        connection.received(unwrapInboundIn(data))
    }

    func channelReadComplete(context: ChannelHandlerContext) {
        connection.burstEnded()
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        connection.writabilityChanged()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        failure = "\(error)"
        context.close(promise: nil)
    }

    func channelInactive(context: ChannelHandlerContext) {
        connection.inactive(failure ?? "TCP ended without a Close frame")
    }
}

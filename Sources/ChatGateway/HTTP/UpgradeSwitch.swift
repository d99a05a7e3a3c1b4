import ChatProtocol
import NIOCore
import NIOHTTP1

/// What connections of one event loop share.
struct ConnectionSetting: Sendable {
    var limits: WebSocketLimits
    var validator: HandshakeValidator
    var doorkeeper: any Doorkeeper
    var proxies: ProxyTrust
    var pendingHandshakes: PendingHandshakes
    var maxBodyBytes: Int
    /// How long a connection may stay open between two requests.
    var idleTimeout: TimeAmount
    /// Hands a request to the routes; a refusal when they cannot take it.
    var dispatch: @Sendable (HTTPExchange) -> HTTPRefusal?
}

/// Stands behind the HTTP decoder of a new connection: hands ordinary requests to the routes one after the other, and
/// turns the connection into a WebSocket at the first request for one, whichever request of the connection it is.
final class UpgradeSwitch: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = HTTPServerRequestPart
    typealias OutboundOut = HTTPServerResponsePart

    private let setting: ConnectionSetting
    private let wheel: HeartbeatWheel
    private let compression: LoopCompression?
    private let gate: ReceptionGate
    /// The other end of the socket.
    private let peer: String
    /// Nil where TLS is below HTTP.
    private let socket: CInt?
    private let meter: HeadMeter
    private let encoder: HTTPResponseEncoder
    private let decoder: ByteToMessageHandler<HTTPRequestDecoder>
    private var machine: StateMachine
    private var context: ChannelHandlerContext?
    /// Parts of later requests that the decoder had read already; no more than two bursts, as reading pauses.
    private var waiting = CircularBuffer<HTTPServerRequestPart>()
    /// Counted among those who have said nothing yet, or nothing since they were answered.
    private var isPending = true
    /// What it is counted by meanwhile.
    private let pendingAddress: String?
    /// Where the request that is being read comes from.
    private var peerAddress = ""
    /// Ends the task that answers when the connection is lost.
    private var lifeline: AsyncStream<Never>.Continuation?

    /// - Parameters:
    ///   - peer: the IP address of the socket's other end; empty for a socket without one.
    ///   - socket: takes the bytes of HTTP as they are; nil when they change on their way to it.
    ///   - pendingAddress: what the connection is counted by while no request of it is here.
    ///   - gate, meter, encoder, decoder: go from the pipeline when the connection becomes a WebSocket.
    init(
        setting: ConnectionSetting, wheel: HeartbeatWheel, compression: LoopCompression?, peer: String, socket: CInt?,
        pendingAddress: String?, gate: ReceptionGate, meter: HeadMeter,
        encoder: HTTPResponseEncoder, decoder: ByteToMessageHandler<HTTPRequestDecoder>
    ) {
        self.setting = setting
        self.wheel = wheel
        self.compression = compression
        self.peer = peer
        self.socket = socket
        self.pendingAddress = pendingAddress
        self.gate = gate
        self.meter = meter
        self.encoder = encoder
        self.decoder = decoder
        self.machine = StateMachine(maxBodyBytes: setting.maxBodyBytes)
    }

    // MARK: Requests

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let part = Self.unwrapInboundIn(data)
        if machine.isAnswering {
            waiting.append(part)
        } else {
            receive(part)
        }
    }

    private func receive(_ part: HTTPServerRequestPart) {
        switch part {
        case .head(let head):
            endHandshake()
            peerAddress = setting.proxies.client(of: peer, forwardedFor: head.headers)
            let verdict = setting.validator.judge(head, peerAddress: peerAddress)
            run(machine.receivedHead(head, verdict))
        case .body(let bytes):
            run(machine.receivedBody(bytes))
        case .end:
            meter.expectRequest()
            run(machine.receivedEnd())
        }
    }

    /// The head of a request is here.
    private func endHandshake() {
        guard isPending else { return }
        isPending = false
        setting.pendingHandshakes.end(pendingAddress)
    }

    private func run(_ action: StateMachine.Action) {
        guard let context else { return }
        switch action {
        case .none:
            break
        case .sayContinue:
            let head = HTTPResponseHead(version: .http1_1, status: .continue)
            context.writeAndFlush(Self.wrapOutboundOut(.head(head)), promise: nil)
        case .refuse(let refusal):
            refuse(refusal, context: context)
        case .upgrade(let handshake):
            upgrade(handshake, context: context)
        case .answer(let head, let body):
            answer(head, body, context: context)
        case .proceed:
            wheel.setDeadline(of: self, in: setting.idleTimeout)
            while !machine.isAnswering, let part = waiting.popFirst() { receive(part) }
            if !machine.isAnswering { setAutoRead(true) }
        case .end:
            end(context: context)
        case .cut:
            context.close(promise: nil)
        }
    }

    private func refuse(_ refusal: HTTPRefusal, context: ChannelHandlerContext) {
        context.write(Self.wrapOutboundOut(.head(refusal.head)), promise: nil)
        context.write(Self.wrapOutboundOut(.body(.byteBuffer(refusal.body))), promise: nil)
        context.writeAndFlush(Self.wrapOutboundOut(.end(nil)), promise: nil)
        end(context: context)
    }

    private func end(context: ChannelHandlerContext) {
        wheel.clearDeadline(of: self)
        waiting.removeAll()
        LingeringClose.begin(on: context.channel, wheel: wheel, timeout: setting.limits.closeTimeout)
    }

    // MARK: Ordinary requests

    private func answer(_ head: HTTPRequestHead, _ body: ByteBuffer, context: ChannelHandlerContext) {
        // Until the answer is out nothing more is read, so that one client has one request under way.
        setAutoRead(false)
        wheel.clearDeadline(of: self)
        let (lost, lifeline) = AsyncStream.makeStream(of: Never.self)
        self.lifeline = lifeline
        let exchange = HTTPExchange(
            head: head, body: body, peerAddress: peerAddress, channel: context.channel,
            connection: NIOLoopBound(self, eventLoop: context.eventLoop), lost: lost)
        if let refusal = setting.dispatch(exchange) { run(machine.unanswerable(refusal)) }
    }

    /// Sends a part of the answer. The client has a bounded time to take it.
    func write(_ part: HTTPServerResponsePart, promise: EventLoopPromise<Void>) {
        guard let context, machine.isAnswering else {
            promise.fail(ChannelError.ioOnClosedChannel)
            return
        }
        wheel.setDeadline(of: self, in: setting.limits.stallTimeout)
        context.writeAndFlush(Self.wrapOutboundOut(part), promise: promise)
        promise.futureResult.assumeIsolated().whenComplete { _ in
            if self.machine.isAnswering { self.wheel.clearDeadline(of: self) }
        }
    }

    /// The request under way will take long; who says that they send nothing more are taken to have gone.
    func requestLasts() { machine.requestLasts() }

    /// The answer is out, or cannot be finished.
    ///
    /// - Parameter mayGoOn: the client may send another request.
    func answered(mayGoOn: Bool) {
        lifeline?.finish()
        lifeline = nil
        guard context != nil, machine.isAnswering else { return }
        // Until its next request it is one of those who say nothing.
        isPending = mayGoOn && setting.pendingHandshakes.begin(pendingAddress)
        run(machine.answered(mayGoOn: isPending))
    }

    // MARK: WebSocket

    private func upgrade(_ handshake: Handshake, context: ChannelHandlerContext) {
        guard context.channel.isActive else { return }
        switch setting.doorkeeper.admit(handshake.request, on: context.eventLoop) {
        case .failure(let refusal):
            refuse(refusal, context: context)
        case .success(let session):
            do {
                try hand(over: context, to: session, handshake)
            } catch {
                // The pipeline is gone, so the connection is: the session has to hear it.
                session.closed(.lost)
                context.close(promise: nil)
            }
        }
    }

    private func hand(
        over context: ChannelHandlerContext, to session: any WebSocketSession, _ handshake: Handshake
    ) throws {
        let pipeline = context.pipeline.syncOperations
        let isEcho = handshake.request.path == .echo
        let connection = WebSocketConnection(
            session: session,
            wheel: isEcho ? HeartbeatWheel(eventLoop: wheel.eventLoop, limits: setting.limits.forConformance) : wheel,
            peerAddress: handshake.request.peerAddress, socket: socket, agreement: handshake.compression,
            compression: compression)
        try pipeline.addHandler(connection, position: .after(self))
        wheel.clearDeadline(of: self)
        setAutoRead(true)
        gate.retire()
        _ = pipeline.removeHandler(meter)
        _ = pipeline.removeHandler(encoder)
        _ = pipeline.removeHandler(self)
        connection.start(answer: handshake.answer)
        // Last: the frames that came with the handshake go straight to the connection, a tick later, when the read
        // that brought them is over. So its end is told once more.
        pipeline.removeHandler(decoder).assumeIsolated().whenComplete { _ in
            pipeline.fireChannelReadComplete()
        }
    }

    // MARK: Connection

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        wheel.setDeadline(of: self, in: setting.limits.handshakeTimeout)
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        self.context = nil
        endHandshake()
        wheel.clearDeadline(of: self)
        lifeline?.finish()
        lifeline = nil
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if let event = event as? ChannelEvent, event == .inputClosed {
            run(machine.receivedEndOfInput())
        }
        context.fireUserInboundEventTriggered(event)
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        switch error as? HTTPParserError {
        case .headerOverflow:
            run(machine.failed(setting.validator.overflow(withinTarget: meter.isWithinRequestLine)))
        case .some:
            run(machine.failed(HTTPRefusal(.badRequest, .badRequest, "this is not a valid HTTP/1.1 request")))
        case nil:
            run(machine.timedOut())
        }
    }

    private func setAutoRead(_ isOn: Bool) {
        // Fails only on a channel that is closed.
        try? context?.channel.syncOptions?.setOption(.autoRead, value: isOn)
    }
}

extension UpgradeSwitch: WheelRider {
    func beat() {}

    func deadlinePassed() { run(machine.timedOut()) }
}

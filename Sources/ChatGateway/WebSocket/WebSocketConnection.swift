import ChatHub
package import ChatProtocol
import Deflate
package import NIOCore

/// One WebSocket after its handshake: bytes in, messages to the session; frames out; and the closing of it all.
///
/// Confined to its event loop, with no task and no timer of its own. What waits for a client that does not read is
/// bounded in bytes, pongs included: a connection that is not writable reads nothing either.
package final class WebSocketConnection: ChannelInboundHandler {
    package typealias InboundIn = ByteBuffer
    package typealias OutboundOut = ByteBuffer

    package let eventLoop: any EventLoop
    /// The client's IP address as the socket tells it; empty for a socket without one.
    package let peerAddress: String
    /// Whether little enough waits unsent that more may be sent without a second thought.
    package private(set) var isWritable = true

    private let wheel: HeartbeatWheel
    private var seat: Int?
    private var context: ChannelHandlerContext?
    private let outlet = FrameOutlet()
    private var session: (any WebSocketSession)?
    private var machine = StateMachine()
    private var decoder: FrameDecoder
    private var keepAlive = KeepAlive()
    private var budget: FrameBudget
    private let agreement: CompressionAgreement?
    /// Of the loop; nil where no compression was agreed on.
    private let compression: LoopCompression?
    /// Nothing is read for a while, because the client has sent more frames than it may.
    private var isPaced = false
    /// What was read and has not had its turn; nothing more is read meanwhile.
    private var rest: ByteBuffer?
    private var isGoingOn = false
    /// A longer burst of small frames would keep all others of the loop waiting.
    private static let eventsInATurn = 128
    /// Between a read and the end of its burst; output is flushed then, all at once.
    private var isReading = false
    private var hasUnflushedOutput = false
    /// Bytes written since the connection ceased to be writable, as far as they were not seen to leave.
    private var excess = 0
    /// The latest ping that came while not writable. Only that one is answered (RFC 6455, section 5.5.3).
    private var owedPong: ByteBuffer?
    private var reportedWritability = true
    private var isReportingWritability = false
    private var hasReportedEnd = false

    /// - Parameter socket: may be written to directly; nil when the channel changes bytes on their way to it, as TLS does.
    package init(
        session: any WebSocketSession, wheel: HeartbeatWheel, peerAddress: String, socket: CInt? = nil,
        agreement: CompressionAgreement? = nil, compression: LoopCompression? = nil
    ) {
        self.agreement = agreement
        self.compression = agreement == nil ? nil : compression
        self.eventLoop = wheel.eventLoop
        self.session = session
        self.wheel = wheel
        self.peerAddress = peerAddress
        let limits = wheel.limits
        self.decoder = FrameDecoder(
            maxMessageBytes: limits.maxMessageBytes, maxFragments: limits.maxFragments,
            inflater: self.compression?.inflater)
        self.budget = FrameBudget(
            framesPerSecond: limits.framesPerSecond, bytesPerSecond: limits.bytesPerSecond,
            longest: limits.maxMessageBytes, at: wheel.eventLoop.now)
        if let socket { outlet.open(socket: socket) }
    }

    private var limits: WebSocketLimits { wheel.limits }

    /// Answers the handshake and tells the session that it may speak; what it says travels with the answer. The handler
    /// must be in the pipeline, and nothing below it that takes anything but bytes.
    package func start(answer: ByteBuffer = ByteBuffer()) {
        eventLoop.assertInEventLoop()
        if answer.readableBytes > 0 { write(answer) }
        session?.opened(self)
        flushNow()
    }

    // MARK: What the session calls

    /// Bytes that wait to be taken by the client's system.
    package var unsentBytes: Int {
        outlet.queuedBytes
            + (context.flatMap { try? $0.channel.syncOptions?.getOption(.bufferedWritableBytes) } ?? 0)
    }

    /// Queues whole frames, shared with other connections as they are. Goes nowhere once the connection is closing.
    package func send(frames: ByteBuffer) {
        eventLoop.assertInEventLoop()
        guard machine.state == .open else { return }
        write(frames)
        guard !isWritable else { return }
        excess += frames.readableBytes
        if excess > limits.unreadOutputBytes { judgeOutput() }
    }

    /// Whether frames that were compressed for everybody may be sent here.
    package var takesCompressedFrames: Bool { agreement?.isWindowWhole ?? false }

    /// One text message as a frame for this client: compressed where it agreed to that and gains by it.
    package func frame(text: ByteBuffer) -> ByteBuffer {
        var frame = ByteBuffer()
        if let compression, agreement?.covers(text.readableBytes) == true,
            CompressedFrame.write(text, by: compression.deflater, into: &frame)
        {
            return frame
        }
        frame.reserveCapacity(TextFrame.headerLength(text.readableBytes) + text.readableBytes)
        TextFrame.writeHeader(payload: text.readableBytes, into: &frame)
        frame.writeImmutableBuffer(text)
        return frame
    }

    /// Queues one text message.
    package func send(text: ByteBuffer) {
        send(frames: frame(text: text))
    }

    /// Queues one binary message.
    func send(binary: ByteBuffer) {
        var frame = frame(text: binary)
        // The bit of compression stays.
        let first = frame.getInteger(at: frame.readerIndex, as: UInt8.self) ?? 0x81
        frame.setInteger(first ^ 0x03, at: frame.readerIndex)
        send(frames: frame)
    }

    /// Sends what is queued: at once, or with everything else at the end of the burst that is being read.
    package func flush() {
        eventLoop.assertInEventLoop()
        guard hasUnflushedOutput, !isReading else { return }
        flushNow()
    }

    /// Ends the connection: a Close frame, a bounded wait for the peer's, then TCP. Does nothing when it is ending
    /// already.
    ///
    /// - Parameter reason: for the developer of the client; cut to 123 bytes.
    package func close(_ code: CloseCode, reason: String) {
        eventLoop.assertInEventLoop()
        run(machine.closeRequested(code, reason: reason))
    }

    // MARK: Output

    private func write(_ bytes: ByteBuffer) {
        guard let context else { return }
        hasUnflushedOutput = true
        outlet.write(bytes, to: context)
    }

    private func flushNow() {
        hasUnflushedOutput = false
        if let context { outlet.flush(context) }
    }

    /// More was queued than may wait: unless the system takes it now, the client is too slow.
    private func judgeOutput() {
        flushNow()
        excess = unsentBytes
        if excess > limits.unreadOutputBytes {
            close(.overloaded, reason: "more than \(limits.unreadOutputBytes) bytes are unread")
        }
    }

    private func pong(_ payload: ByteBuffer) {
        if isWritable {
            send(frames: ControlFrame.pong(payload))
        } else {
            owedPong = payload
        }
    }

    // MARK: Closing

    private func run(_ action: StateMachine.Action) {
        switch action {
        case .none:
            break
        case .sayClose(let code, let reason):
            write(ControlFrame.close(code.rawValue, reason: reason))
            flushNow()
            awaitPeer()
        case .answerClose(let code):
            write(ControlFrame.close(code, reason: ""))
            shutDown()
        case .sayCloseAndShutDown(let code, let reason):
            write(ControlFrame.close(code.rawValue, reason: reason))
            shutDown()
        case .shutDown:
            shutDown()
        case .cut:
            context?.close(promise: nil)
        }
        reportEnd()
    }

    /// The peer's answer, or the end of its input, has to be read although output may be stuck.
    private func awaitPeer() {
        owedPong = nil
        // The flush before may have found TCP gone.
        guard context != nil, machine.state != .closed else { return }
        wheel.setDeadline(of: self, in: limits.closeTimeout)
        isPaced = false
        readOn()
    }

    private func shutDown() {
        flushNow()
        awaitPeer()
        context?.close(mode: .output, promise: nil)
    }

    /// Deferred, so that a session never hears of its end in the middle of a call of its own.
    private func reportEnd() {
        guard let ending = machine.ending, !hasReportedEnd else { return }
        hasReportedEnd = true
        eventLoop.assumeIsolated().execute {
            let session = self.session
            self.session = nil
            session?.closed(ending)
        }
    }

    /// First what waits, if something does.
    private func readOn() {
        if rest == nil { setAutoRead(true) } else { goOnLater() }
    }

    private func setAutoRead(_ isOn: Bool) {
        // Fails only on a channel that is closed.
        try? context?.channel.syncOptions?.setOption(.autoRead, value: isOn)
    }

    // MARK: Channel

    package func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        seat = wheel.board(self)
    }

    package func handlerRemoved(context: ChannelHandlerContext) {
        self.context = nil
        outlet.close()
        leaveWheel()
    }

    package func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        isReading = true
        keepAlive.heard()
        var bytes = Self.unwrapInboundIn(data)
        // Only the end of the input can come while something waits.
        rest?.writeBuffer(&bytes)
        if rest == nil { handle(bytes, atMost: Self.eventsInATurn) }
    }

    /// Handles so many events; those that come after them wait until the loop has seen to everybody else.
    private func handle(_ input: ByteBuffer, atMost limit: Int) {
        var bytes = input
        var left = limit
        while left > 0, let event = decoder.next(&bytes) {
            handle(event)
            left -= 1
        }
        let cost = decoder.takeCost()
        if let pause = budget.spend(cost.frames, bytes: cost.bytes, at: eventLoop.now) { pace(pause) }
        guard left == 0, bytes.readableBytes > 0 else { return }
        rest = bytes
        setAutoRead(false)
        goOnLater()
    }

    private func goOnLater() {
        guard !isGoingOn else { return }
        isGoingOn = true
        eventLoop.assumeIsolated().execute {
            self.isGoingOn = false
            self.goOn()
        }
    }

    /// Of a connection that closes the end has to be read whatever else holds.
    private var mayBeHeard: Bool { machine.state != .open || (isWritable && !isPaced) }

    /// Handles what waits, if the client may be heard.
    private func goOn() {
        guard let bytes = rest, mayBeHeard else { return }
        rest = nil
        isReading = true
        handle(bytes, atMost: Self.eventsInATurn)
        finishReading()
        if rest == nil, mayBeHeard { setAutoRead(true) }
    }

    /// Nothing more will come: what waits is all there is.
    private func handleRest() {
        guard let bytes = rest else { return }
        rest = nil
        isReading = true
        handle(bytes, atMost: .max)
        finishReading()
    }

    private func pace(_ pause: TimeAmount) {
        // While a connection closes the end has to be read; a wait that is under way goes on after what it did not see.
        guard machine.state == .open, !isPaced else { return }
        isPaced = true
        session?.paced()
        setAutoRead(false)
        eventLoop.assumeIsolated().scheduleTask(in: pause) { [weak self] in self?.paid() }
    }

    private func paid() {
        guard isPaced, machine.state == .open else { return }
        isPaced = false
        if let pause = budget.spend(0, at: eventLoop.now) { return pace(pause) }
        if isWritable { readOn() }
    }

    private func handle(_ event: FrameEvent) {
        switch event {
        case .close(let code, _):
            run(machine.receivedClose(code: code))
        case .failure(let code, let reason):
            run(machine.receivedFault(code, reason: reason))
        case .text(let text):
            if machine.state == .open { session?.received(text) }
        case .binary(let bytes):
            if machine.state == .open { session?.receivedBinary(bytes) }
        case .ping(let payload):
            if machine.state == .open { pong(payload) }
        case .pong:
            break
        }
    }

    package func channelReadComplete(context: ChannelHandlerContext) {
        finishReading()
    }

    private func finishReading() {
        guard isReading else { return }
        if machine.state == .open { session?.receivedAllForNow() }
        isReading = false
        flush()
    }

    package func channelWritabilityChanged(context: ChannelHandlerContext) {
        let isWritable = context.channel.isWritable
        guard isWritable != self.isWritable else { return }
        self.isWritable = isWritable
        excess = 0
        guard machine.state == .open else { return }
        if isWritable {
            wheel.clearDeadline(of: self)
            if !isPaced { readOn() }
            if let payload = owedPong {
                owedPong = nil
                pong(payload)
                flush()
            }
        } else {
            // Judged by the wheel, not by the completion of a write that may never come.
            wheel.setDeadline(of: self, in: limits.stallTimeout)
            setAutoRead(false)
        }
        reportWritability()
    }

    private func reportWritability() {
        guard !isReportingWritability else { return }
        isReportingWritability = true
        eventLoop.assumeIsolated().execute {
            self.isReportingWritability = false
            guard self.isWritable != self.reportedWritability, self.machine.state == .open else { return }
            self.reportedWritability = self.isWritable
            self.session?.writabilityChanged(to: self.isWritable)
        }
    }

    package func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if let event = event as? ChannelEvent, event == .inputClosed {
            handleRest()
            run(machine.receivedEndOfInput())
        }
    }

    package func errorCaught(context: ChannelHandlerContext, error: any Error) {
        run(machine.failed())
    }

    package func channelInactive(context: ChannelHandlerContext) {
        outlet.close()
        handleRest()
        machine.disconnected()
        leaveWheel()
        reportEnd()
    }

    private func leaveWheel() {
        if let seat { wheel.leave(self, seat: seat) }
        seat = nil
        wheel.clearDeadline(of: self)
    }
}

extension WebSocketConnection: WheelRider {
    func beat() {
        // While nothing is read silence proves nothing; where output is stuck the stall's deadline judges.
        guard machine.state == .open, isWritable, !isPaced else { return }
        switch keepAlive.beat() {
        case .ping:
            send(frames: ControlFrame.emptyPing)
            flush()
        case .giveUp:
            close(.goingAway, reason: "no sign of life for two heartbeats")
        }
    }

    func deadlinePassed() {
        if machine.state == .open {
            close(.overloaded, reason: "nothing was read for too long")
        } else {
            run(machine.closeTimedOut())
        }
    }
}

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

    // Each connection has one of these: what is small stands at the end, where it leaves no holes.

    /// The client's IP address as the socket tells it; empty for a socket without one.
    package let peerAddress: String
    let wheel: HeartbeatWheel
    var context: ChannelHandlerContext?
    private let outlet = FrameOutlet()
    var session: (any WebSocketSession)?
    var decoder: FrameDecoder
    var budget: FrameBudget
    /// Of the loop; nil where no compression was agreed on.
    private let compression: LoopCompression?
    @Occasional private var heldUp = HeldUp()
    var seat: WheelSeat?
    var machine = StateMachine()
    var keepAlive = KeepAlive()
    private let agreement: CompressionAgreement?
    /// Whether little enough waits unsent that more may be sent without a second thought.
    package private(set) var isWritable = true
    /// Nothing is read for a while, because the client has sent more frames than it may.
    var isPaced = false
    /// It waits for its turn.
    var isGoingOn = false
    /// Nothing more will come from the client.
    var hasInputEnded = false
    /// Between a read and the end of its burst; output is flushed then, all at once.
    var isReading = false
    private var hasUnflushedOutput = false
    private var reportedWritability = true
    private var isReportingWritability = false
    var hasReportedEnd = false

    /// - Parameter socket: may be written to directly; nil when the channel changes bytes on their way to it, as TLS does.
    package init(
        session: any WebSocketSession, wheel: HeartbeatWheel, peerAddress: String, socket: CInt? = nil,
        agreement: CompressionAgreement? = nil, compression: LoopCompression? = nil
    ) {
        self.agreement = agreement
        self.compression = agreement == nil ? nil : compression
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

    package var eventLoop: any EventLoop { wheel.eventLoop }

    var limits: WebSocketLimits { wheel.limits }

    /// What waits in a connection that does not read, or sends too much at once.
    private struct HeldUp: OccasionalState {
        var rest: ByteBuffer?
        var owedPong: ByteBuffer?
        var excess = 0

        var isInitial: Bool { rest == nil && owedPong == nil && excess == 0 }
    }

    /// What was read and has not had its turn; nothing more is read meanwhile.
    var rest: ByteBuffer? {
        get { heldUp.rest }
        set { heldUp.rest = newValue }
    }

    /// The latest ping that came while not writable. Only that one is answered (RFC 6455, section 5.5.3).
    var owedPong: ByteBuffer? {
        get { heldUp.owedPong }
        set { heldUp.owedPong = newValue }
    }

    /// Bytes written since the connection ceased to be writable, as far as they were not seen to leave.
    private var excess: Int {
        get { heldUp.excess }
        set { heldUp.excess = newValue }
    }

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

    func write(_ bytes: ByteBuffer) {
        guard let context else { return }
        hasUnflushedOutput = true
        outlet.write(bytes, to: context)
    }

    func flushNow() {
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

    func pong(_ payload: ByteBuffer) {
        if isWritable {
            send(frames: ControlFrame.pong(payload))
        } else {
            owedPong = payload
        }
    }

    // MARK: Channel

    package func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        wheel.board(self)
    }

    package func handlerRemoved(context: ChannelHandlerContext) {
        self.context = nil
        outlet.close()
        leaveWheel()
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
            endInput()
        }
    }

    package func errorCaught(context: ChannelHandlerContext, error: any Error) {
        run(machine.failed())
    }

    package func channelInactive(context: ChannelHandlerContext) {
        outlet.close()
        leaveWheel()
        endInput()
    }

    private func leaveWheel() {
        wheel.leave(self)
        wheel.clearDeadline(of: self)
    }
}

import NIOCore

/// Stands first in a connection that is no WebSocket yet, and lets in what the client sends when the ``Reception`` says
/// so. What waits is what one read has brought: meanwhile nothing more is read.
final class ReceptionGate: ChannelDuplexHandler, RemovableChannelHandler {
    typealias InboundIn = ByteBuffer
    typealias InboundOut = ByteBuffer
    typealias OutboundIn = ByteBuffer

    private enum State {
        /// Whatever comes asks for a turn.
        case closed
        /// It is this connection's turn.
        case open
        case waiting(Visit)
    }

    /// What has come meanwhile.
    private struct Visit {
        var bytes: ByteBuffer
        var isInputClosed = false
        /// The connection would read more.
        var wantsMore = false
    }

    private let reception: Reception
    /// Where the connection comes from.
    private let address: String
    private var state = State.closed
    private var context: ChannelHandlerContext?
    /// The connection has become a WebSocket.
    private var isDone = false

    init(reception: Reception, address: String) {
        self.reception = reception
        self.address = address
    }

    var isWaiting: Bool {
        if case .waiting = state { context != nil } else { false }
    }

    /// The connection is a WebSocket from now on. Leaves the pipeline when the turn is over that made it one.
    func retire() {
        isDone = true
        if case .closed = state { leaveIfDone() }
    }

    private func leaveIfDone() {
        guard isDone, let context else { return }
        _ = context.pipeline.syncOperations.removeHandler(self)
    }

    /// Its turn has come.
    func serve() {
        guard let context, case .waiting(let visit) = state else { return }
        state = .open
        context.fireChannelRead(Self.wrapInboundOut(visit.bytes))
        context.fireChannelReadComplete()
        if visit.isInputClosed { context.fireUserInboundEventTriggered(ChannelEvent.inputClosed) }
        state = .closed
        if visit.wantsMore, self.context != nil { context.read() }
        leaveIfDone()
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch state {
        case .closed:
            if reception.beginTurn() {
                state = .open
                context.fireChannelRead(data)
            } else {
                state = .waiting(Visit(bytes: Self.unwrapInboundIn(data)))
                reception.wait(self, address: address)
            }
        case .open:
            context.fireChannelRead(data)
        case .waiting(var visit):
            // The end of the input brings what the system still held.
            state = .closed
            visit.bytes.writeImmutableBuffer(Self.unwrapInboundIn(data))
            state = .waiting(visit)
        }
    }

    func channelReadComplete(context: ChannelHandlerContext) {
        switch state {
        case .closed:
            context.fireChannelReadComplete()
        case .open:
            context.fireChannelReadComplete()
            state = .closed
            reception.endTurn()
            leaveIfDone()
        case .waiting:
            break
        }
    }

    func read(context: ChannelHandlerContext) {
        guard case .waiting(var visit) = state else { return context.read() }
        visit.wantsMore = true
        state = .waiting(visit)
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        guard case .waiting(var visit) = state, let closed = event as? ChannelEvent, closed == .inputClosed else {
            return context.fireUserInboundEventTriggered(event)
        }
        visit.isInputClosed = true
        state = .waiting(visit)
    }

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        self.context = nil
        if case .open = state { reception.endTurn() }
        state = .closed
    }
}

import NIOCore
import NIOSSL

/// Ends a connection so that the peer reads the last answer: output is shut down, and whatever still comes in is
/// thrown away until the peer ends its side too, or for a bounded time. Closing at once could reset the connection and
/// take the answer back.
final class LingeringClose: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer

    private let wheel: HeartbeatWheel
    private let timeout: TimeAmount
    private var context: ChannelHandlerContext?

    private init(wheel: HeartbeatWheel, timeout: TimeAmount) {
        self.wheel = wheel
        self.timeout = timeout
    }

    /// Ends the connection; no other handler hears any more of it but its end. What was to be said must be flushed.
    static func begin(on channel: any Channel, wheel: HeartbeatWheel, timeout: TimeAmount) {
        guard channel.isActive else { return }
        do {
            let closing = LingeringClose(wheel: wheel, timeout: timeout)
            let pipeline = channel.pipeline.syncOperations
            // TLS still has to hear how the peer ends it.
            let tls = try? pipeline.handler(type: NIOSSLServerHandler.self)
            try pipeline.addHandler(closing, position: tls.map { .after($0) } ?? .first)
            try channel.syncOptions?.setOption(.autoRead, value: true)
            channel.close(mode: .output, promise: nil)
        } catch {
            channel.close(promise: nil)
        }
    }

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        wheel.setDeadline(of: self, in: timeout)
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        self.context = nil
        wheel.clearDeadline(of: self)
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {}

    func channelReadComplete(context: ChannelHandlerContext) {}

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if let event = event as? ChannelEvent, event == .inputClosed { context.close(promise: nil) }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        context.close(promise: nil)
    }
}

extension LingeringClose: WheelRider {
    func beat() {}

    func deadlinePassed() { context?.close(promise: nil) }
}

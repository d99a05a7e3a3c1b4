import Logging
import NIOCore

/// Stops accepting for a moment when the system has no descriptor or memory left for another connection. What waits to
/// be accepted keeps the listening socket readable, so trying again at once would keep the event loop busy with nothing.
final class AcceptPause: ChannelInboundHandler {
    typealias InboundIn = any Channel

    private let length: TimeAmount
    private let logger: Logger

    init(length: TimeAmount = .seconds(1), logger: Logger) {
        self.length = length
        self.logger = logger
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        guard error is IOError else { return context.fireErrorCaught(error) }
        logger.warning("accepting pauses", metadata: ["error": "\(error)"])
        let channel = context.channel
        // Both fail only on a channel that is closed.
        try? channel.syncOptions?.setOption(.autoRead, value: false)
        context.eventLoop.assumeIsolated().scheduleTask(in: length) {
            try? channel.syncOptions?.setOption(.autoRead, value: true)
        }
    }
}

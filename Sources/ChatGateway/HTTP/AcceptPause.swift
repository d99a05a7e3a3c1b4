import Logging
import NIOCore

/// Stops accepting for a moment when the system has no descriptor or memory left for another connection. What waits to
/// be accepted keeps the listening socket readable, so trying again at once would keep the event loop busy with nothing.
/// Also while many strangers wait for their turns: who comes then waits in the system's queue, at no cost.
final class AcceptPause: ChannelDuplexHandler {
    typealias InboundIn = any Channel
    typealias OutboundIn = Never

    /// Strangers that wait before no more are accepted.
    static let longLine = 512

    private let length: TimeAmount
    private let pending: PendingHandshakes
    private let logger: Logger
    private var isPutOff = false

    init(length: TimeAmount = .seconds(1), pending: PendingHandshakes = PendingHandshakes(limit: 0), logger: Logger) {
        self.length = length
        self.pending = pending
        self.logger = logger
    }

    func read(context: ChannelHandlerContext) {
        guard pending.waiting >= Self.longLine else { return context.read() }
        guard !isPutOff else { return }
        isPutOff = true
        let channel = context.channel
        context.eventLoop.assumeIsolated().scheduleTask(in: .milliseconds(1)) {
            self.isPutOff = false
            channel.read()
        }
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

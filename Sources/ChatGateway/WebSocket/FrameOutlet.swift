import NIOCore

#if os(Linux)
import Glibc
#endif

/// The way out of one connection. While nothing waits in the channel, frames leave by a `send` of our own, which costs a
/// tenth of the channel's instructions; what the system does not take is the channel's, and so is all that follows until
/// nothing waits there any more. So the order is kept, and the channel alone knows what is unsent.
///
/// Confined to the connection's event loop, and everything that is written to the connection goes through here. A class,
/// for the channel calls back in the middle of a flush.
final class FrameOutlet {
    /// Frames that are longer together are not copied into one buffer: what is queued leaves first.
    static let joinedBytes = 16 * 1024

    /// The socket; negative where all goes through the channel.
    private var descriptor: CInt = -1
    /// The channel holds bytes, or did when it was last looked at.
    private var isBehindChannel = true
    /// What leaves with the next flush, in one piece; shared with other connections while it is one write's.
    private var queued = ByteBuffer()

    /// Bytes that no system call was made for yet, besides those that the channel knows of.
    var queuedBytes: Int { queued.readableBytes }

    /// Sends directly from now on. Only for a channel that hands bytes to its socket as they are: one with TLS has a
    /// socket, too.
    ///
    /// - Parameter socket: stays open until ``close()``.
    func open(socket: CInt) {
        #if os(Linux)
        descriptor = socket
        #endif
    }

    /// The channel is about to close the socket, or has: its number may be another connection's next.
    func close() {
        descriptor = -1
        queued = ByteBuffer()
    }

    func write(_ bytes: ByteBuffer, to context: ChannelHandlerContext) {
        guard isDirect(context) else {
            return context.write(NIOAny(bytes), promise: nil)
        }
        if queued.readableBytes > 0, queued.readableBytes + bytes.readableBytes > Self.joinedBytes {
            sendQueued(to: context)
            return write(bytes, to: context)
        }
        if queued.readableBytes == 0 { queued = bytes } else { queued.writeImmutableBuffer(bytes) }
    }

    func flush(_ context: ChannelHandlerContext) {
        if queued.readableBytes > 0 { sendQueued(to: context) } else { context.flush() }
    }

    /// Whether nothing waits in the channel, so that a write of our own overtakes nothing.
    private func isDirect(_ context: ChannelHandlerContext) -> Bool {
        guard descriptor >= 0 else { return false }
        guard isBehindChannel else { return true }
        isBehindChannel = (try? context.channel.syncOptions?.getOption(.bufferedWritableBytes)) != 0
        return !isBehindChannel
    }

    private func sendQueued(to context: ChannelHandlerContext) {
        #if os(Linux)
        let sent = queued.withUnsafeReadableBytes {
            Glibc.send(descriptor, $0.baseAddress, $0.count, CInt(MSG_DONTWAIT | MSG_NOSIGNAL))
        }
        // An error, too, is for the channel to find: it knows what is to be tried again and what ends it.
        queued.moveReaderIndex(forwardBy: max(0, sent))
        #endif
        let rest = queued
        queued = ByteBuffer()
        guard rest.readableBytes > 0 else { return }
        isBehindChannel = true
        context.writeAndFlush(NIOAny(rest), promise: nil)
    }
}

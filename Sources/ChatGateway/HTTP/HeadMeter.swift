import NIOCore

/// Stands before the HTTP decoder and knows whether the request line is still arriving, which the decoder does not
/// tell when a head grows too large for it.
final class HeadMeter: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = ByteBuffer
    typealias InboundOut = ByteBuffer

    private(set) var isWithinRequestLine = true
    private var hasBegun = false

    /// A request is over; the next one begins with what comes.
    func expectRequest() {
        isWithinRequestLine = true
        hasBegun = false
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        if isWithinRequestLine {
            for byte in Self.unwrapInboundIn(data).readableBytesView {
                switch byte {
                // Empty lines before a request line are skipped (RFC 9112, section 2.2).
                case UInt8(ascii: "\r"): break
                case UInt8(ascii: "\n"): if hasBegun { isWithinRequestLine = false }
                default: hasBegun = true
                }
                if !isWithinRequestLine { break }
            }
        }
        context.fireChannelRead(data)
    }
}

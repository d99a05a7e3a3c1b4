import Hiredis
import NIOCore
import NIOTestUtils
import Testing

/// The reader at work in a channel, under NIO's own drip-feeding verifier.
@Suite("A decoder in a pipeline needs no more than the reader")
struct ReplyDecoderTests {
    private struct Decoder: ByteToMessageDecoder {
        typealias InboundOut = Reply
        let reader = ReplyReader()

        mutating func decode(context: ChannelHandlerContext, buffer: inout ByteBuffer) throws -> DecodingState {
            try self.reader.feed(buffer)
            buffer.moveReaderIndex(to: buffer.writerIndex)
            while let reply = try self.reader.next() {
                context.fireChannelRead(Self.wrapInboundOut(reply))
            }
            return .needMoreData
        }

        mutating func decodeLast(
            context: ChannelHandlerContext, buffer: inout ByteBuffer, seenEOF: Bool
        ) throws -> DecodingState {
            try self.decode(context: context, buffer: &buffer)
        }
    }

    @Test("whole, doubled, and byte by byte", arguments: ReplyReaderTests.encodings)
    func verified(wire: String, reply: Reply) throws {
        try ByteToMessageDecoderVerifier.verifyDecoder(
            stringInputOutputPairs: [(wire, [reply]), (wire + wire, [reply, reply])],
            decoderFactory: { Decoder() })
    }
}

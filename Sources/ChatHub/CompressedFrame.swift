import ChatProtocol
package import Deflate
package import NIOCore

/// A text frame whose payload is compressed (RFC 7692, section 6.1).
package enum CompressedFrame {
    /// Appends the frame of a message.
    ///
    /// - Returns: false when compressing is not worth while; nothing is appended then.
    package static func write(_ message: ByteBuffer, by deflater: Deflater, into out: inout ByteBuffer) -> Bool {
        guard message.readableBytes >= Deflater.leastBytes else { return false }
        var payload = ByteBuffer()
        guard message.withUnsafeReadableBytes({ deflater.deflate($0, into: &payload) }) else { return false }
        TextFrame.writeHeader(payload: payload.readableBytes, isCompressed: true, into: &out)
        out.writeImmutableBuffer(payload)
        return true
    }
}

extension Delivery {
    /// The frames with the long ones compressed, for all of a loop's members that agreed to it.
    struct Compressed {
        let frames: ByteBuffer
        /// Where each segment ends.
        let ends: [Int]
    }

    /// - Returns: nil when nothing of it gains by being compressed.
    func compressed(by deflater: Deflater) -> Compressed? {
        var start = 0
        let hasLong = segments.contains { segment in
            defer { start = segment.end }
            return segment.end - start >= Deflater.leastBytes
        }
        guard hasLong else { return nil }
        var out = ByteBuffer()
        out.reserveCapacity(frames.readableBytes)
        var ends: [Int] = []
        ends.reserveCapacity(segments.count)
        var gains = false
        for index in segments.indices {
            let plain = frame(index)
            var rest = plain
            if let message = TextFrame.readPayload(from: &rest), rest.readableBytes == 0,
                CompressedFrame.write(message, by: deflater, into: &out)
            {
                gains = true
            } else {
                out.writeImmutableBuffer(plain)
            }
            ends.append(out.writerIndex)
        }
        return gains ? Compressed(frames: out, ends: ends) : nil
    }
}

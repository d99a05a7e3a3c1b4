package import NIOCore

/// The header of an unfragmented, unmasked WebSocket text frame (RFC 6455, section 5.2), in the shortest form.
package enum TextFrame {
    /// Bytes that ``writeHeader(payload:into:)`` appends for a payload of so many bytes.
    package static func headerLength(_ payload: Int) -> Int {
        switch payload {
        case ...125: 2
        case ...Int(UInt16.max): 4
        default: 10
        }
    }

    /// Takes one whole frame of this form; nil when there is none.
    package static func readPayload(from bytes: inout ByteBuffer) -> ByteBuffer? {
        var rest = bytes
        guard rest.readInteger(as: UInt8.self) == 0x81, let short = rest.readInteger(as: UInt8.self) else { return nil }
        let length: Int?
        switch short {
        case 126: length = rest.readInteger(as: UInt16.self).map(Int.init)
        case 127: length = rest.readInteger(as: UInt64.self).flatMap(Int.init(exactly:))
        default: length = Int(short)
        }
        guard let length, let payload = rest.readSlice(length: length) else { return nil }
        bytes = rest
        return payload
    }

    /// - Parameter isCompressed: the payload is permessage-deflate's (RFC 7692, section 6).
    package static func writeHeader(payload: Int, isCompressed: Bool = false, into out: inout ByteBuffer) {
        out.writeWithUnsafeMutableBytes(minimumWritableBytes: headerLength(payload)) { target in
            var out = ByteCursor(target)
            writeHeader(payload: payload, isCompressed: isCompressed, into: &out)
            return out.count
        }
    }

    static func writeHeader(payload: Int, isCompressed: Bool = false, into out: inout ByteCursor) {
        out.write(isCompressed ? 0xC1 : 0x81)
        var lengthBytes = headerLength(payload) - 2
        guard lengthBytes > 0 else { return out.write(UInt8(payload)) }
        out.write(lengthBytes == 2 ? 126 : 127)
        while lengthBytes > 0 {
            lengthBytes -= 1
            out.write(UInt8(truncatingIfNeeded: payload >> (8 * lengthBytes)))
        }
    }
}

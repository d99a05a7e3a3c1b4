package import NIOCore

/// Writes the frames of a client (RFC 6455, sections 5.2 and 5.3): unfragmented, masked, in the shortest form.
package enum MaskedFrame {
    package enum Kind: UInt8 {
        case text = 0x1
        case close = 0x8
        case ping = 0x9
        case pong = 0xA
    }

    /// - Parameter key: the masking key, to be drawn at random for each frame.
    package static func write(_ payload: ByteBuffer, kind: Kind, key: UInt32, into out: inout ByteBuffer) {
        let length = payload.readableBytes
        let first = 0x80 | kind.rawValue
        out.reserveCapacity(minimumWritableBytes: length + 14)
        switch length {
        case ...125:
            out.writeMultipleIntegers(first, 0x80 | UInt8(length))
        case ...Int(UInt16.max):
            out.writeMultipleIntegers(first, 0x80 | 126 as UInt8, UInt16(length))
        default:
            out.writeMultipleIntegers(first, 0x80 | 127 as UInt8, UInt64(length))
        }
        out.writeInteger(key)
        out.writeWithUnsafeMutableBytes(minimumWritableBytes: length) { target in
            payload.withUnsafeReadableBytes { source in
                // Eight bytes at a time: the key twice, in the order of bytes in memory.
                let word = key.bigEndian
                let wide = UInt64(word) << 32 | UInt64(word)
                var index = 0
                while index + 8 <= length {
                    let masked = source.loadUnaligned(fromByteOffset: index, as: UInt64.self) ^ wide
                    target.storeBytes(of: masked, toByteOffset: index, as: UInt64.self)
                    index += 8
                }
                while index < length {
                    target[index] = source[index] ^ UInt8(truncatingIfNeeded: key >> (8 * UInt32(3 - index % 4)))
                    index += 1
                }
            }
            return length
        }
    }

    /// A Close frame's payload. The reason is cut to the 123 bytes that fit, between two characters.
    package static func closePayload(code: UInt16, reason: String) -> ByteBuffer {
        var payload = ByteBuffer()
        payload.writeInteger(code)
        var fitting = Substring(reason)
        while fitting.utf8.count > 123 { fitting.removeLast() }
        payload.writeSubstring(fitting)
        return payload
    }
}

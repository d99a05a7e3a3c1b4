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

    package static func writeHeader(payload: Int, into out: inout ByteBuffer) {
        let finalText: UInt8 = 0x81
        switch headerLength(payload) {
        case 2:
            out.writeMultipleIntegers(finalText, UInt8(payload))
        case 4:
            out.writeMultipleIntegers(finalText, 126 as UInt8, UInt16(payload))
        default:
            out.writeMultipleIntegers(finalText, 127 as UInt8, UInt64(payload))
        }
    }
}

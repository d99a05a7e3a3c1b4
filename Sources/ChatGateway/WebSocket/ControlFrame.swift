import ChatProtocol
import NIOCore

/// The control frames that a server sends: unmasked, never fragmented (RFC 6455, section 5.5).
enum ControlFrame {
    static let emptyPing = ByteBuffer(bytes: [0x89, 0])

    /// - Parameter payload: at most 125 bytes, as any ping's.
    static func pong(_ payload: ByteBuffer) -> ByteBuffer {
        var frame = ByteBuffer()
        frame.reserveCapacity(2 + payload.readableBytes)
        frame.writeMultipleIntegers(0x8A as UInt8, UInt8(truncatingIfNeeded: payload.readableBytes))
        frame.writeImmutableBuffer(payload)
        return frame
    }

    /// - Parameter code: nil for a Close frame without a body.
    /// - Parameter reason: cut to the 123 bytes that fit, between characters.
    static func close(_ code: UInt16?, reason: String) -> ByteBuffer {
        guard let code else { return ByteBuffer(bytes: [0x88, 0]) }
        var text = reason[...]
        while text.utf8.count > 123 { text.removeLast() }
        var frame = ByteBuffer()
        frame.writeMultipleIntegers(0x88 as UInt8, UInt8(2 + text.utf8.count), code)
        frame.writeSubstring(text)
        return frame
    }
}

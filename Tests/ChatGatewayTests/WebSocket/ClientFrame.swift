import NIOCore

/// Frames as a client sends them, right or wrong.
enum ClientFrame {
    static let text: UInt8 = 0x81
    static let binary: UInt8 = 0x82
    static let close: UInt8 = 0x88
    static let ping: UInt8 = 0x89
    static let pong: UInt8 = 0x8A

    /// How a length is written.
    enum LengthForm {
        case shortest, sixteenBits, sixtyFourBits
    }

    static func bytes(
        _ first: UInt8, _ payload: [UInt8] = [], mask: [UInt8]? = [0x37, 0xFA, 0x21, 0x3D],
        form: LengthForm = .shortest
    ) -> [UInt8] {
        var frame = [first]
        let maskBit: UInt8 = mask == nil ? 0 : 0x80
        let count = payload.count
        switch form {
        case .shortest where count < 126:
            frame.append(maskBit | UInt8(count))
        case .shortest where count <= 0xFFFF, .sixteenBits:
            frame += [maskBit | 126, UInt8(count >> 8), UInt8(count & 0xFF)]
        case .shortest, .sixtyFourBits:
            frame.append(maskBit | 127)
            frame += (0..<8).map { UInt8(truncatingIfNeeded: UInt64(count) >> UInt64(8 * (7 - $0))) }
        }
        guard let mask else { return frame + payload }
        return frame + mask + payload.enumerated().map { $1 ^ mask[$0 % 4] }
    }

    static func bytes(_ first: UInt8, _ text: String) -> [UInt8] { bytes(first, Array(text.utf8)) }

    static func closing(_ code: UInt16, _ reason: String = "") -> [UInt8] {
        bytes(close, [UInt8(code >> 8), UInt8(code & 0xFF)] + Array(reason.utf8))
    }
}

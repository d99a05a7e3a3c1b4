package import NIOCore

/// Reads the WebSocket frames of a server (RFC 6455, section 5) out of a stream of bytes, wherever it is cut.
package struct FrameReader {
    /// What a whole message or control frame means.
    package enum Event: Equatable {
        case text(ByteBuffer)
        case ping(ByteBuffer)
        case pong
        /// `code` is nil when the frame gave none.
        case close(code: UInt16?, reason: String)
    }

    /// The server broke the rules: the connection cannot go on.
    package struct Fault: Error, Equatable {
        /// What to say in our Close frame.
        package var code: UInt16
        package var message: String
    }

    private let maximumLength: Int
    private let checksText: Bool
    private var buffer = ByteBuffer()
    private var fragments: ByteBuffer?

    /// - Parameters:
    ///   - maximumLength: the most bytes of one message, all of its fragments together.
    ///   - checksText: whether text that is not UTF-8 is a fault.
    package init(maximumLength: Int, checksText: Bool) {
        self.maximumLength = maximumLength
        self.checksText = checksText
    }

    /// Bytes that came and were not read as frames yet.
    package var unreadBytes: Int { buffer.readableBytes }

    package mutating func append(_ bytes: ByteBuffer) {
        if buffer.readableBytes == 0 {
            // The usual case: frames are then slices of what was received, without a copy.
            buffer = bytes
        } else {
            buffer.discardReadBytes()
            buffer.writeImmutableBuffer(bytes)
        }
    }

    /// The next event, nil when more bytes are needed.
    package mutating func next() throws(Fault) -> Event? {
        while let frame = try nextFrame() {
            switch frame.opcode {
            case 0x1, 0x0:
                if let text = try assemble(frame) { return .text(text) }
            case 0x8:
                return try readClose(frame.payload)
            case 0x9:
                return .ping(frame.payload)
            default:
                return .pong
            }
        }
        return nil
    }

    private struct Frame {
        var isFinal: Bool
        var opcode: UInt8
        var payload: ByteBuffer
    }

    private mutating func nextFrame() throws(Fault) -> Frame? {
        let start = buffer.readerIndex
        guard let first: UInt8 = buffer.getInteger(at: start), let second: UInt8 = buffer.getInteger(at: start + 1)
        else { return nil }
        guard first & 0x70 == 0 else { throw protocolFault("a reserved bit without an extension") }
        guard second & 0x80 == 0 else { throw protocolFault("a masked frame from a server") }
        let opcode = first & 0x0F
        let isFinal = first & 0x80 != 0
        switch opcode {
        case 0x0, 0x1: break
        case 0x2: throw Fault(code: 1003, message: "a binary frame")
        case 0x8, 0x9, 0xA:
            guard isFinal, second <= 125 else { throw protocolFault("a long or fragmented control frame") }
        default: throw protocolFault("a reserved opcode")
        }

        var headerLength = 2
        var length = UInt64(second)
        switch second {
        case 126:
            guard let word: UInt16 = buffer.getInteger(at: start + 2) else { return nil }
            (headerLength, length) = (4, UInt64(word))
        case 127:
            guard let word: UInt64 = buffer.getInteger(at: start + 2) else { return nil }
            (headerLength, length) = (10, word)
        default: break
        }
        guard length <= UInt64(maximumLength) else {
            throw Fault(code: 1009, message: "a frame of \(length) bytes")
        }
        guard buffer.readableBytes >= headerLength + Int(length) else { return nil }
        buffer.moveReaderIndex(forwardBy: headerLength)
        guard let payload = buffer.readSlice(length: Int(length)) else { return nil }
        return Frame(isFinal: isFinal, opcode: opcode, payload: payload)
    }

    private mutating func assemble(_ frame: Frame) throws(Fault) -> ByteBuffer? {
        let isContinuation = frame.opcode == 0
        guard isContinuation == (fragments != nil) else {
            throw protocolFault(isContinuation ? "a continuation of nothing" : "a message within another")
        }
        var message = frame.payload
        if var before = fragments.take() {
            guard before.readableBytes + message.readableBytes <= maximumLength else {
                throw Fault(code: 1009, message: "a message of more than \(maximumLength) bytes")
            }
            before.writeImmutableBuffer(message)
            message = before
        }
        guard frame.isFinal else {
            fragments = message
            return nil
        }
        if checksText {
            let isText = message.withUnsafeReadableBytes { String(validating: $0, as: UTF8.self) != nil }
            guard isText else { throw Fault(code: 1007, message: "text that is not UTF-8") }
        }
        return message
    }

    private func readClose(_ payload: ByteBuffer) throws(Fault) -> Event {
        var payload = payload
        guard payload.readableBytes > 0 else { return .close(code: nil, reason: "") }
        guard let code = payload.readInteger(as: UInt16.self) else { throw protocolFault("half a close code") }
        return .close(code: code, reason: String(buffer: payload))
    }

    private func protocolFault(_ what: String) -> Fault {
        Fault(code: 1002, message: what)
    }
}

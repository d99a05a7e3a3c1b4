package import ChatProtocol
package import Deflate
package import NIOCore

/// What a client's bytes mean.
package enum FrameEvent: Equatable {
    /// One whole text message, valid UTF-8.
    case text(ByteBuffer)
    /// One whole binary message.
    case binary(ByteBuffer)
    case ping(ByteBuffer)
    case pong(ByteBuffer)
    /// The client's Close frame; no event follows.
    case close(code: UInt16?, reason: String)
    /// The client broke the rules; no event follows.
    case failure(CloseCode, String)
}

/// Reads what a WebSocket client sends (RFC 6455, section 5), strictly, and tells a fault at the first byte that makes it one.
///
/// Payloads are unmasked on the way into the buffer of the message that they belong to, so that nothing but a message
/// begun is held, and no more of it than has arrived.
package struct FrameDecoder {
    private enum State {
        case first
        case second
        /// Bytes of the extended length still to come, and its value so far.
        case length(missing: UInt8, form: UInt8)
        case mask(missing: UInt8)
        case payload
        /// After a Close frame or a fault.
        case dead
    }

    private enum Opcode: UInt8 {
        case continuation = 0x0
        case text = 0x1
        case binary = 0x2
        case close = 0x8
        case ping = 0x9
        case pong = 0xA

        var isControl: Bool { rawValue & 0x8 != 0 }
    }

    private static let compressionBit: UInt8 = 0x40

    /// Nil where no compression was agreed on.
    private let inflater: Inflater?

    // Each connection has one of these: what is large comes first, so that what is small leaves no holes.

    /// Of the frame that is being read.
    private var length: UInt64 = 0
    private var remaining = 0
    private var control = ByteBuffer()
    /// What is being put together. Between two messages of a burst it is the one that was handed out last: unless somebody
    /// has kept that, its memory serves for the next.
    private var message = ByteBuffer()
    /// Since ``takeCost()``.
    private var messageBytes = 0
    private var framesBegun: UInt32 = 0
    private let messageLimit: UInt32
    private let fragmentLimit: UInt32
    /// Of the message that is being put together.
    private var fragments: UInt32 = 0
    /// The masking key, rotated so that its first byte in memory is the next payload byte's.
    private var mask: UInt32 = 0
    private var state = State.first
    private var opcode = Opcode.continuation
    private var isFinal = false
    private var messageKind: Opcode?
    private var isCompressed = false
    private var validator = UTF8Validator()

    package init(maxMessageBytes: Int, maxFragments: Int, inflater: Inflater? = nil) {
        messageLimit = UInt32(clamping: maxMessageBytes)
        fragmentLimit = UInt32(clamping: maxFragments)
        self.inflater = inflater
    }

    private var maxMessageBytes: Int { Int(messageLimit) }

    /// Memory that the message begun takes.
    package var heldBytes: Int { messageKind == nil ? 0 : message.capacity }

    /// What a client has made the node look at.
    struct Cost: Equatable {
        /// Begun, of any kind.
        var frames: Int
        /// Of messages that came whole, as they are after inflation.
        var bytes: Int
    }

    /// What was read since the last call.
    mutating func takeCost() -> Cost {
        defer {
            framesBegun = 0
            messageBytes = 0
        }
        return Cost(frames: Int(framesBegun), bytes: messageBytes)
    }

    /// The next event in these bytes, taking them; nil when all of them are taken and more are needed.
    package mutating func next(_ input: inout ByteBuffer) -> FrameEvent? {
        while true {
            switch state {
            case .first, .second, .length, .mask:
                guard input.readableBytes > 0 else { return nil }
                if let fault = takeHeader(&input) { return fault }
            case .payload:
                guard remaining == 0 || input.readableBytes > 0 else { return nil }
                if let event = takePayload(&input) { return event }
                guard remaining == 0 else { return nil }
            case .dead:
                input.clear()
                return nil
            }
        }
    }

    /// A burst is over: no memory is held for messages to come.
    mutating func letGo() {
        if messageKind == nil { message = ByteBuffer() }
    }

    private mutating func fail(_ code: CloseCode, _ reason: String) -> FrameEvent {
        state = .dead
        message = ByteBuffer()
        control = ByteBuffer()
        return .failure(code, reason)
    }

    // MARK: Header

    /// Reads up to the end of the header, or of the bytes.
    private mutating func takeHeader(_ input: inout ByteBuffer) -> FrameEvent? {
        input.readWithUnsafeReadableBytes { bytes in
            var at = 0
            while at < bytes.count {
                let byte = bytes[at]
                var fault: FrameEvent?
                switch state {
                case .first: fault = begin(byte)
                case .second: fault = measure(byte)
                case .length(let missing, let form): fault = extend(byte, missing: missing, form: form)
                case .mask(missing: 4) where bytes.count - at >= 4:
                    // Nearly always: headers are seldom cut.
                    mask = UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: at, as: UInt32.self))
                    at += 4
                    state = .payload
                    return (at, nil)
                case .mask(let missing):
                    // The first byte on the wire becomes the lowest in memory order of a little-endian word.
                    mask = mask >> 8 | UInt32(byte) << 24
                    state = missing > 1 ? .mask(missing: missing - 1) : .payload
                case .payload, .dead: return (at, nil)
                }
                at += 1
                if let fault { return (at, fault) }
            }
            return (at, nil)
        }
    }

    private mutating func begin(_ byte: UInt8) -> FrameEvent? {
        framesBegun &+= 1
        isFinal = byte & 0x80 != 0
        let allowed: UInt8 = inflater == nil ? 0 : Self.compressionBit
        guard byte & 0x70 & ~allowed == 0 else {
            return fail(.protocolError, "a reserved bit is set")
        }
        guard let opcode = Opcode(rawValue: byte & 0x0F) else {
            return fail(.protocolError, "the opcode is reserved")
        }
        switch opcode {
        case .continuation:
            guard messageKind != nil else {
                return fail(.protocolError, "a continuation without a message to continue")
            }
        case .text, .binary:
            guard messageKind == nil else {
                return fail(.protocolError, "a new message within a fragmented one")
            }
        case .close, .ping, .pong:
            guard isFinal else { return fail(.protocolError, "a control frame is fragmented") }
        }
        // It belongs to the first frame of a message (RFC 7692, section 6).
        if byte & Self.compressionBit != 0 {
            guard opcode == .text || opcode == .binary else {
                return fail(.protocolError, "a reserved bit is set")
            }
            isCompressed = true
        } else if !opcode.isControl, opcode != .continuation {
            isCompressed = false
        }
        self.opcode = opcode
        state = .second
        return nil
    }

    private mutating func measure(_ byte: UInt8) -> FrameEvent? {
        guard byte & 0x80 != 0 else { return fail(.protocolError, "a client's frame must be masked") }
        length = 0
        switch byte & 0x7F {
        case 126 where !opcode.isControl:
            state = .length(missing: 2, form: 2)
            return nil
        case 127 where !opcode.isControl:
            state = .length(missing: 8, form: 8)
            return nil
        case 126, 127:
            return fail(.protocolError, "a control frame is longer than 125 bytes")
        case let short:
            return lengthIsKnown(UInt64(short))
        }
    }

    private mutating func extend(_ byte: UInt8, missing: UInt8, form: UInt8) -> FrameEvent? {
        if form == 8, missing == 8, byte & 0x80 != 0 {
            return fail(.protocolError, "the length has its highest bit set")
        }
        length = length << 8 | UInt64(byte)
        guard missing == 1 else {
            state = .length(missing: missing - 1, form: form)
            return nil
        }
        guard length > (form == 2 ? 125 : UInt64(UInt16.max)) else {
            return fail(.protocolError, "the length is not in its shortest form")
        }
        return lengthIsKnown(length)
    }

    private mutating func lengthIsKnown(_ length: UInt64) -> FrameEvent? {
        if opcode.isControl {
            if opcode == .close, length == 1 {
                return fail(.protocolError, "a close code has two bytes")
            }
        } else {
            if opcode != .continuation { message.clear(minimumCapacity: 0) }
            guard length <= UInt64(maxMessageBytes - message.readableBytes) else {
                return fail(.tooBig, "a message may have at most \(maxMessageBytes) bytes")
            }
            if opcode != .continuation {
                messageKind = opcode
                fragments = 0
            }
            fragments += 1
            guard fragments <= fragmentLimit else {
                return fail(.tooBig, "a message may have at most \(fragmentLimit) frames")
            }
        }
        remaining = Int(length)
        mask = 0
        state = .mask(missing: 4)
        return nil
    }

    // MARK: Payload

    private mutating func takePayload(_ input: inout ByteBuffer) -> FrameEvent? {
        let count = min(remaining, input.readableBytes)
        remaining -= count
        let isWhole = remaining == 0
        if opcode.isControl {
            Self.unmask(count, of: &input, into: &control, with: &mask)
            guard isWhole else { return nil }
            state = .first
            let payload = control
            control = ByteBuffer()
            return controlFrame(payload)
        }
        let known = message.readableBytes
        Self.unmask(count, of: &input, into: &message, with: &mask)
        if messageKind == .text, !isCompressed,
            !message.withUnsafeReadableBytes({
                validator.accept(UnsafeRawBufferPointer(rebasing: $0[known...]))
            })
        {
            return fail(.invalidPayload, "the text is not UTF-8")
        }
        guard isWhole else { return nil }
        state = .first
        guard isFinal else { return nil }
        return endMessage()
    }

    private mutating func endMessage() -> FrameEvent? {
        let isText = messageKind == .text
        if isCompressed, let fault = inflate(isText: isText) { return fault }
        guard validator.isComplete else {
            return fail(.invalidPayload, "the text ends within a character")
        }
        messageBytes += message.readableBytes
        messageKind = nil
        return isText ? .text(message) : .binary(message)
    }

    /// Puts the whole message in the place of the compressed one.
    private mutating func inflate(isText: Bool) -> FrameEvent? {
        guard let inflater else { return nil }
        do throws(InflateError) {
            message = try inflater.inflate(message, limit: maxMessageBytes)
        } catch {
            switch error {
            case .tooLong: return fail(.tooBig, "a message may have at most \(maxMessageBytes) bytes")
            case .malformed: return fail(.invalidPayload, "the message is not DEFLATE")
            }
        }
        if isText, !message.withUnsafeReadableBytes({ validator.accept($0) }) {
            return fail(.invalidPayload, "the text is not UTF-8")
        }
        return nil
    }

    private mutating func controlFrame(_ payload: ByteBuffer) -> FrameEvent {
        switch opcode {
        case .ping: return .ping(payload)
        case .pong: return .pong(payload)
        case .continuation, .text, .binary, .close: break
        }
        var payload = payload
        guard let code = payload.readInteger(as: UInt16.self) else {
            state = .dead
            return .close(code: nil, reason: "")
        }
        guard Self.mayBeSent(code) else {
            return fail(.protocolError, "the close code must not be sent")
        }
        var validator = UTF8Validator()
        guard payload.withUnsafeReadableBytes({ validator.accept($0) }), validator.isComplete else {
            return fail(.invalidPayload, "the close reason is not UTF-8")
        }
        state = .dead
        return .close(code: code, reason: String(buffer: payload))
    }

    /// The codes that a Close frame may carry: those of RFC 6455, section 7.4.1, that are not for local use only, the
    /// ones registered since, and the ranges for libraries and applications.
    private static func mayBeSent(_ code: UInt16) -> Bool {
        switch code {
        case 1000...1003, 1007...1014, 3000...4999: true
        default: false
        }
    }

    /// Moves bytes over, eight at a time, and rotates the mask for those that follow.
    private static func unmask(
        _ count: Int, of input: inout ByteBuffer, into output: inout ByteBuffer, with mask: inout UInt32
    ) {
        guard count > 0 else { return }
        let key = mask
        input.readWithUnsafeReadableBytes { source in
            output.writeWithUnsafeMutableBytes(minimumWritableBytes: count) { target in
                let wide = UInt64(key) << 32 | UInt64(key)
                var index = 0
                while count - index >= 8 {
                    let word = source.loadUnaligned(fromByteOffset: index, as: UInt64.self)
                    // Loaded and stored in memory order, so the key's order is the host's little-endian one.
                    target.storeBytes(
                        of: UInt64(littleEndian: UInt64(littleEndian: word) ^ wide), toByteOffset: index,
                        as: UInt64.self)
                    index += 8
                }
                while index < count {
                    target[index] = source[index] ^ UInt8(truncatingIfNeeded: key >> UInt32(8 * (index & 3)))
                    index += 1
                }
                return count
            }
            return count
        }
        let turn = UInt32(8 * (count & 3))
        mask = turn == 0 ? key : key >> turn | key << (32 - turn)
    }
}

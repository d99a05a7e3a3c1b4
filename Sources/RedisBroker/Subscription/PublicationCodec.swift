package import ChatHub
package import ChatProtocol
import Hiredis
package import NIOCore

/// What travels on a room's channel: a line of words, then bytes whose lengths are said before.
///
///     m PREVIOUS FIRST TIME SENT_AT COUNT\n  then COUNT times  LENGTH [SESSION]\n BODY     messages
///     s SESSION\n JSON                                                                     a signal of that session
///     p + COUNT REVISION SESSION USER    p - COUNT REVISION - USER                         a user came, a user went
///     p = COUNT REVISION                                                                   users came to or left a crowd
///     o …, a …                                                          on the control channel only, see ``OrderCodec``
///
/// Bodies are slices of the publication, never copied.
package enum PublicationCodec {
    package static func signal(_ event: ByteBuffer, from origin: SessionID) -> ByteBuffer {
        var bytes = ByteBuffer()
        bytes.reserveCapacity(event.readableBytes + 19)
        bytes.writeStaticString("s ")
        bytes.writeString(origin.description)
        bytes.writeStaticString("\n")
        bytes.writeImmutableBuffer(event)
        return bytes
    }

    /// Appends two arguments of a Redis command: the line before a message's body, and the body.
    static func writeArguments(_ body: ByteBuffer, exceptFor session: SessionID?, into out: inout ByteBuffer) {
        let lengthDigits = Decimal.length(of: UInt64(body.readableBytes))
        withUnsafeTemporaryAllocation(byteCount: lengthDigits + 18, alignment: 1) { line in
            Decimal.write(UInt64(body.readableBytes), length: lengthDigits, to: line, at: 0)
            line[lengthDigits] = UInt8(ascii: " ")
            var end = lengthDigits + 1
            if let session {
                UnsafeMutableRawBufferPointer(rebasing: line[end...]).copyBytes(from: session.description.utf8)
                end += 16
            }
            line[end] = UInt8(ascii: "\n")
            CommandFormatter.writeArgument(UnsafeRawBufferPointer(rebasing: line[...end]), into: &out)
        }
        body.withUnsafeReadableBytes { CommandFormatter.writeArgument($0, into: &out) }
    }

    package static func parse(_ bytes: ByteBuffer) throws(PublicationError) -> Publication {
        var rest = bytes
        switch rest.readInteger(as: UInt8.self) {
        case UInt8(ascii: "m"): return .messages(try messages(&rest))
        case UInt8(ascii: "s"): return try signal(&rest)
        case UInt8(ascii: "p"): return try presence(&rest)
        case UInt8(ascii: "o"):
            guard readByte(&rest, is: " "), let order = OrderCodec.order(&rest) else { throw .malformedHeader }
            return .control(.order(order))
        case UInt8(ascii: "a"):
            guard readByte(&rest, is: " "), let answer = OrderCodec.answer(&rest) else { throw .malformedHeader }
            return .control(.answer(answer))
        default: throw .unknownKind
        }
    }

    private static func messages(_ rest: inout ByteBuffer) throws(PublicationError) -> MessageBatch {
        guard let previous = readWord(&rest).flatMap(position), let first = readWord(&rest).flatMap(position),
            let time = readWord(&rest).flatMap(number), let sentAt = readWord(&rest).flatMap(number),
            let count = readWord(&rest).flatMap(number), count > 0, readByte(&rest, is: "\n")
        else { throw .malformedHeader }
        // Each message takes at least three bytes: a count that the bytes cannot hold reserves no memory.
        guard count <= rest.readableBytes / 3 else { throw .truncated }
        guard first > previous, first.seq > 0, first.seq.addingReportingOverflow(count).overflow == false else {
            throw .malformedHeader
        }
        var messages: [MessageBatch.Message] = []
        messages.reserveCapacity(Int(count))
        for _ in 0..<count {
            guard let length = readNumber(&rest), readByte(&rest, is: " ") else { throw .malformedHeader }
            var exceptFor: SessionID?
            if !readByte(&rest, is: "\n") {
                guard let session = rest.readSlice(length: 16).flatMap(session), readByte(&rest, is: "\n") else {
                    throw .malformedHeader
                }
                exceptFor = session
            }
            guard let size = Int(exactly: length), let body = rest.readSlice(length: size) else { throw .truncated }
            messages.append(.init(body: body, exceptFor: exceptFor))
        }
        guard rest.readableBytes == 0 else { throw .trailingBytes }
        return MessageBatch(previous: previous, first: first, time: time, sentAt: sentAt, messages: messages)
    }

    private static func signal(_ rest: inout ByteBuffer) throws(PublicationError) -> Publication {
        guard let origin = readWord(&rest).flatMap(session), readByte(&rest, is: "\n") else { throw .malformedHeader }
        guard rest.readableBytes > 0 else { throw .truncated }
        return .signal(rest, origin: origin)
    }

    private static func presence(_ rest: inout ByteBuffer) throws(PublicationError) -> Publication {
        guard let sign = readWord(&rest), let count = readWord(&rest).flatMap(number).flatMap(Int.init(exactly:)),
            let revision = readWord(&rest).flatMap(number)
        else { throw .malformedHeader }
        let mark = String(buffer: sign)
        if mark == "=", rest.readableBytes == 0 { return .count(count, revision: revision) }
        guard let origin = readWord(&rest), let name = readWord(&rest), rest.readableBytes == 0,
            let user = UserName(String(buffer: name))
        else { throw .malformedHeader }
        switch mark {
        case "+":
            guard let session = session(origin) else { throw .malformedHeader }
            return .presence(
                PresenceChange(user: user, isPresent: true, count: count, origin: session, revision: revision))
        case "-":
            return .presence(
                PresenceChange(user: user, isPresent: false, count: count, origin: nil, revision: revision))
        default:
            throw .malformedHeader
        }
    }

    // MARK: Words

    /// A space and what follows it, up to the next space, the end of the line or of everything.
    private static func readWord(_ rest: inout ByteBuffer) -> ByteBuffer? {
        guard readByte(&rest, is: " ") else { return nil }
        let length = rest.readableBytesView.prefix(160).firstIndex {
            $0 == UInt8(ascii: " ") || $0 == UInt8(ascii: "\n")
        }
        .map { $0 - rest.readerIndex }
        guard length != 0, length != nil || rest.readableBytes <= 160 else { return nil }
        return rest.readSlice(length: length ?? rest.readableBytes)
    }

    /// Decimal digits here, as many as there are.
    private static func readNumber(_ rest: inout ByteBuffer) -> UInt64? {
        rest.readWithUnsafeReadableBytes { bytes in
            let length = bytes.prefix(21).firstIndex { !(UInt8(ascii: "0")...UInt8(ascii: "9") ~= $0) }
            let digits = bytes.prefix(length ?? 21)
            return (digits.count, Decimal.value(of: UnsafeRawBufferPointer(rebasing: digits)))
        }
    }

    private static func readByte(_ rest: inout ByteBuffer, is byte: Unicode.Scalar) -> Bool {
        guard let next = rest.getInteger(at: rest.readerIndex, as: UInt8.self), next == UInt8(ascii: byte) else {
            return false
        }
        rest.moveReaderIndex(forwardBy: 1)
        return true
    }

    static func position(_ bytes: ByteBuffer) -> Position? { bytes.withUnsafeReadableBytes { Position(decimal: $0) } }

    static func number(_ bytes: ByteBuffer) -> UInt64? { bytes.withUnsafeReadableBytes(Decimal.value) }

    private static func session(_ bytes: ByteBuffer) -> SessionID? { SessionID(String(buffer: bytes)) }
}

/// Why a publication is not one of ours.
package enum PublicationError: Error, Equatable {
    case unknownKind
    case malformedHeader
    /// It announces more than it holds.
    case truncated
    /// It holds more than it announces.
    case trailingBytes
}

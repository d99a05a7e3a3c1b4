package import NIOCore

/// A message as the log holds it: its JSON without position and time, which the store gives.
///
/// The form is fixed to the byte, which two places rely on: the first ``render(room:user:id:to:content:)``
/// `identityLength` bytes tell room, user and `id`, so that copies of one message are found by comparing bytes; and a
/// `message` event is a head with position and time, then the rest of these bytes.
package enum StoredMessage {
    /// What every stored message begins with; the event's own head takes its place.
    private static let beginning: StaticString = #"{"type":"message""#
    private static let head: StaticString = #"{"type":"message","position":""#
    private static let beforeTime: StaticString = #"","time":"#

    /// Renders a message for the log.
    ///
    /// - Parameter to: the user that it is sent to, in the copy for the sender's own inbox.
    /// - Returns: the bytes, and how many of the first of them no other message of the room shares: those up to the
    ///   closing quote of the `id`. Nil without `id`.
    package static func render(
        room: RoomName, user: UserName, id: RequestID?, to: UserName?, content: Content
    ) -> (body: ByteBuffer, identityLength: Int?) {
        var body = ByteBuffer()
        let identityLength = render(room: room, user: user, id: id, to: to, content: content, into: &body)
        return (body, identityLength)
    }

    /// Renders a message into an empty buffer.
    ///
    /// - Returns: the identity's length, as above.
    package static func render(
        room: RoomName, user: UserName, id: RequestID?, to: UserName?, content: Content, into body: inout ByteBuffer
    ) -> Int? {
        let contentLength = (content.text?.bytes.readableBytes ?? 0) + (content.data?.bytes.readableBytes ?? 0)
        let namesLength = room.text.utf8.count + user.text.utf8.count
        body.reserveCapacity(
            namesLength + (id?.text.utf8.count ?? 0) + (to?.text.utf8.count ?? 0) + contentLength + 96)
        body.writeWithUnsafeMutableBytes(minimumWritableBytes: namesLength + 64) { target in
            var out = ByteCursor(target)
            out.write(beginning)
            // Names need no escapes.
            out.write(#","room":""#)
            out.write(room.text)
            out.write(#"","user":""#)
            out.write(user.text)
            out.write(UInt8(ascii: "\""))
            return out.count
        }
        var identityLength: Int?
        if let id {
            body.writeField("id", string: id.text)
            identityLength = body.readableBytes
        }
        if let to { body.writeField("to", name: to.text) }
        body.writeWithUnsafeMutableBytes(minimumWritableBytes: contentLength + 24) { target in
            var out = ByteCursor(target)
            if let text = content.text {
                out.write(#","text":"#)
                out.write(text.bytes)
            }
            if let data = content.data {
                out.write(#","data":"#)
                out.write(data.bytes)
            }
            out.write(UInt8(ascii: "}"))
            return out.count
        }
        return identityLength
    }

    /// Whether bytes from the store can be a stored message at all: they begin and end like one.
    package static func isPlausible(_ body: ByteBuffer) -> Bool {
        body.withUnsafeReadableBytes { bytes in
            bytes.count > beginning.utf8CodeUnitCount + 1
                && bytes.starts(with: UnsafeRawBufferPointer(staticString: beginning))
                && bytes[beginning.utf8CodeUnitCount] == UInt8(ascii: ",")
                && bytes[bytes.count - 1] == UInt8(ascii: "}")
        }
    }

    /// Appends the `message` event of a stored message. The body is not looked into.
    ///
    /// - Parameter time: milliseconds since 1970.
    package static func write(_ body: ByteBuffer, position: Position, time: UInt64, into out: inout ByteBuffer) {
        let event = Event(body: body, position: position, time: time)
        out.writeWithUnsafeMutableBytes(minimumWritableBytes: event.length) { target in
            var out = ByteCursor(target)
            event.write(into: &out)
            return out.count
        }
    }

    /// Appends the event as a text frame of a server's (RFC 6455, section 5.2).
    package static func writeFrame(_ body: ByteBuffer, position: Position, time: UInt64, into out: inout ByteBuffer) {
        let event = Event(body: body, position: position, time: time)
        let length = TextFrame.headerLength(event.length) + event.length
        out.writeWithUnsafeMutableBytes(minimumWritableBytes: length) { target in
            var out = ByteCursor(target)
            TextFrame.writeHeader(payload: event.length, into: &out)
            event.write(into: &out)
            return out.count
        }
    }

    /// Exactly the bytes that ``write(_:position:time:into:)`` appends.
    package static func length(of body: ByteBuffer, position: Position, time: UInt64) -> Int {
        Event(body: body, position: position, time: time).length
    }

    /// A `message` event that is to be written, and how long it will be.
    private struct Event {
        let body: ByteBuffer
        let position: Position
        let time: UInt64
        private let lengths: (epoch: Int, seq: Int, time: Int)
        let length: Int

        @inline(__always)
        init(body: ByteBuffer, position: Position, time: UInt64) {
            self.body = body
            self.position = position
            self.time = time
            lengths = (
                Decimal.length(of: position.epoch), Decimal.length(of: position.seq), Decimal.length(of: time)
            )
            let rest = max(0, body.readableBytes - beginning.utf8CodeUnitCount)
            length =
                head.utf8CodeUnitCount + lengths.epoch + 1 + lengths.seq + beforeTime.utf8CodeUnitCount + lengths.time
                + rest
        }

        @inline(__always)
        func write(into out: inout ByteCursor) {
            out.write(head)
            out.write(position.epoch, length: lengths.epoch)
            out.write(UInt8(ascii: "-"))
            out.write(position.seq, length: lengths.seq)
            out.write(beforeTime)
            out.write(time, length: lengths.time)
            body.withUnsafeReadableBytes {
                out.write(UnsafeRawBufferPointer(rebasing: $0.dropFirst(beginning.utf8CodeUnitCount)))
            }
        }
    }

    /// How many of a stored message's first bytes tell room, user and `id`, as ``render(room:user:id:to:content:)`` said;
    /// nil without `id`.
    package static func identityLength(of body: ByteBuffer) -> Int? {
        body.withUnsafeReadableBytes { bytes in
            // Names need no escapes, so the user and `id` follow the room, each right after the other.
            guard let user = place(of: #""user":""#, in: bytes, from: beginning.utf8CodeUnitCount),
                let userEnd = bytes[user...].firstIndex(of: UInt8(ascii: "\"")),
                let id = place(of: #","id":""#, in: bytes, from: userEnd + 1), id == userEnd + 1 + 7
            else { return nil }
            var at = id
            while at < bytes.count {
                if bytes[at] == UInt8(ascii: "\"") { return at + 1 }
                at += bytes[at] == UInt8(ascii: "\\") ? 2 : 1
            }
            return nil
        }
    }

    /// Whose a stored message is; nil for what is none.
    package static func user(of body: ByteBuffer) -> UserName? {
        body.withUnsafeReadableBytes { bytes in
            // The user's is the first field of this name, as room names need no escapes.
            guard let user = place(of: #""user":""#, in: bytes, from: 0),
                let end = bytes[user...].firstIndex(of: UInt8(ascii: "\""))
            else { return nil }
            return UserName(String(decoding: bytes[user..<end], as: UTF8.self))
        }
    }

    /// The place after the first occurrence of `text`.
    private static func place(of text: StaticString, in bytes: UnsafeRawBufferPointer, from start: Int) -> Int? {
        let wanted = UnsafeRawBufferPointer(staticString: text)
        guard bytes.count >= wanted.count, start <= bytes.count - wanted.count else { return nil }
        for at in start...(bytes.count - wanted.count)
        where bytes[at] == wanted[0]
            && UnsafeRawBufferPointer(rebasing: bytes[at..<(at + wanted.count)]).elementsEqual(wanted)
        {
            return at + wanted.count
        }
        return nil
    }

    /// Reads back what ``write(_:position:time:into:)`` wrote; nil for anything else.
    package static func read(_ event: ByteBuffer) -> (body: ByteBuffer, position: Position, time: UInt64)? {
        event.withUnsafeReadableBytes { bytes in
            let headLength = head.utf8CodeUnitCount
            guard bytes.count > headLength, bytes.starts(with: UnsafeRawBufferPointer(staticString: head)),
                let quote = bytes[headLength...].firstIndex(of: UInt8(ascii: "\"")),
                let position = Position(decimal: UnsafeRawBufferPointer(rebasing: bytes[headLength..<quote])),
                let timeStart = place(of: beforeTime, in: bytes, from: quote),
                timeStart == quote + beforeTime.utf8CodeUnitCount,
                let timeEnd = bytes[timeStart...].firstIndex(of: UInt8(ascii: ",")),
                let time = UInt64(String(decoding: bytes[timeStart..<timeEnd], as: UTF8.self))
            else { return nil }
            var body = ByteBuffer()
            body.reserveCapacity(beginning.utf8CodeUnitCount + bytes.count - timeEnd)
            body.writeStaticString(beginning)
            body.writeBytes(bytes[timeEnd...])
            return (body, position, time)
        }
    }
}

extension UnsafeRawBufferPointer {
    init(staticString: StaticString) {
        self.init(start: staticString.utf8Start, count: staticString.utf8CodeUnitCount)
    }
}

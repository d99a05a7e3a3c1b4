package import ChatProtocol
package import NIOCore

/// Reads what a receiver has to know out of the frames that come often, without parsing their JSON: the hot path.
package struct FrameScanner: Sendable {
    package enum Found: Equatable {
        /// The marker is nil when the message is not of this run.
        case message(Position, Marker?)
        /// Of a message of this run.
        case acknowledgement(room: Int, number: Int, Position)
        /// Somebody came or went.
        case presence
    }

    private static let message = Array(#"{"type":"message","position":""#.utf8)
    private static let presence = Array(#"{"type":"user_"#.utf8)
    private static let count = Array(#"{"type":"count""#.utf8)
    private static let position = Array(#""position":""#.utf8)
    private let marker: [UInt8]
    private let acknowledgement: [UInt8]

    package init(run: String) {
        marker = Array("\"text\":\"\(Marker.sign) \(run) ".utf8)
        acknowledgement = Array("{\"type\":\"ack\",\"id\":\"\(run)-".utf8)
    }

    /// Nil when the frame is of another kind, or not laid out as nodes do it: then it has to be parsed.
    package func scan(_ frame: ByteBuffer) -> Found? {
        frame.withUnsafeReadableBytes { bytes -> Found? in
            if bytes.starts(with: Self.message) { return message(bytes) }
            if bytes.starts(with: acknowledgement) { return acknowledgement(bytes) }
            if bytes.starts(with: Self.presence) || bytes.starts(with: Self.count) { return .presence }
            return nil
        }
    }

    private func message(_ bytes: UnsafeRawBufferPointer) -> Found? {
        guard let (position, end) = Self.position(in: bytes, from: Self.message.count) else { return nil }
        guard let after = Self.find(marker, in: bytes, from: end) else { return .message(position, nil) }
        return .message(position, Self.marker(in: bytes, from: after))
    }

    private func acknowledgement(_ bytes: UnsafeRawBufferPointer) -> Found? {
        var index = acknowledgement.count
        guard let room = Self.number(in: bytes, at: &index, before: "-"),
            let number = Self.number(in: bytes, at: &index, before: "\""),
            let start = Self.find(Self.position, in: bytes, from: index),
            let (position, _) = Self.position(in: bytes, from: start)
        else { return nil }
        return .acknowledgement(room: Int(room), number: Int(number), position)
    }

    /// The marker at the beginning of a text that was parsed.
    package func marker(inText text: String) -> Marker? {
        var text = text
        let head = marker.dropFirst("\"text\":\"".utf8.count)
        return text.withUTF8 { bytes in
            guard bytes.starts(with: head) else { return nil }
            return Self.marker(in: UnsafeRawBufferPointer(bytes), from: head.count)
        }
    }

    /// Two numbers of up to 20 digits, the dash between them and the closing quote.
    private static func position(in bytes: UnsafeRawBufferPointer, from start: Int) -> (Position, end: Int)? {
        guard let end = bytes[start..<min(start + 42, bytes.count)].firstIndex(of: UInt8(ascii: "\"")),
            let position = Position(decimal: UnsafeRawBufferPointer(rebasing: bytes[start..<end]))
        else { return nil }
        return (position, end)
    }

    private static func marker(in bytes: UnsafeRawBufferPointer, from start: Int) -> Marker? {
        var index = start
        guard let room = number(in: bytes, at: &index, before: " "),
            let number = number(in: bytes, at: &index, before: " "),
            let sender = self.number(in: bytes, at: &index, before: " "),
            let dueAt = self.number(in: bytes, at: &index, before: " ")
        else { return nil }
        return Marker(room: Int(room), number: Int(number), sender: Int(sender), dueAt: dueAt)
    }

    /// Digits and the character after them; fewer than 20, so that nothing overflows.
    private static func number(
        in bytes: UnsafeRawBufferPointer, at index: inout Int, before end: Unicode.Scalar
    ) -> UInt64? {
        let start = index
        var value: UInt64 = 0
        while index < bytes.count, index - start < 19 {
            let digit = bytes[index] &- UInt8(ascii: "0")
            guard digit < 10 else { break }
            value = value * 10 + UInt64(digit)
            index += 1
        }
        guard index > start, index < bytes.count, bytes[index] == UInt8(ascii: end), value <= UInt64(Int.max) else {
            return nil
        }
        index += 1
        return value
    }

    /// The index after the first occurrence. Its first byte, a quote, is rare enough to look for.
    private static func find(_ needle: [UInt8], in bytes: UnsafeRawBufferPointer, from start: Int) -> Int? {
        needle.withUnsafeBytes { needle in
            var index = start
            let last = bytes.count - needle.count
            while index <= last {
                if bytes[index] == needle[0], bytes[index + 1] == needle[1], bytes[index + 2] == needle[2] {
                    var matched = 3
                    while matched < needle.count, bytes[index + matched] == needle[matched] { matched += 1 }
                    if matched == needle.count { return index + matched }
                }
                index += 1
            }
            return nil
        }
    }
}

package import ChatProtocol
package import NIOCore

/// What every message of a load test carries at the beginning of its text: who sent it, which one it is, and when it
/// was due.
package struct Marker: Sendable, Equatable {
    package var room: Int
    /// The message's number among all of its room, in the order in which they were due.
    package var number: Int
    package var sender: Int
    /// Nanoseconds of the generator's clock at which the message was to be sent.
    package var dueAt: UInt64

    package init(room: Int, number: Int, sender: Int, dueAt: UInt64) {
        self.room = room
        self.number = number
        self.sender = sender
        self.dueAt = dueAt
    }

    /// The text with the marker, filled up to `length` bytes.
    package func text(run: String, length: Int) -> String {
        let head = "\(Self.sign) \(run) \(room) \(number) \(sender) \(dueAt) "
        return head + String(repeating: "x", count: max(length - head.utf8.count, 0))
    }

    private static let sign = "rl1"
}

/// Reads markers out of `message` events where they stand, without parsing the JSON: a receiver's hot path.
package struct MarkerScanner: Sendable {
    package struct Found: Equatable {
        package var position: Position
        /// Nil when the message is not of this run.
        package var marker: Marker?
    }

    private static let head = Array(#"{"type":"message","position":""#.utf8)
    private let needle: [UInt8]

    package init(run: String) {
        needle = Array("\"text\":\"rl1 \(run) ".utf8)
    }

    /// Nil when the frame is no message, or not laid out as nodes do it: then it has to be parsed.
    package func scan(_ frame: ByteBuffer) -> Found? {
        frame.withUnsafeReadableBytes { bytes -> Found? in
            guard bytes.count > Self.head.count, bytes.prefix(Self.head.count).elementsEqual(Self.head) else {
                return nil
            }
            let start = Self.head.count
            // Two numbers of 20 digits, the dash and the closing quote.
            guard let end = bytes[start..<min(start + 42, bytes.count)].firstIndex(of: UInt8(ascii: "\"")),
                let position = Position(decimal: UnsafeRawBufferPointer(rebasing: bytes[start..<end]))
            else { return nil }
            guard let after = Self.find(needle, in: bytes, from: end) else { return Found(position: position) }
            return Found(position: position, marker: Self.marker(in: bytes, from: after))
        }
    }

    /// The marker at the beginning of a text that was parsed.
    package func marker(inText text: String) -> Marker? {
        var text = text
        let head = needle.dropFirst("\"text\":\"".utf8.count)
        return text.withUTF8 { bytes in
            guard bytes.starts(with: head) else { return nil }
            return Self.marker(in: UnsafeRawBufferPointer(bytes), from: head.count)
        }
    }

    private static func marker(in bytes: UnsafeRawBufferPointer, from start: Int) -> Marker? {
        var index = start
        guard let room = number(in: bytes, at: &index), let number = number(in: bytes, at: &index),
            let sender = self.number(in: bytes, at: &index), let dueAt = self.number(in: bytes, at: &index)
        else { return nil }
        return Marker(room: Int(room), number: Int(number), sender: Int(sender), dueAt: dueAt)
    }

    /// Digits and the space after them; fewer than 20, so that nothing overflows.
    private static func number(in bytes: UnsafeRawBufferPointer, at index: inout Int) -> UInt64? {
        let start = index
        var value: UInt64 = 0
        while index < bytes.count, index - start < 19 {
            let digit = bytes[index] &- UInt8(ascii: "0")
            guard digit < 10 else { break }
            value = value * 10 + UInt64(digit)
            index += 1
        }
        guard index > start, index < bytes.count, bytes[index] == UInt8(ascii: " "), value <= UInt64(Int.max) else {
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

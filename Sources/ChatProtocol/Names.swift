/// The identity behind a session: `[A-Za-z0-9][A-Za-z0-9._:-]{0,127}`.
///
/// The alphabet keeps a name harmless wherever it goes: Redis keys and channels, URLs, logs, markup.
package struct UserName: Hashable, Comparable, Sendable, CustomStringConvertible {
    package let text: String

    package init?(_ text: some StringProtocol) {
        var text = String(text)
        guard text.withUTF8({ isName($0[...]) }) else { return nil }
        self.text = text
    }

    package var description: String { text }

    /// By bytes, as member lists are sorted.
    package static func < (left: UserName, right: UserName) -> Bool {
        left.text.utf8.lexicographicallyPrecedes(right.text.utf8)
    }
}

/// A room's name: formed like a user's, or `@` and a user's name for that user's inbox.
package struct RoomName: Hashable, Sendable, CustomStringConvertible {
    package let text: String

    package init?(_ text: some StringProtocol) {
        var text = String(text)
        guard text.withUTF8({ isRoomName($0) }) else { return nil }
        self.text = text
    }

    /// Nil for bytes that are no room's name.
    package init?(utf8 bytes: UnsafeRawBufferPointer) {
        guard bytes.withMemoryRebound(to: UInt8.self, { isRoomName($0) }) else { return nil }
        text = String(decoding: bytes, as: UTF8.self)
    }

    /// The inbox of a user, `@bob` for `bob`.
    package init(inboxOf user: UserName) {
        self.text = "@" + user.text
    }

    /// Where nodes tell each other what moderators decided: no room, and no name that a client could give.
    package static let control = RoomName(reserved: "#control")

    private init(reserved text: String) { self.text = text }

    package var description: String { text }

    package var isInbox: Bool { text.utf8.first == UInt8(ascii: "@") }

    /// Whose inbox this is, nil for an ordinary room.
    package var inboxOwner: UserName? { isInbox ? UserName(text.dropFirst()) : nil }
}

private func isRoomName(_ bytes: UnsafeBufferPointer<UInt8>) -> Bool {
    isName(bytes.first == UInt8(ascii: "@") ? bytes.dropFirst() : bytes[...])
}

private func isName(_ bytes: Slice<UnsafeBufferPointer<UInt8>>) -> Bool {
    guard let first = bytes.first, bytes.count <= 128, isAlphanumeric(first) else { return false }
    return bytes.dropFirst().allSatisfy { byte in
        switch byte {
        case UInt8(ascii: "."), UInt8(ascii: ":"), UInt8(ascii: "_"), UInt8(ascii: "-"): true
        default: isAlphanumeric(byte)
        }
    }
}

private func isAlphanumeric(_ byte: UInt8) -> Bool {
    switch byte {
    case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
        UInt8(ascii: "a")...UInt8(ascii: "z"):
        true
    default: false
    }
}

/// One WebSocket connection, named by a random number that is unique in the cluster for all practical purposes.
package struct SessionID: Hashable, Sendable, CustomStringConvertible {
    package let value: UInt64

    package init(value: UInt64) { self.value = value }

    package static func random() -> SessionID { SessionID(value: .random(in: 1...UInt64.max)) }

    /// Sixteen lowercase hexadecimal digits.
    package var description: String {
        let digits = String(value, radix: 16)
        return String(repeating: "0", count: 16 - digits.utf8.count) + digits
    }

    package init?(_ text: some StringProtocol) {
        guard text.utf8.count == 16, let value = UInt64(text, radix: 16), text.utf8.first != UInt8(ascii: "+") else {
            return nil
        }
        self.value = value
    }
}

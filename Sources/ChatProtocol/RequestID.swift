/// A client's own name for one of its frames, 1 to 64 bytes of UTF-8, echoed in the answer. On a `message` it is also
/// the key against duplicates.
///
/// Two are equal when their bytes are: unlike `String`, `é` as one scalar and as two are different ids, as they are in
/// the log.
package struct RequestID: Hashable, Sendable, CustomStringConvertible {
    package static let lengths = 1...64

    /// As meant, not as escaped on the wire.
    package let text: String

    package init?(_ text: some StringProtocol) {
        guard Self.lengths.contains(text.utf8.count) else { return nil }
        self.text = String(text)
    }

    package var description: String { text }

    package static func == (left: RequestID, right: RequestID) -> Bool {
        left.text.utf8.elementsEqual(right.text.utf8)
    }

    package func hash(into hasher: inout Hasher) {
        let hashed: Void? = text.utf8.withContiguousStorageIfAvailable {
            hasher.combine(bytes: UnsafeRawBufferPointer($0))
        }
        if hashed == nil {
            for byte in text.utf8 { hasher.combine(byte) }
        }
        hasher.combine(text.utf8.count)
    }
}

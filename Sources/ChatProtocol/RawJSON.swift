package import NIOCore

/// A JSON value as it was sent, byte for byte: checked once, never decoded on its way from client to client.
package struct RawJSON: Sendable, Equatable {
    package let bytes: ByteBuffer

    /// Takes bytes that are known to be one JSON value in valid UTF-8.
    package init(validated bytes: ByteBuffer) {
        self.bytes = bytes
    }

    /// Checks that the bytes are one JSON value with nothing but white space around it. They must be valid UTF-8.
    package init?(_ bytes: ByteBuffer) {
        let range = bytes.withUnsafeReadableBytes { JSONScanner.value(in: $0)?.range }
        guard let range, let value = bytes.getSlice(at: bytes.readerIndex + range.lowerBound, length: range.count)
        else { return nil }
        self.bytes = value
    }

    /// A JSON string that means `text`.
    package init(string text: String) {
        var bytes = ByteBuffer()
        bytes.writeJSONString(text)
        self.bytes = bytes
    }

    /// What a JSON string means; nil for any other value.
    package var string: String? {
        bytes.withUnsafeReadableBytes { bytes in
            JSONScanner.value(in: bytes).flatMap { JSONText.decode($0, of: bytes) }
        }
    }
}

/// What a message carries: text, data or both.
package struct Content: Sendable, Equatable {
    /// A JSON string, quotes included.
    package var text: RawJSON?
    package var data: RawJSON?

    package init(text: RawJSON?, data: RawJSON?) {
        self.text = text
        self.data = data
    }

    package init(string text: String, data: RawJSON? = nil) {
        self.init(text: RawJSON(string: text), data: data)
    }
}

import ChatProtocol
import FoundationEssentials
import NIOCore

/// A JSON value as it travels: encoded once by the sender, decoded by whoever wants to.
public struct JSONValue: Sendable, Hashable, CustomStringConvertible {
    /// The JSON text.
    public let text: String

    /// - Throws: ``ChatClientError/Code/invalidJSON``.
    public init(text: String) throws(ChatClientError) {
        guard let raw = RawJSON(ByteBuffer(string: text)) else {
            throw ChatClientError(code: .invalidJSON, message: "this is not a JSON value")
        }
        self.init(raw)
    }

    /// - Throws: what the value's `encode(to:)` throws.
    public init(encoding value: some Encodable) throws {
        self.text = String(decoding: try JSONEncoder().encode(value), as: UTF8.self)
    }

    init(_ raw: RawJSON) {
        text = String(buffer: raw.bytes)
    }

    var raw: RawJSON { RawJSON(validated: ByteBuffer(string: text)) }

    public func decode<Value: Decodable>(as type: Value.Type = Value.self) throws -> Value {
        try JSONDecoder().decode(type, from: Data(text.utf8))
    }

    public var description: String { text }
}

/// A field is there, but is not what it should be.
package struct JSONFieldMismatch: Error, Equatable {
    package var field: String

    package init(field: String) { self.field = field }
}

/// Reading objects that are not of the wire protocol, such as the claims of a token. A field is absent (nil), right, or
/// an error; null is an error.
extension JSONObject {
    package func text(_ field: StaticString) throws(JSONFieldMismatch) -> String? {
        guard let value = self[field] else { return nil }
        guard let text = JSONText.decode(value, of: bytes) else { throw JSONFieldMismatch(field: "\(field)") }
        return text
    }

    /// A finite number, however it is written.
    package func number(_ field: StaticString) throws(JSONFieldMismatch) -> Double? {
        guard let value = self[field] else { return nil }
        let digits = String(decoding: UnsafeRawBufferPointer(rebasing: bytes[value.range]), as: UTF8.self)
        guard value.kind == .number, let number = Double(digits), number.isFinite else {
            throw JSONFieldMismatch(field: "\(field)")
        }
        return number
    }

    package func flag(_ field: StaticString) throws(JSONFieldMismatch) -> Bool? {
        switch self[field]?.kind {
        case nil: nil
        case .true: true
        case .false: false
        case .object, .array, .plainString, .escapedString, .number, .null:
            throw JSONFieldMismatch(field: "\(field)")
        }
    }

    package func texts(_ field: StaticString) throws(JSONFieldMismatch) -> [String]? {
        guard let value = self[field] else { return nil }
        guard value.kind == .array, let elements = try? JSONScanner.elements(of: value, in: bytes) else {
            throw JSONFieldMismatch(field: "\(field)")
        }
        return try elements.map { element throws(JSONFieldMismatch) in
            guard let text = JSONText.decode(element, of: bytes) else { throw JSONFieldMismatch(field: "\(field)") }
            return text
        }
    }

    /// The JSON of each element of an array.
    package func elements(_ field: StaticString) throws(JSONFieldMismatch) -> [String]? {
        guard let value = self[field] else { return nil }
        guard value.kind == .array, let elements = try? JSONScanner.elements(of: value, in: bytes) else {
            throw JSONFieldMismatch(field: "\(field)")
        }
        return elements.map { String(decoding: UnsafeRawBufferPointer(rebasing: bytes[$0.range]), as: UTF8.self) }
    }
}

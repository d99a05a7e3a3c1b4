/// What kind of JSON value stands somewhere. Strings tell whether they hold escapes, so that most need no decoding.
package enum JSONKind: UInt8, Sendable {
    case object
    case array
    case plainString
    case escapedString
    case number
    case `true`
    case `false`
    case null
}

/// Where a JSON value stands in the bytes that were scanned, quotes and brackets included.
package struct JSONValue: Sendable, Equatable {
    package let kind: JSONKind
    private let start: UInt32
    private let end: UInt32

    init(kind: JSONKind, start: Int, end: Int) {
        self.kind = kind
        self.start = UInt32(truncatingIfNeeded: start)
        self.end = UInt32(truncatingIfNeeded: end)
    }

    package var range: Range<Int> { Int(start)..<Int(end) }

    package var isString: Bool { kind == .plainString || kind == .escapedString }
}

/// A field of an object: where its key stands, and its value.
struct JSONField: Sendable {
    /// Of the key without quotes, in the scanned bytes, or in ``JSONObject/unescapedKeys``.
    let keyStart: UInt32
    let keyLength: UInt32
    let keyIsUnescaped: Bool
    var value: JSONValue

    var keyRange: Range<Int> { Int(keyStart)..<Int(keyStart) + Int(keyLength) }
}

/// An object that has been scanned: its own fields in the order sent, what is below them by range only.
///
/// Holds a pointer into the bytes: it must not leave the closure that provided them.
package struct JSONObject {
    let bytes: UnsafeRawBufferPointer
    let fields: [JSONField]
    /// The keys that were spelt with escapes, as they are meant.
    let unescapedKeys: [UInt8]

    /// The value of a field, however its key was spelt.
    package subscript(name: StaticString) -> JSONValue? {
        let name = UnsafeRawBufferPointer(start: name.utf8Start, count: name.utf8CodeUnitCount)
        for field in fields where Int(field.keyLength) == name.count {
            if withKey(of: field, { areEqual($0, name) }) { return field.value }
        }
        return nil
    }

    func key(of field: JSONField) -> String {
        withKey(of: field) { String(decoding: $0, as: UTF8.self) }
    }

    private func withKey<Answer>(of field: JSONField, _ body: (UnsafeRawBufferPointer) -> Answer) -> Answer {
        guard field.keyIsUnescaped else { return body(UnsafeRawBufferPointer(rebasing: bytes[field.keyRange])) }
        return unescapedKeys.withUnsafeBytes { body(UnsafeRawBufferPointer(rebasing: $0[field.keyRange])) }
    }
}

/// Whether two byte strings are the same.
@inline(__always)
func areEqual(_ left: UnsafeRawBufferPointer, _ right: UnsafeRawBufferPointer) -> Bool {
    guard left.count == right.count else { return false }
    var index = 0
    while index < left.count {
        if left[index] != right[index] { return false }
        index += 1
    }
    return true
}

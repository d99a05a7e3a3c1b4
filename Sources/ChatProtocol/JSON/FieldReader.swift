import NIOCore

/// Why a frame's fields are not what its type asks for. The text names the field and never repeats what was sent.
struct FieldError: Error, Equatable {
    enum Kind: Equatable {
        case missing
        case wrong
        /// A room's name that is none; it has an error code of its own.
        case invalidRoom
    }

    var kind: Kind
    var text: String

    static func missing(_ field: StaticString) -> FieldError {
        FieldError(kind: .missing, text: "`\(field)` is missing")
    }

    static func wrong(_ field: StaticString, _ rule: String) -> FieldError {
        FieldError(kind: .wrong, text: "`\(field)` must be \(rule)")
    }

    static func invalidRoom(_ field: StaticString) -> FieldError {
        FieldError(
            kind: .invalidRoom,
            text: "`\(field)` must be 1 to 128 of A-Z a-z 0-9 . _ : - that begin with a letter or digit, "
                + "or @ and a user's name")
    }
}

/// Reads the fields of one scanned object as the types of this protocol. A field is absent (nil), right, or an error;
/// null is an error for all but ``json(_:)``.
struct FieldReader {
    let object: JSONObject
    /// What the object's bytes are the readable bytes of.
    let frame: ByteBuffer

    private var bytes: UnsafeRawBufferPointer { object.bytes }

    func has(_ field: StaticString) -> Bool { object[field] != nil }

    /// Whether a field is this string, spelt without escapes.
    func holds(_ field: StaticString, _ text: StaticString) -> Bool {
        guard let value = object[field], value.kind == .plainString else { return false }
        let inside = UnsafeRawBufferPointer(rebasing: bytes[value.range].dropFirst().dropLast())
        return areEqual(inside, UnsafeRawBufferPointer(staticString: text))
    }

    /// Makes an absent field an error.
    @inline(__always)
    func need<Value>(
        _ field: StaticString, _ read: (StaticString) throws(FieldError) -> Value?
    ) throws(FieldError) -> Value {
        guard let value = try read(field) else { throw .missing(field) }
        return value
    }

    func string(_ field: StaticString) throws(FieldError) -> String? {
        guard let value = object[field] else { return nil }
        guard let text = JSONText.decode(value, of: bytes) else { throw .wrong(field, "a string") }
        return text
    }

    func flag(_ field: StaticString) throws(FieldError) -> Bool? {
        switch object[field]?.kind {
        case nil: nil
        case .true: true
        case .false: false
        case .object, .array, .plainString, .escapedString, .number, .null: throw .wrong(field, "true or false")
        }
    }

    /// A number that is written without sign, fraction and exponent.
    func number(_ field: StaticString, in range: ClosedRange<Int>) throws(FieldError) -> Int? {
        guard let value = object[field] else { return nil }
        guard let number = unsigned(value).flatMap(Int.init(exactly:)), range.contains(number) else {
            throw .wrong(
                field,
                range.upperBound == .max
                    ? "an integer of at least \(range.lowerBound)"
                    : "an integer from \(range.lowerBound) to \(range.upperBound)")
        }
        return number
    }

    func unsigned(_ field: StaticString) throws(FieldError) -> UInt64? {
        guard let value = object[field] else { return nil }
        guard let number = unsigned(value) else { throw .wrong(field, "an unsigned integer") }
        return number
    }

    func position(_ field: StaticString) throws(FieldError) -> Position? {
        guard let value = object[field] else { return nil }
        guard let position = position(value) else { throw .wrong(field, Self.positionRule) }
        return position
    }

    func user(_ field: StaticString) throws(FieldError) -> UserName? {
        guard let value = object[field] else { return nil }
        guard let user = user(value) else { throw .wrong(field, "a user's name") }
        return user
    }

    func users(_ field: StaticString) throws(FieldError) -> [UserName]? {
        guard let value = object[field] else { return nil }
        guard value.kind == .array, let elements = try? JSONScanner.elements(of: value, in: bytes) else {
            throw .wrong(field, "an array of users' names")
        }
        return try elements.map { value throws(FieldError) in
            guard let user = user(value) else { throw .wrong(field, "an array of users' names") }
            return user
        }
    }

    func room(_ field: StaticString) throws(FieldError) -> RoomName? {
        guard let text = try string(field) else { return nil }
        guard let room = RoomName(text) else { throw .invalidRoom(field) }
        return room
    }

    func requestID(_ field: StaticString) throws(FieldError) -> RequestID? {
        guard let value = object[field] else { return nil }
        // Looked at before it is decoded: an escape is at most six bytes for one.
        guard value.range.count <= RequestID.lengths.upperBound * 6 + 2,
            let id = JSONText.decode(value, of: bytes).flatMap({ RequestID($0) })
        else { throw .wrong(field, "a string of 1 to 64 bytes") }
        return id
    }

    /// Any value, null included, as it was sent.
    func json(_ field: StaticString) throws(FieldError) -> RawJSON? {
        object[field].flatMap(raw)
    }

    /// A string as it was sent.
    func jsonString(_ field: StaticString) throws(FieldError) -> RawJSON? {
        guard let value = object[field] else { return nil }
        guard value.isString else { throw .wrong(field, "a string") }
        return raw(value)
    }

    /// The objects in an array.
    func objects(_ field: StaticString) throws(FieldError) -> [FieldReader]? {
        guard let value = object[field] else { return nil }
        guard value.kind == .array, let elements = try? JSONScanner.elements(of: value, in: bytes) else {
            throw .wrong(field, "an array of objects")
        }
        return try elements.map { value throws(FieldError) in
            guard let element = reader(at: value) else { throw .wrong(field, "an array of objects") }
            return element
        }
    }

    /// The object that a field holds.
    func nested(_ field: StaticString) throws(FieldError) -> FieldReader? {
        guard let value = object[field] else { return nil }
        guard let nested = reader(at: value) else { throw .wrong(field, "an object") }
        return nested
    }
}

// MARK: - Values

extension FieldReader {
    static let positionRule = "a position: a string of two decimal numbers, EPOCH-SEQ"

    func position(_ value: JSONValue) -> Position? {
        switch value.kind {
        case .plainString:
            Position(decimal: UnsafeRawBufferPointer(rebasing: bytes[value.range.dropFirst().dropLast()]))
        case .escapedString:
            JSONText.decode(value, of: bytes).flatMap { Position($0) }
        case .object, .array, .number, .true, .false, .null:
            nil
        }
    }

    private func user(_ value: JSONValue) -> UserName? {
        JSONText.decode(value, of: bytes).flatMap { UserName($0) }
    }

    private func unsigned(_ value: JSONValue) -> UInt64? {
        guard value.kind == .number else { return nil }
        return Decimal.value(of: UnsafeRawBufferPointer(rebasing: bytes[value.range]))
    }

    private func raw(_ value: JSONValue) -> RawJSON? {
        frame.getSlice(at: frame.readerIndex + value.range.lowerBound, length: value.range.count)
            .map { RawJSON(validated: $0) }
    }

    private func reader(at value: JSONValue) -> FieldReader? {
        guard value.kind == .object, let object = try? JSONScanner.object(at: value, in: bytes) else { return nil }
        return FieldReader(object: object, frame: frame)
    }
}

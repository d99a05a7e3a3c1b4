/// Reads JSON (RFC 8259) in a single pass: checks all of it strictly, builds no tree, remembers only where the fields
/// of the outermost object stand.
///
/// Stricter than the grammar where parsers disagree: no object may name a key twice, however it is spelt, escapes must
/// make whole code points, and depth and keys have bounds. Numbers are not interpreted: `1e400` is one. Whether
/// strings are valid UTF-8 is not asked here; text frames come checked by the WebSocket layer.
///
/// Time grows as the bytes do, for any input: keys stand in a table by their hashes, which no client can choose, as they
/// are seeded anew in each process.
package struct JSONScanner {
    /// Objects and arrays inside one another in what a client sends, the outermost included.
    package static let maximumDepth = 32
    /// The same in what a node sends, where a client's `data` stands a few levels deeper.
    package static let maximumServerDepth = 64
    /// Keys of all the objects that are open at one time.
    package static let maximumKeys = 65_536
    /// Objects of up to so many keys compare each new key with those before; larger ones look theirs up at the end.
    private static let fewKeys = 16

    private let bytes: UnsafeRawBufferPointer
    private let end: Int
    private let maximumDepth: Int
    private var at: Int
    /// The fields of the outermost object, and above them those of the nested objects that are still open.
    private var fields: [JSONField] = []
    private var unescapedKeys: [UInt8] = []
    /// Whether the keys of large objects are compared.
    private var findsTwins = true

    private init(_ bytes: UnsafeRawBufferPointer, range: Range<Int>, maximumDepth: Int) {
        self.bytes = bytes
        self.at = range.lowerBound
        self.end = range.upperBound
        self.maximumDepth = maximumDepth
    }

    /// The bytes are one object and nothing but white space around it.
    package static func object(
        in bytes: UnsafeRawBufferPointer, maximumDepth: Int = JSONScanner.maximumDepth
    ) throws(JSONError) -> JSONObject {
        var scanner = try JSONScanner(whole: bytes, maximumDepth: maximumDepth)
        try scanner.scanObject()
        return scanner.object
    }

    /// The fields of the outermost object up to where the bytes cease to be acceptable, if anywhere. For an answer to a
    /// frame that is refused anyway, so that not all of its keys are compared.
    package static func partialObject(in bytes: UnsafeRawBufferPointer) -> JSONObject? {
        guard var scanner = try? JSONScanner(whole: bytes, maximumDepth: maximumDepth) else { return nil }
        scanner.findsTwins = false
        try? scanner.scanObject()
        return scanner.object
    }

    /// Where the only value of the bytes stands, of any kind, with nothing but white space around it.
    package static func value(in bytes: UnsafeRawBufferPointer) -> JSONValue? {
        guard var scanner = try? JSONScanner(whole: bytes, maximumDepth: maximumServerDepth) else { return nil }
        scanner.skipSpace()
        // From depth 1: the fields of an object are not asked for here, so that they need not be kept.
        guard let value = try? scanner.scanValue(depth: 1) else { return nil }
        scanner.skipSpace()
        return scanner.at == scanner.end ? value : nil
    }

    /// The fields of an object that an earlier pass found.
    static func object(at value: JSONValue, in bytes: UnsafeRawBufferPointer) throws(JSONError) -> JSONObject {
        var scanner = JSONScanner(bytes, range: value.range, maximumDepth: maximumServerDepth)
        try scanner.scanObject()
        return scanner.object
    }

    /// The elements of an array that an earlier pass found.
    static func elements(of value: JSONValue, in bytes: UnsafeRawBufferPointer) throws(JSONError) -> [JSONValue] {
        var scanner = JSONScanner(bytes, range: value.range, maximumDepth: maximumServerDepth)
        var elements: [JSONValue] = []
        // The element's own objects stand below the outermost one, as in `value(in:)`.
        try scanner.scanArray(depth: 2) { elements.append($0) }
        return elements
    }

    private init(whole bytes: UnsafeRawBufferPointer, maximumDepth: Int) throws(JSONError) {
        // Places are kept in 32 bits; no limit of a node or client lets a frame come near.
        guard bytes.count < Int(Int32.max) else { throw JSONError(reason: .tooLong, offset: 0) }
        self.init(bytes, range: 0..<bytes.count, maximumDepth: maximumDepth)
        fields.reserveCapacity(8)
    }

    private var object: JSONObject {
        JSONObject(bytes: bytes, fields: fields, unescapedKeys: unescapedKeys)
    }

    private mutating func scanObject() throws(JSONError) {
        skipSpace()
        guard at < end, bytes[at] == UInt8(ascii: "{") else { throw JSONError(reason: .notAnObject, offset: at) }
        try scanFields(depth: 1)
        skipSpace()
        guard at == end else { throw error(.trailingBytes) }
    }
}

// MARK: - Structure

extension JSONScanner {
    /// - Parameter depth: how many objects and arrays are open around the value.
    private mutating func scanValue(depth: Int) throws(JSONError) -> JSONValue {
        guard at < end else { throw error(.endsTooEarly) }
        let start = at
        let kind: JSONKind
        switch bytes[at] {
        case UInt8(ascii: "\""):
            kind = try scanString() ? .escapedString : .plainString
        case UInt8(ascii: "{"):
            try scanFields(depth: depth + 1)
            kind = .object
        case UInt8(ascii: "["):
            try scanArray(depth: depth + 1) { _ in }
            kind = .array
        case UInt8(ascii: "t"):
            try scan("true")
            kind = .true
        case UInt8(ascii: "f"):
            try scan("false")
            kind = .false
        case UInt8(ascii: "n"):
            try scan("null")
            kind = .null
        case UInt8(ascii: "-"), UInt8(ascii: "0")...UInt8(ascii: "9"):
            try scanNumber()
            kind = .number
        default:
            throw error(.unexpectedByte)
        }
        return JSONValue(kind: kind, start: start, end: at)
    }

    private mutating func scanArray(depth: Int, _ found: (JSONValue) -> Void) throws(JSONError) {
        guard depth <= maximumDepth else { throw error(.tooDeep) }
        at += 1
        skipSpace()
        if take(UInt8(ascii: "]")) { return }
        while true {
            found(try scanValue(depth: depth))
            skipSpace()
            if take(UInt8(ascii: "]")) { return }
            guard take(UInt8(ascii: ",")) else { throw error(.unexpectedByte) }
            skipSpace()
        }
    }

    /// An object from its opening brace on. The fields of the outermost one, at depth 1, stay in `fields`.
    private mutating func scanFields(depth: Int) throws(JSONError) {
        guard depth <= maximumDepth else { throw error(.tooDeep) }
        at += 1
        let first = fields.count
        defer {
            if depth > 1 { fields.removeLast(fields.count - first) }
        }
        skipSpace()
        if take(UInt8(ascii: "}")) { return }
        while true {
            guard at < end, bytes[at] == UInt8(ascii: "\"") else { throw error(.unexpectedByte) }
            let keyAt = at
            let key = try scanKey()
            guard fields.count < Self.maximumKeys else { throw JSONError(reason: .tooManyKeys, offset: keyAt) }
            if fields.count - first <= Self.fewKeys, isKnown(key, from: first) {
                throw JSONError(reason: .duplicateKey, offset: keyAt)
            }
            skipSpace()
            guard take(UInt8(ascii: ":")) else { throw error(.unexpectedByte) }
            skipSpace()
            var field = key
            field.value = try scanValue(depth: depth)
            fields.append(field)
            skipSpace()
            if take(UInt8(ascii: "}")) { break }
            guard take(UInt8(ascii: ",")) else { throw error(.unexpectedByte) }
            skipSpace()
        }
        if findsTwins, fields.count - first > Self.fewKeys, hasTwins(from: first) { throw error(.duplicateKey) }
    }

    /// A key with its quotes; the value of the field is still to come.
    private mutating func scanKey() throws(JSONError) -> JSONField {
        let start = at + 1
        let isEscaped = try scanString()
        let text = start..<(at - 1)
        let none = JSONValue(kind: .null, start: at, end: at)
        guard isEscaped else {
            return JSONField(
                keyStart: UInt32(text.lowerBound), keyLength: UInt32(text.count), keyIsUnescaped: false, value: none)
        }
        let unescaped = unescapedKeys.count
        JSONText.unescape(bytes[text], into: &unescapedKeys)
        return JSONField(
            keyStart: UInt32(unescaped), keyLength: UInt32(unescapedKeys.count - unescaped), keyIsUnescaped: true,
            value: none)
    }
}

// MARK: - Keys

extension JSONScanner {
    private func isKnown(_ key: JSONField, from first: Int) -> Bool {
        var index = first
        while index < fields.count {
            if areTwins(fields[index], key) { return true }
            index += 1
        }
        return false
    }

    /// Puts each key into a table that is at most half full, at the place that its hash tells or the next free one.
    private func hasTwins(from first: Int) -> Bool {
        let size = 1 << (Int.bitWidth - (2 * (fields.count - first) - 1).leadingZeroBitCount)
        return withUnsafeTemporaryAllocation(of: UInt32.self, capacity: size) { table in
            // 0 for none, else a field's index and 1.
            table.initialize(repeating: 0)
            for index in first..<fields.count {
                var hasher = Hasher()
                withKey(fields[index]) { hasher.combine(bytes: $0) }
                var place = hasher.finalize() & (size - 1)
                while table[place] != 0 {
                    if areTwins(fields[Int(table[place]) - 1], fields[index]) { return true }
                    place = (place + 1) & (size - 1)
                }
                table[place] = UInt32(index + 1)
            }
            return false
        }
    }

    @inline(__always)
    private func areTwins(_ one: JSONField, _ other: JSONField) -> Bool {
        one.keyLength == other.keyLength && withKey(one) { one in withKey(other) { areEqual(one, $0) } }
    }

    @inline(__always)
    private func withKey<Answer>(_ field: JSONField, _ body: (UnsafeRawBufferPointer) -> Answer) -> Answer {
        guard field.keyIsUnescaped else { return body(UnsafeRawBufferPointer(rebasing: bytes[field.keyRange])) }
        return unescapedKeys.withUnsafeBytes { body(UnsafeRawBufferPointer(rebasing: $0[field.keyRange])) }
    }
}

// MARK: - Words

extension JSONScanner {
    /// A string from its opening quote on.
    ///
    /// - Returns: whether it holds escapes.
    private mutating func scanString() throws(JSONError) -> Bool {
        at += 1
        var isEscaped = false
        while true {
            at = JSONText.endOfPlainText(in: bytes, from: at, to: end)
            guard at < end else { throw error(.endsTooEarly) }
            switch bytes[at] {
            case UInt8(ascii: "\""):
                at += 1
                return isEscaped
            case UInt8(ascii: "\\"):
                isEscaped = true
                try scanEscape()
            default:
                throw error(.controlCharacter)
            }
        }
    }

    private mutating func scanEscape() throws(JSONError) {
        let start = at
        guard at + 1 < end else { throw error(.endsTooEarly) }
        at += 2
        switch bytes[at - 1] {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"), UInt8(ascii: "b"), UInt8(ascii: "f"),
            UInt8(ascii: "n"), UInt8(ascii: "r"), UInt8(ascii: "t"):
            return
        case UInt8(ascii: "u"):
            break
        default:
            throw JSONError(reason: .invalidEscape, offset: start)
        }
        let unit = try scanCodeUnit()
        switch unit {
        case 0xD800..<0xDC00:
            guard at + 1 < end, bytes[at] == UInt8(ascii: "\\"), bytes[at + 1] == UInt8(ascii: "u") else {
                throw JSONError(reason: .loneSurrogate, offset: start)
            }
            at += 2
            guard 0xDC00..<0xE000 ~= (try scanCodeUnit()) else {
                throw JSONError(reason: .loneSurrogate, offset: start)
            }
        case 0xDC00..<0xE000:
            throw JSONError(reason: .loneSurrogate, offset: start)
        default:
            break
        }
    }

    /// The four digits after `\u`.
    private mutating func scanCodeUnit() throws(JSONError) -> UInt16 {
        guard at + 4 <= end else { throw error(.endsTooEarly) }
        guard let unit = JSONText.codeUnit(bytes[at..<(at + 4)]) else { throw error(.invalidEscape) }
        at += 4
        return unit
    }

    private mutating func scanNumber() throws(JSONError) {
        _ = take(UInt8(ascii: "-"))
        if !take(UInt8(ascii: "0")) { try scanDigits() }
        if take(UInt8(ascii: ".")) { try scanDigits() }
        if take(UInt8(ascii: "e")) || take(UInt8(ascii: "E")) {
            if !take(UInt8(ascii: "+")) { _ = take(UInt8(ascii: "-")) }
            try scanDigits()
        }
    }

    private mutating func scanDigits() throws(JSONError) {
        let start = at
        while at < end, UInt8(ascii: "0")...UInt8(ascii: "9") ~= bytes[at] { at += 1 }
        guard at > start else { throw error(.invalidNumber) }
    }

    private mutating func scan(_ word: StaticString) throws(JSONError) {
        let word = UnsafeRawBufferPointer(start: word.utf8Start, count: word.utf8CodeUnitCount)
        guard word.count <= end - at, areEqual(UnsafeRawBufferPointer(rebasing: bytes[at..<(at + word.count)]), word)
        else { throw error(.invalidLiteral) }
        at += word.count
    }

    @inline(__always)
    private mutating func skipSpace() {
        while at < end {
            switch bytes[at] {
            case UInt8(ascii: " "), UInt8(ascii: "\n"), UInt8(ascii: "\r"), UInt8(ascii: "\t"): at += 1
            default: return
            }
        }
    }

    @inline(__always)
    private mutating func take(_ byte: UInt8) -> Bool {
        guard at < end, bytes[at] == byte else { return false }
        at += 1
        return true
    }

    private func error(_ reason: JSONError.Reason) -> JSONError {
        JSONError(reason: at < end || reason != .unexpectedByte ? reason : .endsTooEarly, offset: at)
    }
}

/// Why bytes are not the JSON that this protocol takes, and where that was seen.
package struct JSONError: Error, Sendable, Equatable, CustomStringConvertible {
    package enum Reason: String, Sendable {
        case notAnObject = "not a JSON object"
        case endsTooEarly = "ends too early"
        case unexpectedByte = "unexpected character"
        case trailingBytes = "something after the object"
        case invalidNumber = "not a JSON number"
        case invalidLiteral = "neither true, false nor null"
        case controlCharacter = "control character in a string"
        case invalidEscape = "invalid escape in a string"
        case loneSurrogate = "half a surrogate pair in a string"
        case duplicateKey = "duplicate key"
        case tooDeep = "nested too deep"
        case tooManyKeys = "too many keys"
        case tooLong = "too long"
    }

    package var reason: Reason
    /// Bytes before the place.
    package var offset: Int

    package init(reason: Reason, offset: Int) {
        self.reason = reason
        self.offset = offset
    }

    package var description: String { "\(reason.rawValue) (byte \(offset))" }
}

/// What Redis sent is not a reply, or not one that this reader accepts. The connection has lost its place and must be
/// closed: the reader that threw this throws it for ever.
package struct ReplyProtocolError: Error, Equatable {
    package enum Code: String, Sendable {
        /// No RESP2: an unknown type, a length that is no number, a string that does not end where it should.
        case malformed
        /// A bulk string is longer than ``ReplyReader/Limits/bulkBytes``.
        case bulkTooLong
        /// A line is longer than ``ReplyReader/Limits/lineBytes``.
        case lineTooLong
        /// An array has more than ``ReplyReader/Limits/arrayElements`` elements.
        case tooManyElements
        /// Arrays are nested deeper than ``ReplyReader/Limits/depth``.
        case nestedTooDeep
        /// More than ``ReplyReader/Limits/unfinishedBytes`` arrived and the reply was still not complete.
        case unfinishedTooLong
        /// The C side could not allocate.
        case outOfMemory
        /// The reader was closed before.
        case closed
    }

    package let code: Code
    /// A sentence for the log. Holds nothing of the reply but, at most, one byte that was no type.
    package let message: String

    package init(code: Code, message: String) {
        self.code = code
        self.message = message
    }
}

extension ReplyProtocolError: CustomStringConvertible {
    package var description: String {
        "\(self.code.rawValue): \(self.message)"
    }
}

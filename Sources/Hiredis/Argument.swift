package import NIOCore

/// One argument of a command, in the form that its writer has at hand: none of them is turned into another first.
package enum Argument: Sendable, Equatable {
    case text(String)
    case bytes(ByteBuffer)
    case integer(Int)
    /// So many arguments that are written already, by ``CommandFormatter/writeArgument(_:into:)``.
    case written(ByteBuffer, count: Int)
}

extension Argument: ExpressibleByStringLiteral, ExpressibleByIntegerLiteral {
    package init(stringLiteral value: String) {
        self = .text(value)
    }

    package init(integerLiteral value: Int) {
        self = .integer(value)
    }
}

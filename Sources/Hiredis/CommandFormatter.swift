package import NIOCore

/// Writes commands as Redis reads them (RESP): an array of bulk strings. Binary-safe; an argument may be empty.
///
/// Not by hiredis, whose formatter needs every argument as a pointer and then asks and grows its own string for each: that
/// was a fifth of all that a gateway computed for a message. What is written here hiredis's reader reads back in the tests.
package struct CommandFormatter {
    /// Appends one command. It has at least one argument, the command's name.
    ///
    /// - Parameter more: the arguments after the first ones, for who has them in two lists.
    package static func write(_ arguments: [Argument], _ more: [Argument] = [], into out: inout ByteBuffer) {
        assert(!arguments.isEmpty, "a command has a name")
        let size = longestLine + longestSize(of: arguments) + longestSize(of: more)
        out.writeWithUnsafeMutableBytes(minimumWritableBytes: size) { target in
            var line = Line(target: target)
            line.writeHead("*", count(of: arguments) + count(of: more))
            for argument in arguments { line.write(argument) }
            for argument in more { line.write(argument) }
            return line.count
        }
    }

    /// Appends one argument as ``write(_:_:into:)`` would, for ``Argument/written(_:count:)``.
    package static func writeArgument(_ bytes: UnsafeRawBufferPointer, into out: inout ByteBuffer) {
        out.writeWithUnsafeMutableBytes(minimumWritableBytes: longestLine + bytes.count + argumentEnd) { target in
            var line = Line(target: target)
            line.writeBulk(bytes)
            return line.count
        }
    }

    /// What follows an argument's bytes.
    package static let argumentEnd = 2

    private static func count(of arguments: [Argument]) -> Int {
        var count = arguments.count
        for argument in arguments {
            if case .written(_, let written) = argument { count += written - 1 }
        }
        return count
    }

    /// `Int.min` in decimal.
    private static let longestInteger = 20
    /// A sign, a length and a line end.
    private static let longestLine = longestInteger + 3

    private static func longestSize(of arguments: [Argument]) -> Int {
        var size = 0
        for argument in arguments {
            let length =
                switch argument {
                case .text(let text): text.utf8.count
                case .bytes(let bytes): bytes.readableBytes
                case .integer: longestInteger
                case .written(let bytes, _): bytes.readableBytes
                }
            size += longestLine + length + argumentEnd
        }
        return size
    }

    /// A command that is being written, in memory that has room for all of it.
    private struct Line {
        let target: UnsafeMutableRawBufferPointer
        private(set) var count = 0

        init(target: UnsafeMutableRawBufferPointer) { self.target = target }

        mutating func write(_ argument: Argument) {
            switch argument {
            case .text(var text): text.withUTF8 { writeBulk(UnsafeRawBufferPointer($0)) }
            case .bytes(let bytes): bytes.withUnsafeReadableBytes { writeBulk($0) }
            case .written(let bytes, _): bytes.withUnsafeReadableBytes { write($0) }
            case .integer(let integer):
                let isNegative = integer < 0
                writeHead("$", Self.digits(of: integer.magnitude) + (isNegative ? 1 : 0))
                if isNegative { write(UInt8(ascii: "-")) }
                write(integer.magnitude)
                writeLineEnd()
            }
        }

        mutating func writeBulk(_ bytes: UnsafeRawBufferPointer) {
            writeHead("$", bytes.count)
            write(bytes)
            writeLineEnd()
        }

        private mutating func write(_ bytes: UnsafeRawBufferPointer) {
            UnsafeMutableRawBufferPointer(rebasing: target[count...]).copyMemory(from: bytes)
            count += bytes.count
        }

        mutating func writeHead(_ sign: Unicode.Scalar, _ length: Int) {
            write(UInt8(ascii: sign))
            write(length.magnitude)
            writeLineEnd()
        }

        private mutating func writeLineEnd() {
            write(UInt8(ascii: "\r"))
            write(UInt8(ascii: "\n"))
        }

        private mutating func write(_ byte: UInt8) {
            target[count] = byte
            count += 1
        }

        private mutating func write(_ number: UInt) {
            let end = count + Self.digits(of: number)
            var rest = number
            var place = end
            repeat {
                place -= 1
                target[place] = UInt8(ascii: "0") + UInt8(truncatingIfNeeded: rest % 10)
                rest /= 10
            } while place > count
            count = end
        }

        private static func digits(of number: UInt) -> Int {
            var digits = 1
            var rest = number
            while rest > 9 {
                digits += 1
                rest /= 10
            }
            return digits
        }
    }
}

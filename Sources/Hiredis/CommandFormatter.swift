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
            line.writeHead("*", arguments.count + more.count)
            for argument in arguments { line.write(argument) }
            for argument in more { line.write(argument) }
            return line.count
        }
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
                }
            size += longestLine + length + 2
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
            case .integer(let integer):
                let isNegative = integer < 0
                writeHead("$", Self.digits(of: integer.magnitude) + (isNegative ? 1 : 0))
                if isNegative { write(UInt8(ascii: "-")) }
                write(integer.magnitude)
                writeLineEnd()
            }
        }

        private mutating func writeBulk(_ bytes: UnsafeRawBufferPointer) {
            writeHead("$", bytes.count)
            UnsafeMutableRawBufferPointer(rebasing: target[count...]).copyMemory(from: bytes)
            count += bytes.count
            writeLineEnd()
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

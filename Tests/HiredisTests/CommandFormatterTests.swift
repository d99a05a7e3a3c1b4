import Hiredis
import NIOCore
import Testing

@Suite("Commands are written as Redis reads them")
struct CommandFormatterTests {
    private func written(_ arguments: [Argument]) -> ByteBuffer {
        var out = ByteBuffer()
        CommandFormatter.write(arguments, into: &out)
        return out
    }

    @Test("texts, bytes and integers side by side")
    func mixed() {
        let out = self.written([
            "PUBLISH", .text("roost:{caf\u{e9}}"), .bytes(ByteBuffer(string: "{\"text\":\"hi\"}")), 42, .integer(-7),
        ])
        #expect(
            out
                == ByteBuffer(
                    string: "*5\r\n$7\r\nPUBLISH\r\n$13\r\nroost:{caf\u{e9}}\r\n$13\r\n{\"text\":\"hi\"}\r\n"
                        + "$2\r\n42\r\n$2\r\n-7\r\n"))
    }

    @Test("arguments in two lists are one command")
    func twoLists() {
        var out = ByteBuffer()
        CommandFormatter.write(["GET", .bytes(ByteBuffer(string: "a"))], ["b", 3], into: &out)
        #expect(out == ByteBuffer(string: "*4\r\n$3\r\nGET\r\n$1\r\na\r\n$1\r\nb\r\n$1\r\n3\r\n"))
    }

    @Test("arguments that were written before count one by one")
    func writtenBefore() {
        var some = ByteBuffer()
        for text in ["a", "", "long enough for two digits"] {
            ByteBuffer(string: text).withUnsafeReadableBytes { CommandFormatter.writeArgument($0, into: &some) }
        }
        #expect(
            self.written(["EVAL", .written(some, count: 3), .written(ByteBuffer(), count: 0), 7])
                == self.written(["EVAL", "a", "", "long enough for two digits", 7]))
    }

    @Test("a name alone")
    func name() {
        #expect(self.written(["PING"]) == ByteBuffer(string: "*1\r\n$4\r\nPING\r\n"))
    }

    @Test("empty arguments of each kind, first, between and last")
    func empty() {
        let nothing = "$0\r\n\r\n"
        #expect(
            self.written([.bytes(ByteBuffer()), "", "SET", .bytes(ByteBuffer()), ""])
                == ByteBuffer(string: "*5\r\n" + nothing + nothing + "$3\r\nSET\r\n" + nothing + nothing))
        #expect(self.written([""]) == ByteBuffer(string: "*1\r\n" + nothing))
    }

    @Test("the longest integers", arguments: [Int.min, Int.max, 0, -1, 9, 10, 99, 100])
    func integers(value: Int) {
        #expect(
            self.written(["INCRBY", .integer(value), .integer(value)])
                == ByteBuffer(
                    string: "*3\r\n$6\r\nINCRBY\r\n"
                        + String(repeating: "$\("\(value)".utf8.count)\r\n\(value)\r\n", count: 2)))
    }

    @Test("any bytes, line ends and zeros among them, leave the frame as it is")
    func binarySafe() {
        let everyByte = ByteBuffer(bytes: Array(UInt8.min...UInt8.max))
        var expected = ByteBuffer(string: "*3\r\n$3\r\nSET\r\n$9\r\na\r\n$1\r\nb\u{0}\r\n$256\r\n")
        expected.writeImmutableBuffer(everyByte)
        expected.writeString("\r\n")
        #expect(self.written(["SET", "a\r\n$1\r\nb\u{0}", .bytes(everyByte)]) == expected)
    }

    @Test("only the readable bytes of a buffer are an argument")
    func slices() {
        var buffer = ByteBuffer(string: "skip-this-and-that")
        buffer.moveReaderIndex(forwardBy: 5)
        buffer.moveWriterIndex(to: 9)
        #expect(self.written(["ECHO", .bytes(buffer)]) == ByteBuffer(string: "*2\r\n$4\r\nECHO\r\n$4\r\nthis\r\n"))
    }

    @Test("commands line up behind one another and what is there already")
    func appending() {
        var out = ByteBuffer(string: "before")
        CommandFormatter.write(["PING"], into: &out)
        CommandFormatter.write(["QUIT"], into: &out)
        #expect(out == ByteBuffer(string: "before*1\r\n$4\r\nPING\r\n*1\r\n$4\r\nQUIT\r\n"))
    }

    @Test("the buffer that is written into may be an argument")
    func intoItself() {
        var out = ByteBuffer(string: "ECHO")
        CommandFormatter.write([.bytes(out), .bytes(out)], into: &out)
        #expect(out == ByteBuffer(string: "ECHO*2\r\n$4\r\nECHO\r\n$4\r\nECHO\r\n"))
    }

    @Test("an argument of 20 MB")
    func large() {
        let payload = ByteBuffer(repeating: UInt8(ascii: "x"), count: 20_000_000)
        var expected = ByteBuffer(string: "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$20000000\r\n")
        expected.writeImmutableBuffer(payload)
        expected.writeString("\r\n")
        #expect(self.written(["SET", "k", .bytes(payload)]) == expected)
        #expect(self.written(["SET", "k", .text(String(buffer: payload))]) == expected)
    }

    @Test("ten thousand arguments, as a subscription to many rooms has")
    func many() {
        let names = (0..<10_000).map { "roost:{room-\($0)}" }
        var expected = "*10001\r\n$9\r\nSUBSCRIBE\r\n"
        for name in names {
            expected += "$\(name.utf8.count)\r\n\(name)\r\n"
        }
        #expect(self.written(["SUBSCRIBE"] + names.map { .text($0) }) == ByteBuffer(string: expected))
    }

    @Test("what the formatter writes, the reader reads back", arguments: 1...5 as ClosedRange<UInt64>)
    func roundTrip(seed: UInt64) throws {
        var random = Random(seed: seed)
        var wire = ByteBuffer()
        var expected: [Reply] = []
        for _ in 0..<200 {
            let arguments = (0...Int.random(in: 0...9, using: &random)).map { _ in random.bytes(upTo: 300) }
            expected.append(.array(arguments.map { .bulk($0) }))
            CommandFormatter.write(arguments.map { .bytes($0) }, into: &wire)
        }
        #expect(try ReplyReader().read(wire.pieces(upTo: 2000, using: &random)) == expected)
    }
}

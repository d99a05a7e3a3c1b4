import Hiredis
import NIOCore
import Testing

@Suite("What is no reply, or too much of one, ends the reader with a typed error")
struct ReplyRefusalTests {
    typealias Code = ReplyProtocolError.Code

    static let malformed = [
        "?what\r\n", "hello\r\n", "\r\n", "\0", "HTTP/1.1 400 Bad Request\r\n",
        "$abc\r\n", "$\r\n", "$-2\r\n", "$ 3\r\nabc\r\n", "$99999999999999999999\r\n",
        "*x\r\n", "*\r\n", "*-2\r\n", "*99999999999999999999\r\n",
        ":12a\r\n", ":\r\n", ":1.5\r\n", ":9223372036854775808\r\n",
        "$3\r\nabcdef\r\n", "$3\r\nab\r\n\r\n", "*1\r\n$1\r\nabc\r\n",
        "+a\rb\r\n", "+a\nb\r\n", "-a\r\r\n", "-\n\r\n",
        // RESP3, which the reader does not speak with any version of hiredis.
        ">2\r\n$1\r\na\r\n:1\r\n", "%1\r\n:1\r\n:2\r\n", "~1\r\n:1\r\n", ",1.5\r\n", "#t\r\n", "_\r\n",
        "=7\r\ntxt:abc\r\n", "(12345678901234567890\r\n", "*1\r\n_\r\n",
    ]

    /// The error that ends a reader which is fed `wire` in one piece, after the replies before it.
    private func refusal(
        of wire: ByteBuffer, in pieces: Int = .max, by limits: ReplyReader.Limits = .init(), after count: Int = 0
    ) -> ReplyProtocolError? {
        let reader = ReplyReader(limits: limits)
        var fetched = 0
        return #expect(throws: ReplyProtocolError.self) {
            for piece in wire.pieces(of: pieces) {
                try reader.feed(piece)
                while try reader.next() != nil {
                    fetched += 1
                }
            }
        }.flatMap { error in
            #expect(fetched == count)
            return error
        }
    }

    @Test("malformed bytes, in one read and byte by byte", arguments: Self.malformed)
    func malformedBytes(wire: String) {
        #expect(self.refusal(of: ByteBuffer(string: wire))?.code == .malformed)
        #expect(self.refusal(of: ByteBuffer(string: wire), in: 1)?.code == .malformed)
    }

    @Test("the replies before the malformed bytes are fetched first, in the same read", arguments: Self.malformed)
    func repliesBefore(wire: String) {
        let bytes = ByteBuffer(string: "+OK\r\n*1\r\n$1\r\na\r\n" + wire)
        #expect(self.refusal(of: bytes, after: 2)?.code == .malformed)
        #expect(self.refusal(of: bytes, in: 1, after: 2)?.code == .malformed)
    }

    @Test("a dead reader stays dead: it throws the same whatever it is fed")
    func staysDead() throws {
        let reader = ReplyReader()
        try reader.feed(ByteBuffer(string: ":1\r\n:2\r\n?"))
        #expect(try reader.next() == .integer(1))
        let fed = #expect(throws: ReplyProtocolError.self) { try reader.feed(ByteBuffer(string: ":3\r\n")) }
        #expect(try reader.next() == .integer(2))
        for _ in 0..<3 {
            let fetched = #expect(throws: ReplyProtocolError.self) { _ = try reader.next() }
            #expect(fetched == fed)
            #expect(throws: ReplyProtocolError.self) { try reader.feed(ByteBuffer(string: ":3\r\n")) }
        }
        #expect(fed?.code == .malformed)
        #expect(fed?.message.contains("?") == true)
    }

    @Test("arrays seven deep are read; eight deep, the error says so")
    func nesting() throws {
        #expect(try ReplyReader().read([Wire.bytes(.nested(7))]) == [.nested(7)])
        #expect(self.refusal(of: Wire.bytes(.nested(8)))?.code == .nestedTooDeep)
        #expect(self.refusal(of: Wire.bytes(.nested(8)), in: 1)?.code == .nestedTooDeep)
        let bottomless = ByteBuffer(string: String(repeating: "*1\r\n", count: 100_000))
        #expect(self.refusal(of: bottomless)?.code == .nestedTooDeep)
    }

    @Test("a limit on depth that hiredis cannot keep is lowered to what it can")
    func deepestNesting() throws {
        let limits = ReplyReader.Limits(depth: 1000)
        let deepest = ReplyReader.Limits.deepest
        #expect(deepest >= 7)
        #expect(try ReplyReader(limits: limits).read([Wire.bytes(.nested(deepest))]) == [.nested(deepest)])
        #expect(self.refusal(of: Wire.bytes(.nested(deepest + 1)), by: limits)?.code == .nestedTooDeep)
    }

    @Test("depth is counted from the root, not over all arrays that have ended")
    func width() throws {
        let limits = ReplyReader.Limits(depth: 2)
        let wide = Reply.array(Array(repeating: .array([.integer(1)]), count: 20))
        #expect(try ReplyReader(limits: limits).read([Wire.bytes(wide, wide)]) == [wide, wide])
        #expect(self.refusal(of: Wire.bytes(wide, .nested(3)), by: limits, after: 1)?.code == .nestedTooDeep)
    }

    @Test("what is exactly as long as its limit passes; one more does not", arguments: [1, 7, 1 << 20])
    func edges(piece: Int) throws {
        let limits = ReplyReader.Limits(bulkBytes: 10, lineBytes: 5, arrayElements: 3)
        let reader = ReplyReader(limits: limits)
        let fits: [Reply] = [
            .bulk("0123456789"), .status("12345"), .error("12345"), .array([.null, .null, .null]),
        ]
        #expect(try reader.read(Wire.bytes(fits).pieces(of: piece)) == fits)
        let refused: [(Reply, Code)] = [
            (.bulk("0123456789a"), .bulkTooLong), (.status("123456"), .lineTooLong), (.error("123456"), .lineTooLong),
            (.array([.null, .null, .null, .null]), .tooManyElements),
        ]
        for (reply, code) in refused {
            #expect(self.refusal(of: Wire.bytes(reply), in: piece, by: limits)?.code == code)
        }
    }

    @Test("an array that only announces its elements is refused at once")
    func announcedElements() {
        #expect(self.refusal(of: ByteBuffer(string: "*2147483647\r\n"))?.code == .tooManyElements)
    }

    @Test("a line without an end is refused when it is too long", arguments: ["+", "-", ":", "$", "*"])
    func endlessLine(type: String) {
        var wire = ByteBuffer(string: type)
        wire.writeRepeatingByte(UInt8(ascii: "1"), count: 70_000)
        #expect(self.refusal(of: wire, in: 1000)?.code == .lineTooLong)
    }

    @Test("a line of nothing but carriage returns is without an end, too")
    func endlessReturns() {
        var wire = ByteBuffer(string: "+")
        wire.writeRepeatingByte(UInt8(ascii: "\r"), count: 70_000)
        #expect(self.refusal(of: wire, in: 1000)?.code == .lineTooLong)
    }

    @Test("a string that only announces its length is given up at the limit on unfinished bytes")
    func announcedBytes() {
        let limits = ReplyReader.Limits(unfinishedBytes: 100_000)
        var wire = ByteBuffer(string: ":1\r\n$9000000000000000000\r\n")
        wire.writeRepeatingByte(0, count: 120_000)
        #expect(self.refusal(of: wire, in: 1000, by: limits, after: 1)?.code == .unfinishedTooLong)
        #expect(self.refusal(of: wire, by: limits, after: 1)?.code == .unfinishedTooLong)
    }

    @Test("many small elements count as unfinished bytes; many small replies do not")
    func unfinishedArrays() throws {
        let limits = ReplyReader.Limits(unfinishedBytes: 10_000)
        let elements: [Reply] = Array(repeating: .integer(1), count: 5000)
        #expect(self.refusal(of: Wire.bytes(.array(elements)), in: 100, by: limits)?.code == .unfinishedTooLong)
        #expect(try ReplyReader(limits: limits).read(Wire.bytes(elements).pieces(of: 100)) == elements)
    }

    @Test("no bytes at all make it trap", arguments: 1...8 as ClosedRange<UInt64>)
    func noise(seed: UInt64) {
        var random = Random(seed: seed)
        let limits = ReplyReader.Limits(bulkBytes: 1000, lineBytes: 100, arrayElements: 50, unfinishedBytes: 5000)
        let letters = Array("+-:$*\r\n0123456789-ab\u{0}".utf8)
        var ended = 0
        for _ in 0..<400 {
            // Half of them are real replies with one byte changed: these get further.
            var wire = ByteBuffer(bytes: (0..<60).map { _ in letters.randomElement(using: &random) ?? 0 })
            if Bool.random(using: &random) {
                wire = Wire.bytes(random.reply(depth: 3), random.reply(depth: 3))
                let place = Int.random(in: 0..<min(40, wire.readableBytes), using: &random)
                wire.setInteger(letters.randomElement(using: &random) ?? 0, at: place)
            }
            let reader = ReplyReader(limits: limits)
            do {
                _ = try reader.read(wire.pieces(upTo: 50, using: &random))
            } catch {
                #expect(error is ReplyProtocolError)
                ended += 1
            }
        }
        #expect(ended > 200)
    }
}

import Hiredis
import NIOCore
import Testing

@Suite("Replies come out as they went in")
struct ReplyReaderTests {
    /// What goes over the wire, written by hand, and what it means.
    static let encodings: [(wire: String, reply: Reply)] = [
        ("+OK\r\n", .status("OK")),
        ("+\r\n", .status("")),
        ("-WRONGTYPE no list\r\n", .error("WRONGTYPE no list")),
        ("-\r\n", .error("")),
        (":0\r\n", .integer(0)),
        (":-1\r\n", .integer(-1)),
        (":9223372036854775807\r\n", .integer(.max)),
        (":-9223372036854775808\r\n", .integer(.min)),
        ("$5\r\nhello\r\n", .bulk("hello")),
        ("$0\r\n\r\n", .bulk("")),
        ("$4\r\n\r\n\r\n\r\n", .bulk("\r\n\r\n")),
        ("$7\r\n+OK\r\n:1\r\n", .bulk("+OK\r\n:1")),
        ("$3\r\n\u{0}\u{1}\u{0}\r\n", .bulk("\u{0}\u{1}\u{0}")),
        ("$-1\r\n", .null),
        ("*-1\r\n", .null),
        ("*0\r\n", .array([])),
        ("*1\r\n*0\r\n", .array([.array([])])),
        ("*3\r\n$-1\r\n*-1\r\n$0\r\n\r\n", .array([.null, .null, .bulk("")])),
        (
            "*5\r\n+PONG\r\n-ERR x\r\n:42\r\n$2\r\nab\r\n*2\r\n:1\r\n*1\r\n$1\r\nz\r\n",
            .array([
                .status("PONG"), .error("ERR x"), .integer(42), .bulk("ab"),
                .array([.integer(1), .array([.bulk("z")])]),
            ])
        ),
        (
            "*3\r\n$7\r\nmessage\r\n$15\r\nroost:{general}\r\n$2\r\n{}\r\n",
            .published(ByteBuffer(string: "{}"))
        ),
    ]

    @Test("every type of RESP2 in one read", arguments: Self.encodings)
    func everyType(wire: String, reply: Reply) throws {
        #expect(try ReplyReader().read(wire) == [reply])
    }

    @Test("every type, byte by byte: nothing comes before the last byte", arguments: Self.encodings)
    func byteByByte(wire: String, reply: Reply) throws {
        let reader = ReplyReader()
        var pieces = ByteBuffer(string: wire).pieces(of: 1)
        let last = pieces.removeLast()
        #expect(try reader.read(pieces) == [])
        #expect(try reader.read([last]) == [reply])
        #expect(try reader.next() == nil)
    }

    @Test("every type, cut once at every place", arguments: Self.encodings)
    func everyCut(wire: String, reply: Reply) throws {
        let bytes = ByteBuffer(string: wire)
        for cut in 1..<bytes.readableBytes {
            var rest = bytes
            let taken = rest.readSlice(length: cut)
            let head = try #require(taken)
            #expect(try ReplyReader().read([head, rest]) == [reply], "cut at \(cut)")
        }
    }

    @Test("all of them in one read, and a half one that the next read completes")
    func manyInOneRead() throws {
        let reader = ReplyReader()
        let all = Self.encodings.map(\.wire).joined()
        #expect(try reader.read(all + "$5\r\nhe") == Self.encodings.map(\.reply))
        #expect(try reader.read("llo\r\n+OK\r\n") == [.bulk("hello"), .status("OK")])
    }

    @Test("three hundred random replies, cut at random places", arguments: [1, 2, 3, 4] as [UInt64], [7, 300, 20_000])
    func randomCuts(seed: UInt64, longestPiece: Int) throws {
        var random = Random(seed: seed)
        let replies = (0..<300).map { _ in random.reply() }
        let pieces = Wire.bytes(replies).pieces(upTo: longestPiece, using: &random)
        #expect(try ReplyReader().read(pieces) == replies)
    }

    @Test("strings hold any byte")
    func binarySafe() throws {
        let everyByte = ByteBuffer(bytes: Array(UInt8.min...UInt8.max))
        let reply = Reply.array([.bulk(everyByte), .published(everyByte)])
        #expect(try ReplyReader().read([Wire.bytes(reply)]) == [reply])
    }

    @Test("an error that is not UTF-8 is repaired, not refused")
    func errorOfOddBytes() throws {
        let wire = ByteBuffer(bytes: Array("-ERR ".utf8) + [0xFF] + Array("\r\n".utf8))
        #expect(try ReplyReader().read([wire]) == [.error("ERR \u{FFFD}")])
    }

    @Test("nothing fed is nothing to fetch")
    func nothing() throws {
        let reader = ReplyReader()
        #expect(try reader.next() == nil)
        #expect(try reader.read([ByteBuffer(), ByteBuffer(string: ":1\r\n"), ByteBuffer()]) == [.integer(1)])
    }

    @Test("only readable bytes are read, wherever they lie in their buffer")
    func slices() throws {
        var buffer = ByteBuffer(string: "junk:1\r\njunk")
        buffer.moveReaderIndex(forwardBy: 4)
        buffer.moveWriterIndex(to: buffer.writerIndex - 4)
        #expect(try ReplyReader().read([buffer]) == [.integer(1)])
    }

    @Test("reads that pile up before anyone fetches are kept in order")
    func feedingAhead() throws {
        let reader = ReplyReader()
        for piece in Wire.bytes((0..<5000).map { .integer($0) }).pieces(of: 1000) {
            try reader.feed(piece)
        }
        for expected in 0..<5000 as Range<Int64> {
            try #require(try reader.next() == .integer(expected))
        }
        #expect(try reader.next() == nil)
    }

    @Test("the strings of a reply lie in one buffer, side by side: they were copied once")
    func oneBuffer() throws {
        let reply = Reply.published(ByteBuffer(string: "payload"), on: "channel")
        guard case .array(let elements) = try #require(try ReplyReader().read([Wire.bytes(reply)]).first) else {
            Issue.record("a publication is an array")
            return
        }
        let addresses = elements.map { element in
            guard case .bulk(let bytes) = element else { return 0 }
            return bytes.withUnsafeReadableBytes { Int(bitPattern: $0.baseAddress) }
        }
        #expect(addresses == [addresses[0], addresses[0] + 7, addresses[0] + 14])
    }

    @Test("what was fetched stays as it was while more arrives and after the reader is gone")
    func keptReplies() throws {
        var random = Random(seed: 5)
        var replies: [Reply] = []
        var kept: [Reply] = []
        do {
            let reader = ReplyReader()
            for _ in 0..<300 {
                let reply = random.reply()
                replies.append(reply)
                kept += try reader.read(Wire.bytes(reply).pieces(upTo: 100, using: &random))
            }
            reader.close()
        }
        #expect(kept == replies)
    }

    @Test("after close nothing can be fed or fetched, and closing again is nothing")
    func closing() throws {
        let reader = ReplyReader()
        #expect(try reader.read("*2\r\n$3\r\nabc\r\n") == [])
        reader.close()
        reader.close()
        let fed = #expect(throws: ReplyProtocolError.self) { try reader.feed(ByteBuffer(string: ":1\r\n")) }
        let fetched = #expect(throws: ReplyProtocolError.self) { _ = try reader.next() }
        #expect(fed?.code == .closed)
        #expect(fetched?.code == .closed)
    }
}

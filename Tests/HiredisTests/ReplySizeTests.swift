import Hiredis
import NIOCore
import Testing

/// Each of these takes a second or two; work that grows with the square of the size would take many minutes.
@Suite("Size costs no more than its bytes", .serialized, .timeLimit(.minutes(3)))
struct ReplySizeTests {
    @Test("a string of 100 MB in reads of 16 KiB")
    func hugeString() throws {
        let size = 100_000_000
        var payload = ByteBuffer(repeating: UInt8(ascii: "x"), count: size)
        payload.setString("begin", at: 0)
        payload.setString("\r\n", at: size / 2)
        payload.setString("end", at: size - 3)
        let reader = ReplyReader()
        let replies = try reader.read(
            [ByteBuffer(string: "*3\r\n$1\r\na\r\n$\(size)\r\n")]
                + payload.pieces(of: 16 << 10)
                + [ByteBuffer(string: "\r\n$1\r\nb\r\n+OK\r\n")])
        #expect(replies == [.array([.bulk("a"), .bulk(payload), .bulk("b")]), .status("OK")])
        #expect(try reader.read(":1\r\n") == [.integer(1)])
    }

    @Test("a string of 100 MB in one read")
    func hugeStringAtOnce() throws {
        let payload = ByteBuffer(repeating: 0, count: 100_000_000)
        #expect(try ReplyReader().read([Wire.bytes(.bulk(payload))]) == [.bulk(payload)])
    }

    @Test("two hundred thousand replies in one read")
    func manyRepliesAtOnce() throws {
        let count = 200_000
        let one = Wire.bytes(.published(ByteBuffer(repeating: 1, count: 128)))
        var wire = ByteBuffer()
        for _ in 0..<count {
            wire.writeImmutableBuffer(one)
        }
        let reader = ReplyReader()
        try reader.feed(wire)
        var seen = 0
        while try reader.next() != nil {
            seen += 1
        }
        #expect(seen == count)
    }

    @Test("an array of a hundred thousand entries in small reads, between other replies")
    func longArray() throws {
        let entries: [Reply] = (0..<100_000).map { .array([.bulk("\($0)-0"), .integer(Int64($0))]) }
        let replies: [Reply] = [.status("OK"), .array(entries), .null]
        #expect(try ReplyReader().read(Wire.bytes(replies).pieces(of: 1000)) == replies)
    }

    @Test("a reader that has seen a huge reply goes on with small ones, and with the next huge one")
    func hugeAndSmall() throws {
        let reader = ReplyReader()
        for round in 0..<4 as Range<UInt8> {
            let huge = Reply.bulk(ByteBuffer(repeating: round, count: 3_000_000))
            let small = (0..<100).map { Reply.integer($0) }
            #expect(try reader.read(Wire.bytes([huge] + small + [huge]).pieces(of: 5000)) == [huge] + small + [huge])
        }
    }
}

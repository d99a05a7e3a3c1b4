import ChatProtocol
import NIOCore
import Testing

struct StoredMessageTests {
    private let text = Content(string: "hi")

    @Test func `A message is rendered the same to the byte, and its identity ends with the id`() throws {
        let (general, alice, bob) = (try room("general"), try user("alice"), try user("bob"))
        let full = StoredMessage.render(
            room: general, user: alice, id: try id("a\"\né"), to: bob,
            content: Content(text: raw(#""h\u0069""#), data: raw("[ 1 ]")))
        let identity = #"{"type":"message","room":"general","user":"alice","id":"a\"\né""#
        #expect(String(buffer: full.body) == identity + #","to":"bob","text":"h\u0069","data":[ 1 ]}"#)
        #expect(full.identityLength == identity.utf8.count)

        let bare = StoredMessage.render(room: general, user: alice, id: nil, to: nil, content: text)
        #expect(String(buffer: bare.body) == #"{"type":"message","room":"general","user":"alice","text":"hi"}"#)
        #expect(bare.identityLength == nil)
    }

    @Test func `Two spellings of one id are one identity, two ids never are`() throws {
        func identity(_ id: String) throws -> ByteBuffer {
            guard case .success(.message(let post)) = parse(#"{"type":"message","room":"a","id":"\#(id)","text":"x"}"#)
            else {
                throw NotRefused()
            }
            let (body, length) = StoredMessage.render(
                room: post.room, user: try user("u"), id: post.id, to: nil, content: post.content)
            let identityLength = try #require(length)
            return try #require(body.getSlice(at: 0, length: identityLength))
        }
        #expect(try identity(#"\u0061\/\u00e9\t"#) == identity(#"a/é\u0009"#))
        let ids = ["a", "ab", "a\\\"", "a\\\\", "a\\\",", "\u{E9}", "e\u{301}", "A", " a"]
        let identities = try ids.map(identity)
        for (index, one) in identities.enumerated() {
            for other in identities[(index + 1)...] {
                #expect(one != other)
                #expect(!one.readableBytesView.starts(with: other.readableBytesView))
                #expect(!other.readableBytesView.starts(with: one.readableBytesView))
            }
        }
    }

    @Test func `The event is the body with position and time in front, and its length is known before`() throws {
        let (body, _) = StoredMessage.render(
            room: try room("general"), user: try user("alice"), id: try id("1"), to: nil, content: text)
        for number in [0, 1, 9, 10, 99, 100, 12345, 999_999_999, .max / 10, .max - 1, .max] as [UInt64] {
            let position = Position(epoch: number, seq: .max - number)
            var out = ByteBuffer(string: "before")
            StoredMessage.write(body, position: position, time: number, into: &out)
            let written = String(buffer: out).dropFirst(6)
            #expect(
                written
                    == #"{"type":"message","position":"\#(position)","time":\#(number),"room":"general","user":"alice","id":"1","text":"hi"}"#
            )
            #expect(StoredMessage.length(of: body, position: position, time: number) == written.utf8.count)
            let expected = Message(
                room: try room("general"), position: position, time: number, user: try user("alice"), id: try id("1"),
                text: "hi")
            out.moveReaderIndex(forwardBy: 6)
            #expect(try ServerMessage.parse(out) == .message(expected))
            #expect(json(.message(expected)) == String(written), "both ways of writing a message are one")
        }
    }

    @Test func `Foreign bytes under our keys are seen, and harm nobody who missed it`() throws {
        let (body, _) = StoredMessage.render(
            room: try room("a"), user: try user("b"), id: nil, to: nil, content: text)
        #expect(StoredMessage.isPlausible(body))
        for foreign in [
            "", "x", "{}", #"{"type":"message""#, #"{"type":"message"}"#, #"{"type":"message","room":"a""#,
            #"{"type":"massage","room":"a"}"#, #" {"type":"message","room":"a"}"#,
        ] {
            let body = ByteBuffer(string: foreign)
            #expect(!StoredMessage.isPlausible(body))
            var out = ByteBuffer()
            StoredMessage.write(body, position: .zero, time: 0, into: &out)
            #expect(out.readableBytes == StoredMessage.length(of: body, position: .zero, time: 0))
        }
    }
}

struct HistoryWriterTests {
    private func entry(_ seq: UInt64, bytes: Int = 10) throws -> (body: ByteBuffer, position: Position) {
        let content = Content(string: String(repeating: "x", count: bytes))
        let (body, _) = StoredMessage.render(
            room: try room("a"), user: try user("b"), id: nil, to: nil, content: content)
        return (body, Position(epoch: 1, seq: seq))
    }

    private func page(_ writer: HistoryWriter, hasMore: Bool = false, recovered: Bool? = nil) throws -> HistoryPage {
        var out = ByteBuffer()
        writer.write(hasMore: hasMore, recovered: recovered, into: &out)
        #expect(out.readableBytes + 10 <= ServerMessage.maximumLength)
        guard case .history(let page) = try ServerMessage.parse(out) else { throw NotRefused() }
        #expect(json(.history(page)) == String(buffer: out))
        return page
    }

    @Test(arguments: [HistoryWriter.Order.oldestFirst, .newestFirst])
    func `A page shows messages oldest first, whichever end they came from`(_ order: HistoryWriter.Order) throws {
        var writer = HistoryWriter(id: try id("1"), room: try room("a"), adding: order)
        for seq in order == .oldestFirst ? [1, 2, 3] : [3, 2, 1] as [UInt64] {
            let entry = try entry(seq)
            let isTaken = writer.add(entry.body, position: entry.position, time: seq)
            #expect(isTaken)
        }
        let page = try page(writer, hasMore: true, recovered: false)
        #expect(page.id?.text == "1")
        #expect(page.messages.map(\.position.seq) == [1, 2, 3])
        #expect(page.hasMore)
        #expect(page.recovered == false)
    }

    @Test(arguments: [HistoryWriter.Order.oldestFirst, .newestFirst])
    func `A page ends before a mebibyte and says that there is more`(_ order: HistoryWriter.Order) throws {
        var writer = HistoryWriter(id: nil, room: try room("a"), adding: order)
        var taken = 0
        for seq in 1...1000 as ClosedRange<UInt64> {
            let entry = try entry(order == .oldestFirst ? seq : 1001 - seq, bytes: 16_000)
            guard writer.add(entry.body, position: entry.position, time: 0) else { break }
            taken += 1
        }
        #expect(taken == (ServerMessage.maximumLength - 1024) / 16_090)
        let small = try entry(5000)
        let isTaken = writer.add(small.body, position: small.position, time: 0)
        #expect(!isTaken, "there must be no hole within the page")
        let page = try page(writer)
        #expect(page.hasMore)
        #expect(page.messages.count == taken)
        #expect(page.messages.first?.position.seq == (order == .oldestFirst ? 1 : UInt64(1001 - taken)))
    }

    @Test func `One message is always taken, so that a client gets on`() throws {
        var writer = HistoryWriter(id: nil, room: try room("a"), adding: .oldestFirst, maximumLength: 10)
        let first = try entry(1, bytes: 5000)
        let takesFirst = writer.add(first.body, position: first.position, time: 0)
        #expect(takesFirst)
        #expect(!writer.isCut)
        let takesSecond = writer.add(first.body, position: first.position, time: 0)
        #expect(!takesSecond)
        #expect(writer.isCut)
        #expect(try page(writer).messages.count == 1)
    }

    @Test func `An empty page says nothing but that`() throws {
        let writer = HistoryWriter(id: nil, room: try room("a"), adding: .newestFirst)
        var out = ByteBuffer()
        writer.write(hasMore: false, recovered: nil, into: &out)
        #expect(String(buffer: out) == #"{"type":"history","room":"a","messages":[],"more":false}"#)
    }
}

struct ReadingBackTests {
    @Test(arguments: ["7f", "with \"quotes\" and \\", "é", nil])
    func `An event is read back as it was stored, and its identity is found`(id: String?) throws {
        for name in ["general", "user", "id"] {
            let (body, length) = StoredMessage.render(
                room: try room(name), user: try user("id"), id: id.flatMap { RequestID($0) }, to: nil,
                content: Content(string: #"","id":"x","time":5,"#))
            #expect(StoredMessage.identityLength(of: body) == length)
            var event = ByteBuffer()
            let position = Position(epoch: 1_700_000_000_000, seq: 18)
            StoredMessage.write(body, position: position, time: 1_700_000_000_001, into: &event)
            let read = try #require(StoredMessage.read(event))
            #expect(read.body == body)
            #expect(read.position == position)
            #expect(read.time == 1_700_000_000_001)
        }
    }

    @Test(arguments: [
        "", "{}", #"{"type":"message"}"#, #"{"type":"message","position":"#, #"{"type":"message","position":"1-1","#,
        #"{"type":"message","position":"1-1","time":x,"room":"r"}"#, #"{"type":"joined","position":"1-1","time":1,"#,
    ])
    func `Anything else is not read`(text: String) {
        let bytes = ByteBuffer(string: text)
        #expect(StoredMessage.read(bytes) == nil)
        #expect(StoredMessage.identityLength(of: bytes) == nil)
    }
}

struct TextFrameTests {
    @Test(
        arguments: [
            (0, [0x81, 0]), (125, [0x81, 125]), (126, [0x81, 126, 0, 126]), (65535, [0x81, 126, 0xFF, 0xFF]),
            (65536, [0x81, 127, 0, 0, 0, 0, 0, 1, 0, 0]), (1 << 20, [0x81, 127, 0, 0, 0, 0, 0, 0x10, 0, 0]),
        ] as [(Int, [UInt8])])
    func `A header tells the length in the shortest form`(_ payload: Int, _ header: [UInt8]) {
        var out = ByteBuffer()
        TextFrame.writeHeader(payload: payload, into: &out)
        #expect(Array(out.readableBytesView) == header)
        #expect(TextFrame.headerLength(payload) == header.count)
    }
}

import ChatProtocol
import NIOCore
import Testing

/// The rows of "Client to node".
struct ClientMessageTests {
    /// Frames as clients write them, what they mean, and how `write` spells them where that is different.
    static func table() throws -> [(frame: String, meaning: ClientMessage, canonical: String?)] {
        let (general, one) = (try room("general"), try id("1"))
        let position = Position(epoch: 1_700_000_000_000, seq: 42)
        return [
            (#"{"type":"join","id":"1","room":"general"}"#, .join(id: one, room: general, replay: .none), nil),
            (#"{"type":"join","room":"general"}"#, .join(id: nil, room: general, replay: .none), nil),
            (
                #"{"type":"join","id":"1","room":"general","since":"1700000000000-42"}"#,
                .join(id: one, room: general, replay: .since(position, limit: nil)), nil
            ),
            (
                #"{"type":"join","id":"1","room":"general","since":"0-0","limit":1000}"#,
                .join(id: one, room: general, replay: .since(.zero, limit: 1000)), nil
            ),
            (
                #"{"type":"join","room":"general","history":1}"#,
                .join(id: nil, room: general, replay: .latest(1)), nil
            ),
            (
                #"{"type":"join","room":"@bob","history":1000}"#,
                .join(id: nil, room: RoomName(inboxOf: try user("bob")), replay: .latest(1000)), nil
            ),
            (
                #"{"type":"join","room":"general","history":0}"#, .join(id: nil, room: general, replay: .none),
                #"{"type":"join","room":"general"}"#
            ),
            (
                #"{"type":"resume","id":"1","rooms":{"b":"1700000000000-42","a":"0-0","@bob":"1-1"}}"#,
                .resume(
                    id: one,
                    rooms: [
                        Resumption(room: try room("b"), since: position), Resumption(room: try room("a"), since: .zero),
                        Resumption(room: try room("@bob"), since: Position(epoch: 1, seq: 1)),
                    ], refused: []), nil
            ),
            (#"{"type":"resume","id":"1","rooms":{}}"#, .resume(id: one, rooms: [], refused: []), nil),
            (#"{"type":"leave","id":"1","room":"general"}"#, .leave(id: one, room: general), nil),
            (
                #"{"type":"message","id":"1","room":"general","text":"hi \"you\" \u00e9 \/"}"#,
                .message(
                    Post(id: one, room: general, content: Content(text: raw(#""hi \"you\" \u00e9 \/""#), data: nil))),
                nil
            ),
            (
                #"{"type":"message","room":"general","data":{"b" : [1, 1e400,null]},"retry":false}"#,
                .message(
                    Post(id: nil, room: general, content: Content(text: nil, data: raw(#"{"b" : [1, 1e400,null]}"#)))),
                #"{"type":"message","room":"general","data":{"b" : [1, 1e400,null]}}"#
            ),
            (
                #"{"type":"message","id":"1","room":"general","text":"","data":null,"retry":true}"#,
                .message(
                    Post(
                        id: one, room: general, content: Content(text: raw(#""""#), data: raw("null")), isRetry: true)),
                nil
            ),
            (
                #"{"type":"typing","room":"general"}"#, .typing(id: nil, room: general, active: true), nil
            ),
            (
                #"{"type":"typing","room":"general","active":true}"#,
                .typing(id: nil, room: general, active: true), #"{"type":"typing","room":"general"}"#
            ),
            (
                #"{"type":"typing","id":"1","room":"general","active":false}"#,
                .typing(id: one, room: general, active: false), nil
            ),
            (
                #"{"type":"signal","room":"general","data":[1,2]}"#,
                .signal(id: nil, room: general, data: raw("[1,2]")), nil
            ),
            (
                #"{"type":"signal","id":"1","room":"general","data":null}"#,
                .signal(id: one, room: general, data: raw("null")), nil
            ),
            (
                #"{"type":"members","id":"1","room":"general"}"#,
                .members(id: one, room: general, limit: 100, after: nil), nil
            ),
            (
                #"{"type":"members","id":"1","room":"general","limit":1000,"after":"bob"}"#,
                .members(id: one, room: general, limit: 1000, after: try user("bob")), nil
            ),
            (
                #"{"type":"history","id":"1","room":"general"}"#,
                .history(id: one, room: general, before: nil, after: nil, limit: 50), nil
            ),
            (
                #"{"type":"history","id":"1","room":"general","before":"1700000000000-42","limit":1}"#,
                .history(id: one, room: general, before: position, after: nil, limit: 1), nil
            ),
            (
                #"{"type":"history","id":"1","room":"general","after":"0-0","limit":1000}"#,
                .history(id: one, room: general, before: nil, after: .zero, limit: 1000), nil
            ),
            (#"{"type":"auth","id":"1","token":"a.b.c"}"#, .auth(id: one, token: "a.b.c"), nil),
            (#"{"type":"ping","id":"1"}"#, .ping(id: one), nil),
            (#"{"type":"ping"}"#, .ping(id: nil), nil),
        ]
    }

    @Test func `Every frame of the protocol is read as what it means`() throws {
        for row in try Self.table() {
            #expect(parse(row.frame) == .success(row.meaning), "\(row.frame)")
        }
    }

    @Test func `Every frame is written as a client would`() throws {
        for row in try Self.table() {
            #expect(json(row.meaning) == row.canonical ?? row.frame)
        }
    }

    @Test func `Order of fields, white space and escapes in keys and values change nothing`() throws {
        let spaced =
            "\n{ \"room\" :\t\"gener\\u0061l\", \"\\u0069d\": \"\\u0031\" , \"t\\u0079pe\" : \"j\\u006fin\",\r\n\"since\":\"1\\u002d2\" } "
        let join = ClientMessage.join(
            id: try id("1"), room: try room("general"), replay: .since(Position(epoch: 1, seq: 2), limit: nil))
        #expect(parse(spaced) == .success(join))
    }

    @Test func `Fields that the type does not know are ignored, whatever they hold`() throws {
        let ping = ClientMessage.ping(id: try id("1"))
        #expect(parse(#"{"type":"ping","id":"1","room":5,"limit":null,"x":{"y":[1]},"text":null}"#) == .success(ping))
        let leave = ClientMessage.leave(id: nil, room: try room("a"))
        #expect(parse(#"{"type":"leave","room":"a","since":null,"history":"x"}"#) == .success(leave))
    }

    @Test func `An id may be any 64 bytes of text, and is decoded`() throws {
        let text = "\u{0}\n\"\\é😀" + String(repeating: "x", count: 54)
        let ping = ClientMessage.ping(id: try id(text))
        #expect(parse(json(ping)) == .success(ping))
        let escaped = String(repeating: #"\u0001"#, count: 64)
        #expect(
            parse(#"{"type":"ping","id":"\#(escaped)"}"#)
                == .success(.ping(id: try id(String(repeating: "\u{1}", count: 64)))))
    }

    @Test func `Text and data are the bytes of the frame, wherever its buffer begins`() throws {
        var frame = ByteBuffer(string: #"xxx{"type":"message","room":"a","text":"é\n","data": [ 1 ] }"#)
        frame.moveReaderIndex(forwardBy: 3)
        let content = Content(text: raw(#""é\n""#), data: raw("[ 1 ]"))
        #expect(ClientMessage.parse(frame) == .success(.message(Post(id: nil, room: try room("a"), content: content))))
    }

    @Test func `The id of a frame that is too large is found without parsing the rest`() throws {
        let filler = String(repeating: "x", count: 60_000)
        let one = try id("1")
        for frame in [
            #"{"type":"message","id":"1","room":"a","text":"\#(filler)"}"#,
            #"{"type":"message","text":"\#(filler)","room":"a","id":"1"}"#,
            #"{"type":"message","room":"a","id":"\u0031","text":"\#(filler)"#,
            #"{"id":"1","room":"a","data":\#(String(repeating: "[", count: 60_000))"#,
            #"{"data":{"id":"2","room":"b","x":"\#(filler)"},"room":"a","id":"1"}"#,
            #"{"id":"1","room":"a","data":{"id":"2","room":"b" oh"#,
        ] {
            #expect(ClientMessage.requestID(in: ByteBuffer(string: frame)) == one)
            let refusal = ClientMessage.tooLarge(ByteBuffer(string: frame), limit: 16_384)
            #expect(refusal.code == .messageTooLarge)
            #expect(refusal.id == one)
            #expect(refusal.room == "a")
        }
        for frame in ["", "x", #"{"id":1}"#, #"{"id":""}"#, #"{"x":{"id":"1"}}"#, #"["id","1"]"#, filler] {
            #expect(ClientMessage.requestID(in: ByteBuffer(string: frame)) == nil)
            #expect(ClientMessage.tooLarge(ByteBuffer(string: frame), limit: 1).id == nil)
        }
    }
}

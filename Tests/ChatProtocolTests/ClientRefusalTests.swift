import ChatProtocol
import NIOCore
import Testing

/// What a client gets for each thing that it can do wrong.
struct ClientRefusalTests {
    struct Row: Sendable, CustomTestStringConvertible {
        var frame: String
        var code: ErrorCode
        /// What the error's text names.
        var names: [String]

        init(_ frame: String, _ code: ErrorCode, _ names: String...) {
            (self.frame, self.code, self.names) = (frame, code, names)
        }

        var testDescription: String { frame }
    }

    @Test(arguments: [
        "", "{", "null", "[]", "hello", #"{"type":"ping"}{"type":"ping"}"#, #"{"type":"ping","type":"ping"}"#,
        #"{"type":"ping","typ\u0065":"ping"}"#, #"{"type":"message","room":"a","text":"\ud800"}"#,
        #"{"type":"message","room":"a","data":{"x":1,"x":2}}"#, #"{"type":"resume","rooms":{"a":"0-0","a":"0-0"}}"#,
        #"{"type":"message","room":"a","data":NaN}"#, "\u{FEFF}{\"type\":\"ping\"}",
        "{\"type\":\"ping\",\"id\":\"\n\"}",
    ])
    func `What is not one strict JSON object is invalid_json, without id and room`(_ frame: String) throws {
        let refusal = try refusal(of: frame)
        #expect(refusal.code == .invalidJSON)
        #expect(!refusal.message.isEmpty)
        #expect(refusal.id == nil)
        #expect(refusal.room == nil)
    }

    static let wrongFields: [Row] = [
        Row(#"{"id":"1","room":"a"}"#, .invalidMessage, "`type`", "missing"),
        Row(#"{"id":"1","room":"a","type":null}"#, .invalidMessage, "`type`", "a string"),
        Row(#"{"id":"1","room":"a","type":7}"#, .invalidMessage, "`type`", "a string"),
        Row(#"{"id":"1","room":"a","type":"dance"}"#, .unknownType, "`type`"),
        Row(#"{"id":"1","room":"a","type":""}"#, .unknownType, "`type`"),
        Row(#"{"id":"1","room":"a","type":"Join"}"#, .unknownType, "`type`"),
        Row(#"{"id":"1","room":"a","type":"welcome"}"#, .unknownType, "`type`"),

        Row(#"{"id":"1","room":"a","type":"join","since":"1"}"#, .invalidMessage, "`since`", "EPOCH-SEQ"),
        Row(#"{"id":"1","room":"a","type":"join","since":null}"#, .invalidMessage, "`since`"),
        Row(#"{"id":"1","room":"a","type":"join","since":5}"#, .invalidMessage, "`since`"),
        Row(#"{"id":"1","room":"a","type":"join","since":"01-1"}"#, .invalidMessage, "`since`"),
        Row(#"{"id":"1","room":"a","type":"join","since":"1-1","history":1}"#, .invalidMessage, "`since`", "`history`"),
        Row(#"{"id":"1","room":"a","type":"join","since":"1-1","history":0}"#, .invalidMessage, "`since`", "`history`"),
        Row(#"{"id":"1","room":"a","type":"join","history":-1}"#, .invalidMessage, "`history`", "0 to 1000"),
        Row(#"{"id":"1","room":"a","type":"join","history":1001}"#, .invalidMessage, "`history`", "0 to 1000"),
        Row(#"{"id":"1","room":"a","type":"join","history":"5"}"#, .invalidMessage, "`history`"),
        Row(#"{"id":"1","room":"a","type":"join","history":1.5}"#, .invalidMessage, "`history`"),
        Row(#"{"id":"1","room":"a","type":"join","history":null}"#, .invalidMessage, "`history`"),
        Row(#"{"id":"1","room":"a","type":"join","history":99999999999999999999}"#, .invalidMessage, "`history`"),
        Row(#"{"id":"1","room":"a","type":"join","history":18446744073709551615}"#, .invalidMessage, "`history`"),
        Row(#"{"id":"1","room":"a","type":"join","since":"1-1","limit":0}"#, .invalidMessage, "`limit`", "1 to 1000"),

        Row(#"{"id":"1","room":"a","type":"resume"}"#, .invalidMessage, "`rooms`", "missing"),
        Row(#"{"id":"1","room":"a","type":"resume","rooms":[]}"#, .invalidMessage, "`rooms`", "an object"),
        Row(#"{"id":"1","room":"a","type":"resume","rooms":null}"#, .invalidMessage, "`rooms`", "an object"),

        Row(#"{"id":"1","room":"a","type":"message"}"#, .invalidMessage, "`text`", "`data`", "missing"),
        Row(#"{"id":"1","room":"a","type":"message","text":null}"#, .invalidMessage, "`text`", "a string"),
        Row(#"{"id":"1","room":"a","type":"message","text":null,"data":1}"#, .invalidMessage, "`text`", "a string"),
        Row(#"{"id":"1","room":"a","type":"message","text":5}"#, .invalidMessage, "`text`", "a string"),
        Row(#"{"id":"1","room":"a","type":"message","text":["x"]}"#, .invalidMessage, "`text`", "a string"),
        Row(
            #"{"id":"1","room":"a","type":"message","text":"x","retry":1}"#, .invalidMessage, "`retry`", "true or false"
        ),
        Row(#"{"id":"1","room":"a","type":"message","text":"x","retry":null}"#, .invalidMessage, "`retry`"),

        Row(#"{"id":"1","room":"a","type":"typing","active":"yes"}"#, .invalidMessage, "`active`", "true or false"),
        Row(#"{"id":"1","room":"a","type":"typing","active":null}"#, .invalidMessage, "`active`"),
        Row(#"{"id":"1","room":"a","type":"signal"}"#, .invalidMessage, "`data`", "missing"),

        Row(#"{"id":"1","room":"a","type":"members","limit":0}"#, .invalidMessage, "`limit`", "1 to 1000"),
        Row(#"{"id":"1","room":"a","type":"members","limit":1001}"#, .invalidMessage, "`limit`", "1 to 1000"),
        Row(#"{"id":"1","room":"a","type":"members","limit":1e2}"#, .invalidMessage, "`limit`", "1 to 1000"),
        Row(#"{"id":"1","room":"a","type":"members","after":"@bob"}"#, .invalidMessage, "`after`", "user"),
        Row(#"{"id":"1","room":"a","type":"members","after":null}"#, .invalidMessage, "`after`"),

        Row(#"{"id":"1","room":"a","type":"history","limit":0}"#, .invalidMessage, "`limit`", "1 to 1000"),
        Row(#"{"id":"1","room":"a","type":"history","limit":1001}"#, .invalidMessage, "`limit`", "1 to 1000"),
        Row(#"{"id":"1","room":"a","type":"history","before":"x"}"#, .invalidMessage, "`before`"),
        Row(#"{"id":"1","room":"a","type":"history","after":1}"#, .invalidMessage, "`after`"),
        Row(#"{"id":"1","room":"a","type":"history","after":null,"before":"1-1"}"#, .invalidMessage, "`after`"),
        Row(
            #"{"id":"1","room":"a","type":"history","after":"1-1","before":"1-1"}"#, .invalidMessage, "`before`",
            "`after`"),

        Row(#"{"id":"1","room":"a","type":"auth"}"#, .invalidMessage, "`token`", "missing"),
        Row(#"{"id":"1","room":"a","type":"auth","token":null}"#, .invalidMessage, "`token`", "a string"),
    ]

    @Test(arguments: wrongFields)
    func `A wrong frame is refused with the field named, and its id and room echoed`(_ row: Row) throws {
        let refusal = try refusal(of: row.frame)
        #expect(refusal.code == row.code)
        for name in row.names { #expect(refusal.message.contains(name), "\(refusal.message)") }
        #expect(try refusal.id == id("1"))
        #expect(refusal.room == "a")
        #expect(refusal.retryAfter == nil)
    }

    @Test(arguments: wrongFields)
    func `An id that comes last is echoed as well`(_ row: Row) throws {
        let moved = row.frame.replacing(#""id":"1","#, with: "").dropLast() + #","id":"1"}"#
        #expect(try refusal(of: String(moved)).id == id("1"))
    }

    @Test(arguments: ["join", "leave", "message", "typing", "signal", "members", "history"])
    func `A type that needs a room says what is wrong with it`(_ type: String) throws {
        func frame(_ room: String) -> String { #"{"type":"\#(type)","id":"1",\#(room)"text":"x","data":1}"# }
        let one = try id("1")
        #expect(
            try refusal(of: frame(""))
                == Refusal(code: .invalidMessage, message: "`room` is missing", id: one))
        for wrong in ["null", "5", "{}", #"["a"]"#] {
            #expect(
                try refusal(of: frame(#""room":\#(wrong),"#))
                    == Refusal(code: .invalidMessage, message: "`room` must be a string", id: one))
        }
        for name in ["", "a b", "a}b", "{}", "*", "@", "@@a", "é", String(repeating: "a", count: 129)] {
            let refusal = try refusal(of: frame(#""room":"\#(name)","#))
            #expect(refusal.code == .invalidRoom)
            #expect(refusal.id == one)
            #expect(refusal.room == name, "so that the client can tell which of its rooms it was")
        }
        #expect(try refusal(of: frame(#""room":"a\u0000","#)).room == "a\u{0}")
        let endless = String(repeating: "a", count: 10_000)
        #expect(try refusal(of: frame(#""room":"\#(endless)","#)).room == nil)
    }

    @Test(arguments: [
        "join", "resume", "leave", "message", "typing", "signal", "members", "history", "auth", "ping",
    ])
    func `A wrong id is named by every type, and not echoed`(_ type: String) throws {
        for wrong in [
            "null", "5", "true", #""""#, #"["1"]"#, #""\#(String(repeating: "x", count: 65))""#,
            #""\#(String(repeating: #"\u0001"#, count: 65))""#, #""\#(String(repeating: "😀", count: 17))""#,
        ] {
            let frame = #"{"type":"\#(type)","room":"a","text":"x","data":1,"token":"t","rooms":{},"id":\#(wrong)}"#
            #expect(
                try refusal(of: frame)
                    == Refusal(code: .invalidMessage, message: "`id` must be a string of 1 to 64 bytes", room: "a"))
        }
    }

    @Test func `A retry without the id of the first attempt could store the message twice, so it is refused`() throws {
        let refusal = try refusal(of: #"{"type":"message","room":"a","text":"x","retry":true}"#)
        #expect(refusal.code == .invalidMessage)
        #expect(refusal.message.contains("`id`"))
    }

    @Test func `One wrong room of a resume is refused by itself, the others come back`() throws {
        let endless = String(repeating: "a", count: 300)
        let frame =
            #"{"type":"resume","id":"1","rooms":{"a":"1-2","b c":"1-2","d":"1","e":null,"\u0066":"3-4","\#(endless)":"0-0"}}"#
        guard case .success(.resume(let answered, let rooms, let refused)) = parse(frame) else {
            Issue.record("the frame as a whole is right")
            return
        }
        let one = try id("1")
        #expect(answered == one)
        #expect(
            rooms == [
                Resumption(room: try room("a"), since: Position(epoch: 1, seq: 2)),
                Resumption(room: try room("f"), since: Position(epoch: 3, seq: 4)),
            ])
        #expect(refused.map(\.room) == ["b c", "d", "e", nil])
        #expect(refused.map(\.code) == [.invalidRoom, .invalidMessage, .invalidMessage, .invalidRoom])
        #expect(refused.allSatisfy { $0.id == one && $0.message.contains("`rooms`") })
    }

    @Test func `No error repeats the text of a message or a token`() throws {
        for frame in [
            #"{"type":"message","room":"a b","text":"secret"}"#, #"{"type":"message","text":"secret","id":1}"#,
            #"{"type":"secret"}"#, #"{"type":"auth","token":["secret"]}"#, #"{"type":"auth","token":"secret"#,
            #"{"type":"join","room":"a","since":"secret"}"#,
        ] {
            #expect(try !refusal(of: frame).message.contains("secret"))
        }
    }
}

import ChatProtocol
import Foundation
import NIOCore
import Testing

/// The rows of "Node to client".
struct ServerMessageTests {
    static func table() throws -> [(message: ServerMessage, json: String)] {
        let (general, alice, bob, one) = (try room("general"), try user("alice"), try user("bob"), try id("1"))
        let position = Position(epoch: 1_700_000_000_000, seq: 42)
        return [
            (
                .welcome(
                    Welcome(
                        session: "00000000000000ff", user: alice, node: "gateway-1", heartbeat: 25,
                        maxMessageBytes: 16384, limits: Welcome.Limits(rooms: 100, messagesPerSecond: 50))),
                #"{"type":"welcome","protocol":1,"session":"00000000000000ff","user":"alice","node":"gateway-1","heartbeat":25,"max_message_bytes":16384,"limits":{"rooms":100,"messages_per_second":50,"history":1000}}"#
            ),
            (
                .joined(
                    Joined(
                        id: one, room: general, position: position, recovered: true, members: [alice, bob], count: 2)),
                #"{"type":"joined","id":"1","room":"general","position":"1700000000000-42","recovered":true,"members":["alice","bob"],"count":2}"#
            ),
            (
                .joined(Joined(id: nil, room: RoomName(inboxOf: alice), position: .zero)),
                #"{"type":"joined","room":"@alice","position":"0-0"}"#
            ),
            (
                .joined(Joined(id: one, room: general, position: .zero, recovered: false, members: [], count: 0)),
                #"{"type":"joined","id":"1","room":"general","position":"0-0","recovered":false,"members":[],"count":0}"#
            ),
            (.left(id: one, room: general), #"{"type":"left","id":"1","room":"general"}"#),
            (.left(id: nil, room: general), #"{"type":"left","room":"general"}"#),
            (
                .message(
                    Message(
                        room: RoomName(inboxOf: alice), position: position, time: 1_700_000_000_123, user: alice,
                        id: one, to: bob, text: "a\"\\\n\u{1}é😀\u{2028}/", data: raw(#"{"x":[1,null]}"#))),
                #"{"type":"message","position":"1700000000000-42","time":1700000000123,"room":"@alice","user":"alice","id":"1","to":"bob","text":"a\"\\\n\u0001é😀\#u{2028}/","data":{"x":[1,null]}}"#
            ),
            (
                .message(Message(room: general, position: position, time: 0, user: alice, data: raw("null"))),
                #"{"type":"message","position":"1700000000000-42","time":0,"room":"general","user":"alice","data":null}"#
            ),
            (
                .ack(Ack(id: one, room: general, position: position, time: 1_700_000_000_123)),
                #"{"type":"ack","id":"1","room":"general","position":"1700000000000-42","time":1700000000123}"#
            ),
            (
                .ack(Ack(id: one, room: general, position: position, time: .max, isDuplicate: true)),
                #"{"type":"ack","id":"1","room":"general","position":"1700000000000-42","time":18446744073709551615,"duplicate":true}"#
            ),
            (
                .userJoined(room: general, user: bob, count: 3),
                #"{"type":"user_joined","room":"general","user":"bob","count":3}"#
            ),
            (
                .userLeft(room: general, user: bob, count: 0),
                #"{"type":"user_left","room":"general","user":"bob","count":0}"#
            ),
            (.count(room: general, count: 501), #"{"type":"count","room":"general","count":501}"#),
            (
                .typing(room: general, user: bob, active: false),
                #"{"type":"typing","room":"general","user":"bob","active":false}"#
            ),
            (
                .signal(room: general, user: bob, data: raw("[1e400]")),
                #"{"type":"signal","room":"general","user":"bob","data":[1e400]}"#
            ),
            (
                .members(MembersPage(id: one, room: general, members: [alice, bob], count: 7, hasMore: true)),
                #"{"type":"members","id":"1","room":"general","members":["alice","bob"],"count":7,"more":true}"#
            ),
            (
                .history(
                    HistoryPage(
                        id: one, room: general,
                        messages: [
                            Message(room: general, position: Position(epoch: 1, seq: 1), time: 5, user: bob, text: "x"),
                            Message(room: general, position: Position(epoch: 1, seq: 2), time: 6, user: bob, text: "y"),
                        ], hasMore: false, recovered: false)),
                #"{"type":"history","id":"1","room":"general","messages":[{"type":"message","position":"1-1","time":5,"room":"general","user":"bob","text":"x"},{"type":"message","position":"1-2","time":6,"room":"general","user":"bob","text":"y"}],"more":false,"recovered":false}"#
            ),
            (
                .history(HistoryPage(id: one, room: general, messages: [], hasMore: true)),
                #"{"type":"history","id":"1","room":"general","messages":[],"more":true}"#
            ),
            (
                .gap(room: general, after: .zero, before: position),
                #"{"type":"gap","room":"general","after":"0-0","before":"1700000000000-42"}"#
            ),
            (.gap(room: general, after: .zero, before: nil), #"{"type":"gap","room":"general","after":"0-0"}"#),
            (.rewind(room: general, to: position), #"{"type":"rewind","room":"general","to":"1700000000000-42"}"#),
            (
                .authenticated(id: one, user: alice, expires: 1_700_000_000),
                #"{"type":"authenticated","id":"1","user":"alice","expires":1700000000}"#
            ),
            (.expiring(expires: 1_700_000_000), #"{"type":"expiring","expires":1700000000}"#),
            (.pong(id: one, time: 1_700_000_000_123), #"{"type":"pong","id":"1","time":1700000000123}"#),
            (
                .reconnect(after: 250, deadline: 30_000, reason: "drain"),
                #"{"type":"reconnect","after":250,"deadline":30000,"reason":"drain"}"#
            ),
            (
                .error(
                    Refusal(code: .rateLimited, message: "too fast", id: one, room: "general", retryAfter: 1500)),
                #"{"type":"error","id":"1","room":"general","code":"rate_limited","message":"too fast","retry_after":1500}"#
            ),
            (
                .error(Refusal(code: .invalidRoom, message: "no", room: "a\"\u{0}b")),
                #"{"type":"error","room":"a\"\u0000b","code":"invalid_room","message":"no"}"#
            ),
            (
                .error(Refusal(code: .invalidJSON, message: "x")),
                #"{"type":"error","code":"invalid_json","message":"x"}"#
            ),
        ]
    }

    @Test func `Every event is written with exactly its fields`() throws {
        for row in try Self.table() { #expect(json(row.message) == row.json) }
    }

    @Test func `Every event is read as what it says`() throws {
        for row in try Self.table() {
            #expect(try ServerMessage.parse(ByteBuffer(string: row.json)) == row.message)
        }
    }

    @Test func `What is written another JSON parser can read`() throws {
        for row in try Self.table() where !row.json.contains("1e400") {
            #expect(try JSONSerialization.jsonObject(with: Data(row.json.utf8)) is [String: Any])
        }
    }

    @Test func `Fields that a later version adds are ignored, everywhere`() throws {
        for row in try Self.table() {
            let extended = row.json.replacing("{\"type\"", with: #"{"new":{"type":[null]},"type""#)
            #expect(try ServerMessage.parse(ByteBuffer(string: extended)) == row.message)
        }
    }

    @Test func `An event of unknown type is no error`() throws {
        let parsed = try ServerMessage.parse(ByteBuffer(string: #"{"type":"party","room":5}"#))
        #expect(parsed == .unknown(type: "party"))
        #expect(json(parsed) == #"{"type":"party"}"#)
    }

    @Test func `An error code that a later version adds is still an error with its id`() throws {
        let frame = #"{"type":"error","id":"1","code":"too_funny","message":"haha"}"#
        let expected = Refusal(code: .internal, message: "too_funny: haha", id: try id("1"))
        #expect(try ServerMessage.parse(ByteBuffer(string: frame)) == .error(expected))
    }

    @Test func `Every event without one of its fields is malformed, or lacks an optional one`() throws {
        let optional: Set<String> = [
            "id", "recovered", "members", "count", "to", "text", "data", "duplicate", "before", "room", "retry_after",
            "message",
        ]
        for row in try Self.table() {
            guard var object = try? JSONSerialization.jsonObject(with: Data(row.json.utf8)) as? [String: Any] else {
                continue
            }
            for field in object.keys where !optional.contains(field) {
                let value = object.removeValue(forKey: field)
                let frame = ByteBuffer(bytes: try JSONSerialization.data(withJSONObject: object))
                #expect(throws: MalformedServerMessage.self) { try ServerMessage.parse(frame) }
                object[field] = value
            }
        }
    }

    @Test(arguments: [
        "", "{}", "[]", "x", #"{"type":5}"#, #"{"type":"ack","id":"1","room":"a","position":"1-1","time":-1}"#,
        #"{"type":"ack","id":"1","room":"a","position":"1","time":1}"#, #"{"type":"left","room":"a b"}"#,
        #"{"type":"joined","room":"a","position":"0-0","members":["a",5]}"#,
        #"{"type":"joined","room":"a","position":"0-0","members":"a"}"#,
        #"{"type":"history","room":"a","messages":[5],"more":false}"#,
        #"{"type":"history","room":"a","messages":{},"more":false}"#,
        #"{"type":"history","room":"a","messages":[{"type":"message"}],"more":false}"#,
        #"{"type":"count","room":"a","count":99999999999999999999}"#, #"{"type":"expiring","expires":"soon"}"#,
        #"{"type":"pong","id":"1","id":"1","time":1}"#,
    ])
    func `What no node says is an error, never a trap`(_ frame: String) {
        #expect(throws: MalformedServerMessage.self) { try ServerMessage.parse(ByteBuffer(string: frame)) }
    }

    @Test func `Data as deep as a client may send is read back in a history page`() throws {
        let deepest = String(repeating: "[", count: 31) + String(repeating: "]", count: 31)
        guard case .success(.message(let post)) = parse(#"{"type":"message","room":"a","data":\#(deepest)}"#) else {
            Issue.record("not taken")
            return
        }
        var writer = HistoryWriter(id: nil, room: post.room, adding: .oldestFirst)
        let (body, _) = StoredMessage.render(
            room: post.room, user: try user("bob"), id: nil, to: nil, content: post.content)
        let isTaken = writer.add(body, position: Position(epoch: 1, seq: 1), time: 0)
        #expect(isTaken)
        var frame = ByteBuffer()
        writer.write(hasMore: false, recovered: nil, into: &frame)
        guard case .history(let page) = try ServerMessage.parse(frame) else {
            Issue.record("not a page")
            return
        }
        #expect(page.messages.first?.data == raw(deepest))
    }
}

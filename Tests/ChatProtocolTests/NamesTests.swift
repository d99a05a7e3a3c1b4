import ChatProtocol
import Testing

struct NamesTests {
    static let longest = String(repeating: "a", count: 128)

    /// What neither a user nor a room may be called.
    static let harmful = [
        "", " ", " a", "a ", "a b", ".a", "_a", ":a", "-a", "a}b", "{}", "{a}", "*", "a*", "?", "[a]", "a\u{0}",
        "\u{0}",
        "a\nb", "a\n", "a\r", "a\tb", "a/b", "../a", "a\\b", "a\"b", "a'b", "<b>", "a&b", "a%20b", "a#b", "a,b", "a;b",
        "a$b", "a+b", "a=b", "a~b", "a|b", "a^b", "a`b", "a!b", "(a)", "a@b", "@@a", "@", "@.a", "@ a", "@{}", "é",
        "aé",
        "a\u{301}", "\u{430}", "a\u{430}", "\u{FF41}", "a\u{FF11}", "\u{212A}", "a\u{200B}", "a\u{202E}b", "😀",
        longest + "a",
        "@" + longest + "a", "\u{7F}", "a\u{7F}",
    ]

    @Test(arguments: harmful)
    func `A name outside the alphabet or the length names nobody and nothing`(_ text: String) {
        #expect(UserName(text) == nil)
        #expect(RoomName(text) == nil)
    }

    @Test(arguments: ["a", "Z", "0", "9", "general", "a.b_c:d-e", "A1", "0-0", "a--", "a..", longest])
    func `A name of the alphabet is a user's, a room's, and that of an inbox`(_ text: String) throws {
        let user = try user(text)
        #expect(user.text == text)
        #expect(UserName("@" + text) == nil)

        let room = try room(text)
        #expect(room.text == text)
        #expect(!room.isInbox)
        #expect(room.inboxOwner == nil)

        let inbox = try #require(RoomName("@" + text))
        #expect(inbox == RoomName(inboxOf: user))
        #expect(inbox.isInbox)
        #expect(inbox.inboxOwner == user)
    }

    @Test func `Users are sorted by bytes, capitals before small letters`() throws {
        let sorted = try ["b", "a", "B", "a.", "a-", "aa", "A", "10", "9"].map(user).sorted()
        #expect(sorted.map(\.text) == ["10", "9", "A", "B", "a", "a-", "a.", "aa", "b"])
    }

    @Test func `A session's name is sixteen digits and reads back as the same number`() {
        for value in [0, 1, 0xABCDEF, UInt64.max] {
            let session = SessionID(value: value)
            #expect(session.description.utf8.count == 16)
            #expect(SessionID(session.description) == session)
        }
        for text in ["", "1", "000000000000000g", "+00000000000000f", "-00000000000000f", "00000000000000001"] {
            #expect(SessionID(text) == nil)
        }
    }

    @Test func `A request's id has 1 to 64 bytes, not characters`() {
        #expect(RequestID("") == nil)
        #expect(RequestID("x")?.text == "x")
        #expect(RequestID(String(repeating: "x", count: 64)) != nil)
        #expect(RequestID(String(repeating: "x", count: 65)) == nil)
        #expect(RequestID(String(repeating: "😀", count: 16)) != nil)
        #expect(RequestID(String(repeating: "😀", count: 16) + "x") == nil)
    }

    @Test func `Ids that look alike but differ in bytes are two ids`() throws {
        let composed = try id("\u{E9}")
        let decomposed = try id("e\u{301}")
        #expect(composed.text == decomposed.text, "as text they count as the same")
        #expect(composed != decomposed)
        #expect(Set([composed, decomposed]).count == 2)
        #expect(try composed == id("\u{E9}"))
    }
}

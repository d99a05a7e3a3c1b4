import ChatClient
import ChatProtocol
import Testing

@testable import roost

@Suite("What roost chat shows")
struct ChatScreenTests {
    private let plain = ChatScreen(isTerminal: false, user: "alice") { _ in "12:34" }
    private let colourful = ChatScreen(isTerminal: true, user: "alice") { _ in "12:34" }

    @Test("Coming, going and typing, here and elsewhere")
    func presence() {
        #expect(
            plain.line(for: .userJoined(room: "general", user: "bob", count: 3), in: "general") == "— bob came (3 here)"
        )
        #expect(
            plain.line(for: .userLeft(room: "ops", user: "bob", count: 2), in: "general")
                == "— bob left in ops (2 here)")
        #expect(
            plain.line(for: .typing(room: "general", user: "bob", isActive: true), in: "general") == "— bob is typing…")
        #expect(plain.line(for: .typing(room: "general", user: "bob", isActive: false), in: "general") == nil)
    }

    @Test("The state of the connection, with the time to the next try")
    func connection() {
        #expect(
            plain.line(for: .disconnected(reason: "cannot connect", retryIn: .milliseconds(1500)), in: nil)
                == "— cannot connect; trying again in 1.5 s")
        #expect(plain.line(for: .disconnected(reason: "kicked", retryIn: nil), in: nil) == "— kicked")
    }

    @Test("Colours are for terminals only")
    func colours() {
        let event = ClientEvent.left(room: "general", error: nil)
        #expect(plain.line(for: event, in: nil) == "— left general")
        #expect(colourful.line(for: event, in: nil) == "\u{1B}[2m— left general\u{1B}[0m")
        #expect(plain.eraseTypedLine == "")
    }

    @Test("Nothing that somebody writes reaches the terminal as a command")
    func harmless() {
        #expect(ChatScreen.harmless("a\u{1B}[2Jb\u{07}\u{9B}c\u{202E}d") == "a\u{FFFD}[2Jb\u{FFFD}\u{FFFD}c\u{FFFD}d")
        #expect(ChatScreen.harmless("one\ntwo\tthree") == "one ⏎ two three")
        #expect(ChatScreen.harmless("grüße 👋🏽") == "grüße 👋🏽")
        let event = ClientEvent.disconnected(reason: "\u{1B}]0;title\u{07}", retryIn: nil)
        #expect(plain.line(for: event, in: nil)?.contains("\u{1B}") == false)
    }
}

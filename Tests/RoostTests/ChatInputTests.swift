import Testing

@testable import roost

@Suite("What is typed into roost chat")
struct ChatInputTests {
    @Test(
        "Lines are words for the room or commands",
        arguments: [
            ("hello there ", .say("hello there")), ("", .nothing), ("   ", .nothing), ("//etc", .say("/etc")),
            ("/join ops", .join("ops")), ("/leave", .leave(nil)), ("/leave ops", .leave("ops")), ("/rooms", .rooms),
            ("/who", .who(nil)), ("/who ops", .who("ops")),
            ("/msg bob see  you", .message(user: "bob", text: "see  you")), ("/history", .history(20)),
            ("/history 5", .history(5)), ("/help", .help), ("/quit", .quit),
        ] as [(String, ChatInput)])
    func understood(line: String, input: ChatInput) {
        #expect(ChatInput(line) == input)
    }

    @Test(
        "A wrong command is answered with the right one",
        arguments: ["/join", "/msg", "/msg bob", "/history x", "/history 0", "/history 1001", "/nonsense", "/"])
    func wrong(line: String) {
        guard case .wrong(let words) = ChatInput(line) else {
            Issue.record("taken for \(ChatInput(line))")
            return
        }
        #expect(words.contains("/"))
    }
}

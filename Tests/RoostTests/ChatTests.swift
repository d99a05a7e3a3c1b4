import ChatProtocol
import Synchronization
import Testing

@testable import ChatClient
@testable import roost

@Suite("A conversation in roost chat")
struct ChatTests {
    /// Whether it fails, and what was said, when these lines come in.
    private func talk(_ lines: [String], waitsForEach: Bool) async -> (hasFailed: Bool, said: [String]) {
        let service = FakeService()
        let chat = Chat(
            client: service, screen: ChatScreen(isTerminal: false, user: "alice"), history: 0, erasesTypedLines: false)
        let rest = Mutex(lines[...])
        let hasFailed = await chat.talk(in: ["general"], waitsForEach: waitsForEach) {
            rest.withLock { $0.popFirst() }
        }
        return (hasFailed, service.said.withLock { $0 })
    }

    @Test("A pipe whose lines are all sent succeeds")
    func allSent() async {
        let (hasFailed, said) = await talk(["one", "/msg bob two", "/quit", "three"], waitsForEach: true)
        #expect(!hasFailed)
        #expect(said == ["general: one", "@bob: two"])
    }

    @Test("A pipe with a line that is refused fails, after the lines that follow")
    func refused() async {
        let (hasFailed, said) = await talk(["one", "refuse me", "three"], waitsForEach: true)
        #expect(hasFailed)
        #expect(said == ["general: one", "general: three"])
    }

    @Test("A pipe with a command that cannot be done fails", arguments: ["/nonsense", "/join refuse", "/who refuse"])
    func commands(line: String) async {
        #expect(await talk([line], waitsForEach: true).hasFailed)
    }

    @Test("Somebody at a keyboard has seen what was refused, and leaves with success")
    func keyboard() async {
        #expect(await talk(["refuse me", "/nonsense"], waitsForEach: false).hasFailed == false)
    }
}

/// Refuses what asks for it.
private final class FakeService: ChatService {
    let said = Mutex<[String]>([])

    private func check(_ text: String) throws {
        if text.hasPrefix("refuse") { throw ChatClientError(code: .server, message: "refused") }
    }

    func connect() async throws {}

    func join(_ room: String, history: Int) async throws -> JoinedRoom {
        try check(room)
        return JoinedRoom(room: room, position: .zero, recovered: nil, members: [], count: 1)
    }

    func leave(_ room: String) async throws {}

    func members(of room: String, after user: String?, limit: Int) async throws -> MemberPage {
        try check(room)
        return MemberPage(members: [], count: 0, hasMore: false)
    }

    func history(of room: String, limit: Int) async throws -> MessagePage {
        MessagePage(messages: [], hasMore: false, isComplete: true)
    }

    func say(_ text: String, in room: String) async throws {
        try check(text)
        said.withLock { $0.append("\(room): \(text)") }
    }
}

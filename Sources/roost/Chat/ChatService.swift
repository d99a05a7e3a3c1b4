import ChatClient

/// What `roost chat` needs of a client.
protocol ChatService: Sendable {
    func connect() async throws
    @discardableResult
    func join(_ room: String, history: Int) async throws -> JoinedRoom
    func leave(_ room: String) async throws
    func members(of room: String, after user: String?, limit: Int) async throws -> MemberPage
    func history(of room: String, limit: Int) async throws -> MessagePage
    func say(_ text: String, in room: String) async throws
}

extension ChatClient: ChatService {
    func history(of room: String, limit: Int) async throws -> MessagePage {
        try await history(of: room, before: nil, after: nil, limit: limit)
    }

    func say(_ text: String, in room: String) async throws {
        try await send(text: text, to: room)
    }
}

import ChatProtocol
import NIOCore
import Testing

@testable import ChatClient

func at(_ seq: UInt64, epoch: UInt64 = 1) -> Position {
    Position(epoch: epoch, seq: seq)
}

func room(_ name: String) throws -> RoomName {
    try #require(RoomName(name))
}

func post(_ id: String, in name: String = "general") throws -> Post {
    Post(id: RequestID(id), room: try room(name), content: Content(string: "text of \(id)"))
}

/// A message of bob's as a node sends it.
func message(_ seq: UInt64, in name: String = "general", epoch: UInt64 = 1, user: String = "bob", id: String? = nil)
    throws -> ServerMessage
{
    .message(
        Message(
            room: try room(name), position: at(seq, epoch: epoch), time: 1000, user: try #require(UserName(user)),
            id: id.flatMap { RequestID($0) }, text: "\(seq)"))
}

/// A client on a node, in its inbox at position 5.
func connected(
    _ nodes: ScriptedNode..., change: (inout ChatClient.Configuration) -> Void = { _ in }
) async throws -> (client: ChatClient, events: EventReader, connection: ScriptedConnection) {
    try await connected(nodes, change: change)
}

private func connected(
    _ nodes: [ScriptedNode], change: (inout ChatClient.Configuration) -> Void
) async throws -> (client: ChatClient, events: EventReader, connection: ScriptedConnection) {
    var configuration = ChatClient.Configuration(urls: nodes.map(\.url), user: "alice")
    change(&configuration)
    let client = try ChatClient(configuration)
    let events = EventReader(client)
    async let connected: Void = client.connect()
    let connection = try await nodes[0].welcomed(inbox: at(5))
    try await connected
    return (client, events, connection)
}

/// A client on a node, in `general`, at position 10 there and at 5 in its inbox.
func inGeneral(
    _ nodes: ScriptedNode..., change: (inout ChatClient.Configuration) -> Void = { _ in }
) async throws -> (client: ChatClient, events: EventReader, connection: ScriptedConnection) {
    let (client, events, connection) = try await connected(nodes, change: change)
    async let joined = client.join("general")
    _ = try await connection.acceptJoin(head: at(10))
    _ = try await joined
    return (client, events, connection)
}

/// The other end of a story: reads a client's events one by one.
struct EventReader {
    private var iterator: ClientEvents.Iterator

    init(_ client: ChatClient) {
        iterator = client.events.makeAsyncIterator()
    }

    mutating func next() async -> ClientEvent? {
        await iterator.next()
    }

    /// The positions of the next messages, whatever else happens between them.
    mutating func positions(_ count: Int) async -> [Position] {
        var positions: [Position] = []
        while positions.count < count, let event = await iterator.next() {
            if case .message(let message) = event { positions.append(message.position) }
        }
        return positions
    }

    /// Reads on to the first event that fits.
    mutating func first<Found>(_ fits: (ClientEvent) -> Found?) async -> Found? {
        while let event = await iterator.next() {
            if let found = fits(event) { return found }
        }
        return nil
    }
}

extension ScriptedConnection {
    /// The next thing that the client says must be a join, which is answered.
    func acceptJoin(head: Position, recovered: Bool? = nil) async throws -> Replay {
        guard case .said(.join(let id, let room, let replay)) = await hear() else {
            throw Unexpected(what: "expected a join")
        }
        send(.joined(Joined(id: id, room: room, position: head, recovered: recovered, members: [], count: 1)))
        return replay
    }

    /// The next thing that the client says must be a resumption, which is not answered.
    func hearResume() async throws -> (id: RequestID?, rooms: [RoomName: Position]) {
        guard case .said(.resume(let id, let rooms, _)) = await hear() else {
            throw Unexpected(what: "expected a resume")
        }
        return (id, Dictionary(uniqueKeysWithValues: rooms.map { ($0.room, $0.since) }))
    }

    /// The next thing that the client says must be a join, which is not answered.
    func hearJoin() async throws -> (id: RequestID?, replay: Replay) {
        guard case .said(.join(let id, _, let replay)) = await hear() else { throw Unexpected(what: "expected a join") }
        return (id, replay)
    }

    func hearPost() async throws -> Post {
        guard case .said(.message(let post)) = await hear() else { throw Unexpected(what: "expected a message") }
        return post
    }

    func acknowledge(_ post: Post, at position: Position, duplicate: Bool = false) throws {
        let id = try #require(post.id)
        send(.ack(Ack(id: id, room: post.room, position: position, time: 1, isDuplicate: duplicate)))
    }
}

/// What a client's call failed with; nil when it did not fail so.
func failure<Value: Sendable>(of task: Task<Value, any Error>) async -> ChatClientError? {
    do {
        _ = try await task.value
        return nil
    } catch {
        return error as? ChatClientError
    }
}

struct Unexpected: Error {
    var what: String
}

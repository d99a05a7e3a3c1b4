/// What a client says to a node: one JSON object per text frame.
package enum ClientMessage: Sendable, Equatable {
    case join(id: RequestID?, room: RoomName, replay: Replay)
    /// The rooms of a client that comes back. Each is answered by itself; `refused` are those whose name or position
    /// is wrong, with the answer that they get.
    case resume(id: RequestID?, rooms: [Resumption], refused: [Refusal])
    case leave(id: RequestID?, room: RoomName)
    case message(Post)
    /// The `id` is only for an `error`, there is no other answer.
    case typing(id: RequestID?, room: RoomName, active: Bool)
    /// The `id` is only for an `error`, there is no other answer.
    case signal(id: RequestID?, room: RoomName, data: RawJSON)
    case members(id: RequestID?, room: RoomName, limit: Int, after: UserName?)
    /// At most one of `before` and `after` is given; both are exclusive.
    case history(id: RequestID?, room: RoomName, before: Position?, after: Position?, limit: Int)
    case auth(id: RequestID?, token: String)
    case ping(id: RequestID?)
    /// Of administrators only.
    case moderate(id: RequestID?, Moderation)
}

/// What of a room's log a session wants when it joins.
package enum Replay: Sendable, Equatable {
    case none
    /// Everything after a position; if that is more than `limit` messages, only the latest so many.
    case since(Position, limit: Int?)
    /// The latest so many messages.
    case latest(Int)
}

/// A room that a client comes back to, and the last position that it has seen there.
package struct Resumption: Sendable, Equatable {
    package var room: RoomName
    package var since: Position

    package init(room: RoomName, since: Position) {
        self.room = room
        self.since = since
    }
}

/// A message that a client wants stored and delivered.
package struct Post: Sendable, Equatable {
    package var id: RequestID?
    package var room: RoomName
    package var content: Content
    /// The same `id` was sent before and its fate is not known.
    package var isRetry: Bool

    package init(id: RequestID?, room: RoomName, content: Content, isRetry: Bool = false) {
        self.id = id
        self.room = room
        self.content = content
        self.isRetry = isRetry
    }
}

extension ClientMessage {
    /// How many messages or members a client can ask for at once.
    package static let limits = 1...1000
    /// How many of the latest messages a `join` can ask for; none for 0.
    package static let historyLimits = 0...1000
    package static let defaultMembersLimit = 100
    package static let defaultHistoryLimit = 50
}

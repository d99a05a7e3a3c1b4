public import ChatProtocol

/// What a ``ChatClient`` tells.
public enum ClientEvent: Sendable, Equatable {
    /// A node took the client in, for the first time or again. All rooms are being taken up there.
    case connected(Connected)
    /// There is no connection; the next attempt is made after `retryIn`. Nil: the client has given up, and no
    /// event follows.
    case disconnected(reason: String, retryIn: Duration?)
    /// A room was joined, or taken up again on a new connection.
    case joined(JoinedRoom)
    /// The client is no longer in a room: it left, or (`error`) could not take it up again.
    case left(room: String, error: ChatClientError?)
    /// A message: each once, in the order of positions within its room.
    case message(ChatMessage)
    /// A user's first session came into a room; `count` users are there now.
    case userJoined(room: String, user: String, count: Int)
    /// A user's last session left a room.
    case userLeft(room: String, user: String, count: Int)
    /// The number of users in a big room.
    case count(room: String, count: Int)
    /// A user types, or ceased to. Ends by itself after 6 s or at the user's next message.
    case typing(room: String, user: String, isActive: Bool)
    /// Something that is never stored.
    case signal(room: String, user: String, data: JSONValue)
    /// What stood between the two positions (both exclusive) is lost.
    case gap(room: String, after: Position, before: Position?)
    /// The log lost what came after `to`: drop it. What was saved comes again under new positions with the same `id`.
    case rewind(room: String, to: Position)
    /// The session ends at that time (seconds since 1970), unless ``ChatClient/authenticate(token:)`` is called.
    case expiring(at: UInt64)
    /// A node's refusal of something that nobody waits for, as a typing sign.
    case error(ChatClientError)

    /// The node that took the client in.
    public struct Connected: Sendable, Hashable {
        public var user: String
        public var node: String
        /// The session's name, for logs and support.
        public var session: String
    }
}

/// A room as it was at the moment of joining.
public struct JoinedRoom: Sendable, Hashable {
    public var room: String
    /// The last position in the room at that moment; a replay is over with the message at it.
    public var position: Position
    /// After a resumption: false when something that was missed is no longer in the log.
    public var recovered: Bool?
    /// Up to 100 users, this one included; empty for an inbox.
    public var members: [String]
    /// Users in the room on all nodes.
    public var count: Int
}

/// A message of a room.
public struct ChatMessage: Sendable, Hashable {
    public var room: String
    public var position: Position
    /// Milliseconds since 1970, by the store's clock. Sort by position, not by time.
    public var time: UInt64
    public var user: String
    public var id: String?
    /// In one's own inbox, the copy of a message that one sent: the user that it was sent to.
    public var to: String?
    public var text: String?
    public var data: JSONValue?
}

/// A message is stored.
public struct Acknowledgement: Sendable, Hashable {
    public var id: String
    public var room: String
    public var position: Position
    /// Milliseconds since 1970, by the store's clock.
    public var time: UInt64
    /// An earlier copy was there already; position and time are that one's.
    public var isDuplicate: Bool
}

/// Some of the users in a room, sorted by bytes.
public struct MemberPage: Sendable, Hashable {
    public var members: [String]
    /// Users in the room on all nodes.
    public var count: Int
    /// There are users after the last of ``members``.
    public var hasMore: Bool
}

/// A part of a room's log.
public struct MessagePage: Sendable, Hashable {
    /// Oldest first.
    public var messages: [ChatMessage]
    /// The log holds more in the direction asked for.
    public var hasMore: Bool
    /// False when something after the position asked for is no longer in the log.
    public var isComplete: Bool
}

/// What a node says to a client: one JSON object per text frame.
package enum ServerMessage: Sendable, Equatable {
    case welcome(Welcome)
    case joined(Joined)
    case left(id: RequestID?, room: RoomName)
    case message(Message)
    case ack(Ack)
    case userJoined(room: RoomName, user: UserName, count: Int)
    case userLeft(room: RoomName, user: UserName, count: Int)
    case count(room: RoomName, count: Int)
    case typing(room: RoomName, user: UserName, active: Bool)
    case signal(room: RoomName, user: UserName, data: RawJSON)
    case members(MembersPage)
    case history(HistoryPage)
    /// What stood between the two positions, both exclusive, is lost; `before` is nil while nothing newer is there.
    case gap(room: RoomName, after: Position, before: Position?)
    /// The log lost what came after `to`.
    case rewind(room: RoomName, to: Position)
    /// `expires` is in seconds since 1970.
    case authenticated(id: RequestID, user: UserName, expires: UInt64)
    /// `expires` is in seconds since 1970.
    case expiring(expires: UInt64)
    /// `time` is in milliseconds since 1970.
    case pong(id: RequestID, time: UInt64)
    /// `after` and `deadline` are in milliseconds from now.
    case reconnect(after: Int, deadline: Int, reason: String)
    /// What an administrator asked for is done on all nodes; so many sessions ended or left a room.
    case moderated(id: RequestID, closed: Int)
    case error(Refusal)
    /// Only when reading: an event that this version does not know and ignores.
    case unknown(type: String)
}

extension ServerMessage {
    /// The most bytes that a frame from a node has.
    package static let maximumLength = 1 << 20
}

/// A node said something that is not in the protocol.
package struct MalformedServerMessage: Error, Sendable, Equatable, CustomStringConvertible {
    /// What is wrong, without any of what the frame says.
    package var reason: String

    package init(reason: String) {
        self.reason = reason
    }

    package var description: String { "malformed event: \(reason)" }
}

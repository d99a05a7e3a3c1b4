/// A session is in a room from now on; answers `join` and each room of `resume`.
package struct Joined: Sendable, Equatable {
    package var id: RequestID?
    package var room: RoomName
    /// The log's head at this moment. The replay is over with the message at it.
    package var position: Position
    /// Only after `since`: whether everything after it follows.
    package var recovered: Bool?
    /// Up to 100 users, the one of this session included; nil for an inbox.
    package var members: [UserName]?
    /// Users in the room on all nodes; nil for an inbox.
    package var count: Int?

    package init(
        id: RequestID?, room: RoomName, position: Position, recovered: Bool? = nil, members: [UserName]? = nil,
        count: Int? = nil
    ) {
        self.id = id
        self.room = room
        self.position = position
        self.recovered = recovered
        self.members = members
        self.count = count
    }
}

/// A message is in the log.
package struct Ack: Sendable, Equatable {
    package var id: RequestID
    package var room: RoomName
    package var position: Position
    /// Milliseconds since 1970, by the store's clock.
    package var time: UInt64
    /// It was there before; position and time are those of the first copy.
    package var isDuplicate: Bool

    package init(id: RequestID, room: RoomName, position: Position, time: UInt64, isDuplicate: Bool = false) {
        self.id = id
        self.room = room
        self.position = position
        self.time = time
        self.isDuplicate = isDuplicate
    }
}

/// Some of the users in a room, sorted by bytes.
package struct MembersPage: Sendable, Equatable {
    package var id: RequestID?
    package var room: RoomName
    package var members: [UserName]
    /// Users in the room on all nodes.
    package var count: Int
    /// There are users after the last of ``members``.
    package var hasMore: Bool

    package init(id: RequestID?, room: RoomName, members: [UserName], count: Int, hasMore: Bool) {
        self.id = id
        self.room = room
        self.members = members
        self.count = count
        self.hasMore = hasMore
    }
}

/// A part of a room's log as a client reads it. A gateway, which has the messages rendered already, builds the same
/// event with ``HistoryWriter``.
package struct HistoryPage: Sendable, Equatable {
    package var id: RequestID?
    package var room: RoomName
    /// Oldest first.
    package var messages: [Message]
    /// The log holds more in the direction asked for.
    package var hasMore: Bool
    /// False when something after the position asked for is no longer in the log; nil where the node said nothing.
    package var recovered: Bool?

    package init(
        id: RequestID?, room: RoomName, messages: [Message], hasMore: Bool, recovered: Bool? = nil
    ) {
        self.id = id
        self.room = room
        self.messages = messages
        self.hasMore = hasMore
        self.recovered = recovered
    }
}

/// A message of a room's log as a client reads it.
package struct Message: Sendable, Equatable {
    package var room: RoomName
    package var position: Position
    /// Milliseconds since 1970, by the store's clock.
    package var time: UInt64
    package var user: UserName
    package var id: RequestID?
    /// In the sender's own inbox: the user that it was sent to.
    package var to: UserName?
    package var text: String?
    package var data: RawJSON?

    package init(
        room: RoomName, position: Position, time: UInt64, user: UserName, id: RequestID? = nil, to: UserName? = nil,
        text: String? = nil, data: RawJSON? = nil
    ) {
        self.room = room
        self.position = position
        self.time = time
        self.user = user
        self.id = id
        self.to = to
        self.text = text
        self.data = data
    }
}

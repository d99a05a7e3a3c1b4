/// A frame that is not done, and why: what an `error` event says.
package struct Refusal: Error, Sendable, Equatable {
    package var code: ErrorCode
    /// For the developer of the client: what is wrong and what to do.
    package var message: String
    /// The frame's `id`, where it could be read.
    package var id: RequestID?
    /// The frame's `room` as sent, where it could be read; not necessarily a room's name.
    package var room: String?
    /// Milliseconds after which trying again makes sense, nil where it does not.
    package var retryAfter: Int?

    package init(
        code: ErrorCode, message: String, id: RequestID? = nil, room: String? = nil, retryAfter: Int? = nil
    ) {
        self.code = code
        self.message = message
        self.id = id
        self.room = room
        self.retryAfter = retryAfter
    }

    /// The refusal of something that was asked about a room.
    package init(
        code: ErrorCode, message: String, id: RequestID?, room: RoomName, retryAfter: Int? = nil
    ) {
        self.init(code: code, message: message, id: id, room: room.text, retryAfter: retryAfter)
    }
}

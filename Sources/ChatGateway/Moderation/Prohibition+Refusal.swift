import ChatHub
import ChatProtocol

extension Refusal {
    /// What a client is told of what a room's rules forbid.
    init(_ prohibition: Prohibition, id: RequestID?, room: RoomName) {
        switch prohibition {
        case .banned: self.init(code: .forbidden, message: "this user is banned from the room", id: id, room: room)
        case .muted: self.init(code: .forbidden, message: "this user may only read in the room", id: id, room: room)
        case .full: self.init(code: .roomFull, message: "the room has no place left", id: id, room: room)
        case .seated: self.init(code: .roomFull, message: "this user has too many sessions", id: id, room: room)
        case .slow(let wait):
            self.init(
                code: .rateLimited, message: "the room is in slow mode: wait before you post again", id: id, room: room,
                retryAfter: wait)
        case .busy(let wait):
            self.init(
                code: .rateLimited, message: "the room has too many messages a second", id: id, room: room,
                retryAfter: wait)
        case .retries(let wait):
            self.init(code: .rateLimited, message: "too many retries", id: id, room: room, retryAfter: wait)
        case .newRooms(let wait):
            self.init(
                code: .rateLimited, message: "too many rooms and inboxes were first written to by this user", id: id,
                room: room, retryAfter: wait)
        }
    }
}

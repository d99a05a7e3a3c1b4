import ChatProtocol

extension ClientMessage {
    /// The client's name for the frame, echoed in its answer.
    var id: RequestID? {
        switch self {
        case .join(let id, _, _), .resume(let id, _, _), .leave(let id, _), .typing(let id, _, _),
            .signal(let id, _, _),
            .members(let id, _, _, _), .history(let id, _, _, _, _), .auth(let id, _), .ping(let id),
            .moderate(let id, _):
            id
        case .message(let post): post.id
        }
    }

    /// The room that the frame is about; nil where it is about none, or several.
    var room: RoomName? {
        switch self {
        case .join(_, let room, _), .leave(_, let room), .typing(_, let room, _), .signal(_, let room, _),
            .members(_, let room, _, _), .history(_, let room, _, _, _):
            room
        case .message(let post): post.room
        case .resume, .auth, .ping, .moderate: nil
        }
    }

    /// Whether only members may send it, but for inboxes.
    var isPost: Bool {
        switch self {
        case .message, .typing, .signal: true
        case .join, .resume, .leave, .members, .history, .auth, .ping, .moderate: false
        }
    }
}

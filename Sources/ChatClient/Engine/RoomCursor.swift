import ChatProtocol

/// What a client has seen of one room. It decides which messages are new, and from where the room is resumed.
struct RoomCursor: Equatable {
    /// What was asked for at the first join: asked for again as long as nothing of it came.
    private let replay: Replay
    /// The node has confirmed the room at least once.
    private(set) var isJoined = false
    /// Everything up to here was delivered or is not wanted; nil while any message is new.
    private(set) var last: Position?
    /// The latest `rewind` that took effect.
    private var rewoundTo: Position?

    init(replay: Replay) {
        self.replay = replay
        if case .since(let position, _) = replay { last = position }
    }

    /// How the room is taken up again on a new connection.
    enum Return: Equatable {
        case resume(since: Position)
        case join(Replay)
    }

    var comeBack: Return {
        guard isJoined, let last else { return .join(replay) }
        return .resume(since: last)
    }

    /// `joined` came, for a first join or a resumption.
    mutating func joined(at head: Position, recovered: Bool?) {
        defer { isJoined = true }
        if let last {
            // Our position is beyond the log's end: the log is another one, and all of it is new.
            if recovered == false, head < last { self.last = .zero }
        } else if !isJoined {
            switch replay {
            case .none, .latest(0): last = head
            case .latest, .since:
                // The replay comes before anything else; an empty log has none.
                if head == .zero { last = .zero }
            }
        }
    }

    /// The user asks for everything after a position, in a room already joined or not.
    mutating func restart(since position: Position) {
        last = position
    }

    /// Whether a message is new. If so, it counts as delivered from now on.
    mutating func accept(_ position: Position) -> Bool {
        if let last, position <= last { return false }
        last = position
        return true
    }

    /// `rewind` came; false when it is the other connection's copy of one that took effect already.
    mutating func rewound(to position: Position) -> Bool {
        guard rewoundTo != position else { return false }
        rewoundTo = position
        last = position
        return true
    }
}

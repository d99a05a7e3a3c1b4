import ChatProtocol

/// What a client has seen of one room. It decides which messages are new, and from where the room is resumed.
struct RoomCursor: Equatable {
    /// What was asked for at the first join: asked for again as long as nothing of it came.
    private let replay: Replay
    /// The node has confirmed the room at least once.
    private(set) var isJoined = false
    /// Everything up to here was delivered or is not wanted; nil while any message is new.
    private(set) var last: Position?
    /// What was reached in a log that ends before it: a `rewind` right after `joined` takes it back.
    private var abandoned: Position?

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
            if recovered == false, head < last {
                abandoned = last
                self.last = .zero
            }
        } else if !isJoined {
            switch replay {
            case .none, .latest(0): last = head
            case .latest, .since:
                // The replay comes before anything else; an empty log has none.
                if head == .zero { last = .zero }
            }
        }
    }

    /// The node has the session in the room, though another replay than this answer's is still to come.
    mutating func confirmed() {
        isJoined = true
    }

    /// The user asks for everything after a position, in a room already joined or not.
    mutating func restart(since position: Position) {
        last = position
    }

    /// Whether a message is new. If so, it counts as delivered from now on.
    mutating func accept(_ position: Position) -> Bool {
        if let last, position <= last { return false }
        last = position
        abandoned = nil
        return true
    }

    /// A message could not be taken and is left in the log, so all before it came or is not wanted: taking up the room
    /// again must not bring more than was asked for.
    mutating func refused(_ position: Position) {
        guard position.seq > 0 else { return }
        let before = Position(epoch: position.epoch, seq: position.seq - 1)
        // The beginning of an epoch is no place in the log: where there is a message to go on from, that is better.
        guard last.map({ before.seq > 0 && $0 < before }) ?? true else { return }
        last = before
    }

    /// `rewind` came; false when nothing was delivered that it takes back.
    mutating func rewound(to position: Position) -> Bool {
        guard (abandoned ?? last).map({ position < $0 }) ?? true else { return false }
        last = position
        abandoned = nil
        return true
    }
}

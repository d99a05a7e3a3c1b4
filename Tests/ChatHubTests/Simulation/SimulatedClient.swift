import ChatProtocol
import NIOCore
import TestSupport

@testable import ChatHub

/// A client of one room that does what the protocol says, keeps what it was sent, and complains about what it should
/// never have been sent.
final class SimulatedClient {
    enum Item: Equatable {
        case message(Position, id: String)
        /// Here it was told that something is missing; also later on, up to the position.
        case loss(String, upTo: Position)
    }

    let user: UserName
    let wantsEcho: Bool
    /// Its history begins after this position; nil where it begins with its first message.
    private(set) var start: Position?
    private(set) var items: [Item] = []
    /// Where it resumes; nil before it has anything.
    private(set) var last: Position?
    private(set) var session: SimulatedSession?
    private(set) var place: (node: Int, loop: Int) = (0, 0)
    private(set) var isJoined = false
    private(set) var rewinds = 0
    /// The head of the room as it was told last.
    private(set) var joinedAt: Position?
    var complain: (String) -> Void = { _ in }
    /// Anything that says what stands at a position.
    var saw: (Position, String) -> Void = { _, _ in }
    /// Messages that it sent and that were not acknowledged yet, oldest first.
    var unacknowledged: [String] = []
    /// A join is under way: nodes handle a session's frames one after the other.
    private(set) var isJoining = false
    private var resumesAfter: Position?
    /// It has asked again on a connection that was live: until it is past this position it may hear things twice.
    private var mayRepeatUpTo: Position?

    init(_ name: String, wantsEcho: Bool = true) {
        user = UserName.of(name)
        self.wantsEcho = wantsEcho
    }

    /// What it has, in words.
    var texts: [String] {
        items.map { item in
            switch item {
            case .message(_, let id): id
            case .loss(let told, _): told
            }
        }
    }

    // MARK: - Connecting

    func connect(node: Int, loop: Int) {
        disconnect()
        place = (node, loop)
        session = SimulatedSession(user: user, wantsEcho: wantsEcho, client: self)
        mayRepeatUpTo = nil
    }

    /// What was under way to it is lost.
    func disconnect() {
        session?.client = nil
        session = nil
        isJoined = false
        isJoining = false
    }

    /// What it joins with: after what it has, or else with so much history.
    func replay(history: Int, limit: Int?) -> Replay {
        resumesAfter = last
        isJoining = true
        if let last { return .since(last, limit: limit) }
        return history == 0 ? .none : .latest(history)
    }

    /// The join failed; it is as before.
    func joinFailed() {
        resumesAfter = nil
        isJoining = false
    }

    // MARK: - Receiving

    func received(_ message: ServerMessage) {
        switch message {
        case .joined(let joined): received(joined)
        case .message(let message): received(message)
        case .gap(_, let after, let before):
            if let before, before <= after { complain("\(user) is told of a gap from \(after) to \(before)") }
            items.append(.loss("gap \(after) \(before.map { "\($0)" } ?? "-")", upTo: before ?? after))
        case .rewind(_, let to):
            rewinds += 1
            items.removeAll { item in
                if case .message(let position, _) = item { return position > to }
                return false
            }
            if let last { self.last = min(last, to) }
            if let start { self.start = min(start, to) }
            if let mayRepeatUpTo { self.mayRepeatUpTo = min(mayRepeatUpTo, to) }
        case .userJoined, .userLeft, .count, .typing: break
        default: complain("\(user) got \(message)")
        }
    }

    private func received(_ joined: Joined) {
        if isJoined { mayRepeatUpTo = last }
        isJoined = true
        isJoining = false
        joinedAt = joined.position
        if let since = resumesAfter {
            resumesAfter = nil
            if joined.recovered != true {
                items.append(.loss("not recovered after \(since)", upTo: joined.position))
                // All that is left comes, be it known or not.
                mayRepeatUpTo = last
            }
        } else if last == nil, items.isEmpty {
            if isFresh || joined.position == .zero {
                start = joined.position
                last = joined.position
            }
        }
    }

    /// It has joined without asking for history.
    var isFresh = false

    private func received(_ message: Message) {
        let id = message.text ?? "?"
        saw(message.position, id)
        if let last, message.position <= last {
            if let mayRepeatUpTo, message.position <= mayRepeatUpTo { return }
            complain("\(user) has \(last) and gets \(id) at \(message.position)")
        }
        items.append(.message(message.position, id: id))
        last = message.position
    }
}

/// A connection of a simulated client: a socket that takes what is written while the schedule says so.
final class SimulatedSession: HubSession {
    let id: SessionID
    let user: UserName
    let wantsEcho: Bool
    weak var client: SimulatedClient?
    var isWritable = true
    /// How much it takes before the schedule must make it writable again.
    var writesLeft = Int.max
    var isAwaitingFlush = false
    private(set) var memberships: RoomTable<Member> = [:]
    var lagging: [RoomName] = []
    /// The node wants it to end.
    private(set) var isEnded = false
    private var written: [ByteBuffer] = []

    init(user: UserName, wantsEcho: Bool, client: SimulatedClient) {
        id = SessionID.random()
        self.user = user
        self.wantsEcho = wantsEcho
        self.client = client
    }

    func member(of room: RoomName) -> Member? { memberships[room] }
    func setMember(_ member: Member?, of room: RoomName) { memberships[room] = member }
    func write(_ frames: ByteBuffer) {
        written.append(frames)
        writesLeft -= 1
        if writesLeft <= 0 { isWritable = false }
    }

    func flush() {
        if isWritable { arrive() }
    }

    func close(_ code: CloseCode, reason: String) { isEnded = true }

    /// What was written reaches the client.
    func arrive() {
        let frames = written
        written = []
        for var frame in frames {
            while let payload = TestSession.nextPayload(&frame) {
                do {
                    client?.received(try ServerMessage.parse(payload))
                } catch {
                    client?.complain("\(user) got a frame that is none: \(error)")
                }
            }
        }
    }
}

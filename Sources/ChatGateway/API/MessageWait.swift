import ChatHub
import ChatProtocol
import NIOCore

/// Waits until something newer than a position is in a room, for a long poll. It is no member to the others. Confined to
/// its loop.
final class MessageWait: HubSession {
    let id = SessionID.random()
    let user: UserName
    let wantsEcho = true
    let isPresent = false
    let isWritable = true
    var isAwaitingFlush = false
    private var member: Member?
    var lagging: [RoomName] = []

    private let room: RoomName
    private let hub: LoopHub
    private let news: EventLoopPromise<Position>
    private var limit: Scheduled<Void>?
    /// What to read after.
    private var position: Position
    private var hasEnded = false

    private init(user: UserName, room: RoomName, position: Position, hub: LoopHub) {
        self.user = user
        self.room = room
        self.hub = hub
        self.position = position
        news = hub.eventLoop.makePromise()
    }

    func member(of room: RoomName) -> Member? { room == self.room ? member : nil }

    func setMember(_ member: Member?, of room: RoomName) { self.member = member }

    /// Waits.
    ///
    /// - Parameter after: nil: the head.
    /// - Returns: the wait, to be ended early, and the position after which there is something to read now, or nothing.
    static func begin(
        user: UserName, room: RoomName, after: Position?, for time: TimeAmount, hub: LoopHub
    ) -> (MessageWait, EventLoopFuture<Position>) {
        let wait = MessageWait(user: user, room: room, position: after ?? .zero, hub: hub)
        let replay: Replay = after.map { .since($0, limit: nil) } ?? .none
        hub.join(room, session: wait, replay: replay) { result in
            switch result {
            case .failure(let error): wait.end(failing: HTTPRefusal(error, room: room))
            case .success(let outcome):
                if after == nil { wait.position = outcome.position }
                if outcome.recovered == false || wait.position < outcome.position { wait.end() }
            }
        }
        wait.limit = hub.eventLoop.assumeIsolated().scheduleTask(in: time) { wait.end() }
        return (wait, wait.news.futureResult)
    }

    func end(failing refusal: HTTPRefusal? = nil) {
        hub.eventLoop.assertInEventLoop()
        guard !hasEnded else { return }
        hasEnded = true
        limit?.cancel()
        hub.leave(room, session: self)
        if let refusal { news.fail(refusal) } else { news.succeed(position) }
    }

    // MARK: HubSession

    func write(_ frames: ByteBuffer) {
        var frames = frames
        while let json = TextFrame.readPayload(from: &frames) {
            let isNews = ["message", "gap", "rewind"].contains {
                json.readableBytesView.starts(with: "{\"type\":\"\($0)\"".utf8)
            }
            guard isNews else { continue }
            // Not within the hub's walk over its members.
            return hub.eventLoop.assumeIsolated().execute { [self] in end() }
        }
    }

    func flush() {}

    /// Later, as the hub may be in the middle of its members. What the log has is read then.
    func close(_ code: CloseCode, reason: String) {
        hub.eventLoop.assumeIsolated().execute { [self] in end() }
    }
}

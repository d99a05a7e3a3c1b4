import ChatClient
import ChatProtocol
import NIOCore

/// One client of a load test: connects, joins its room, sends when told to, and notes what comes. It sees every
/// frame as the node sent it: nothing is repaired here that a test should find.
///
/// Confined to its shard's event loop.
final class VirtualUser: ClientConnectionDelegate {
    enum State: Equatable {
        case away, connecting, joining, ready, finished
    }

    let index: Int
    let room: Int
    let name: UserName
    let roomName: RoomName
    private let address: Int
    /// Keeps the shard as long as a connection lives; ``LoadShard/stop()`` lets go of the users.
    private let shard: LoadShard

    private(set) var state = State.away
    private(set) var node = -1
    var receipts = ReceiverLedger()
    private var wasReady = false
    /// It closes its connection because the node asked for that.
    private var isMoving = false
    private var connection: ClientConnection?
    private var attempts = 0
    private var backoff = Backoff()
    /// Sent again on the next connection.
    private var unanswered = UnansweredMessages()
    /// The latest message that went out; see ``LoadShard/mayStandLater(_:of:)``.
    private var lastSent = -1
    private(set) var lastFailure: String?
    /// It cannot be helped.
    private(set) var hasGivenUp = false

    init(index: Int, room: Int, name: UserName, roomName: RoomName, address: Int, shard: LoadShard) {
        self.index = index
        self.room = room
        self.name = name
        self.roomName = roomName
        self.address = address
        self.shard = shard
    }

    // MARK: - Connecting

    func connect() {
        guard state == .away, !hasGivenUp else { return }
        state = .connecting
        // The own node first; when it is away, the others in turn.
        let target = shard.plan.addresses[(address + attempts) % shard.plan.addresses.count]
        attempts += 1
        var options = shard.options
        options.user = name
        options.token = shard.plan.token?(name.text)
        connection = .connect(to: target, options: options, on: shard.eventLoop, delegate: self)
    }

    func finish() {
        state = .finished
        connection?.close()
    }

    func opened(_ connection: ClientConnection) {}

    func becameWritable(_ connection: ClientConnection) {}

    func receivedAllForNow(on connection: ClientConnection) {}

    func closed(_ connection: ClientConnection, _ ending: ConnectionEnding) {
        self.connection = nil
        unanswered.connectionLost()
        guard state != .finished else { return }
        if isMoving {
            shard.tally.counts.moved += 1
        } else if wasReady, state == .ready || state == .joining {
            shard.tally.counts.lostConnections += 1
        }
        isMoving = false
        if state == .ready { shard.left(self) }
        state = .away
        lastFailure = "\(ending)"
        switch ending.verdict {
        case .giveUp:
            hasGivenUp = true
            shard.gaveUp(self)
        case .retry(let earliest):
            let wait = (earliest ?? .zero) + TimeAmount(backoff.failed())
            let bound = NIOLoopBound(self, eventLoop: shard.eventLoop)
            shard.eventLoop.scheduleTask(in: wait) { bound.value.connect() }
        }
    }

    // MARK: - Receiving

    func received(_ text: ByteBuffer, on connection: ClientConnection) {
        if let found = shard.scanner.scan(text) {
            if let marker = found.marker { received(marker, at: found.position) }
            return
        }
        do {
            try handle(ServerMessage.parse(text), on: connection)
        } catch {
            connection.fail(.violated("\(error)"))
        }
    }

    private func handle(_ message: ServerMessage, on connection: ClientConnection) throws {
        switch message {
        case .welcome(let welcome):
            connection.heartbeatIs(.seconds(Int64(min(max(welcome.heartbeat, 1), 3600))))
            node = shard.number(ofNode: welcome.node)
            state = .joining
            let replay: Replay = wasReady ? .since(receipts.last, limit: nil) : .none
            connection.send(.join(id: RequestID("join"), room: roomName, replay: replay))
        case .joined(let joined) where joined.room == roomName:
            joinedRoom(joined)
        case .message(let message):
            guard message.room == roomName, let marker = shard.scanner.marker(inText: message.text ?? "") else {
                return
            }
            received(marker, at: message.position)
        case .ack(let ack):
            guard let number = shard.number(of: ack.id), let marker = unanswered.remove(number) else { return }
            shard.acknowledged(marker, at: ack.position, by: self)
        case .error(let refusal):
            refused(refusal, on: connection)
        case .gap, .rewind:
            shard.tally.counts.toldLosses += 1
        case .reconnect(let after, _, _):
            moveOn(connection, after: .milliseconds(Int64(min(max(after, 0), 3_600_000))))
        case .joined, .left, .userJoined, .userLeft, .count, .typing, .signal, .members, .history, .authenticated,
            .expiring, .pong, .unknown:
            break
        }
    }

    private func joinedRoom(_ joined: Joined) {
        guard state == .joining else { return }
        if joined.recovered == false { shard.tally.counts.toldLosses += 1 }
        if !wasReady { receipts.joined(at: joined.position) }
        backoff.succeeded()
        state = .ready
        wasReady = true
        shard.ready(self)
        postAll()
        connection?.flush()
    }

    private func received(_ marker: Marker, at position: Position) {
        // Before `joined` a message comes again in the replay that follows it.
        guard state == .ready else { return }
        shard.delivered(marker, at: position, to: self)
    }

    private func refused(_ refusal: Refusal, on connection: ClientConnection) {
        guard let id = refusal.id, let number = shard.number(of: id), let marker = unanswered.marker(number) else {
            shard.refused(self, refusal)
            if state == .joining { connection.fail(.violated("a refused join: \(refusal.code.rawValue)")) }
            return
        }
        if refusal.code == .unavailable {
            // Not known whether it is stored: asked again, as every client does.
            let wait = TimeAmount.milliseconds(Int64(min(max(refusal.retryAfter ?? 500, 50), 10_000)))
            if number < lastSent { shard.mayStandLater(number, of: self) }
            if !unanswered.isHeldBack { goOn(connection, after: wait) }
            unanswered.postpone(number)
        } else {
            _ = unanswered.remove(number)
            shard.refused(marker, by: self, refusal)
        }
    }

    private func goOn(_ connection: ClientConnection, after wait: TimeAmount) {
        let bound = NIOLoopBound((self, connection), eventLoop: shard.eventLoop)
        shard.eventLoop.scheduleTask(in: wait) {
            let (user, connection) = bound.value
            guard user.connection === connection, user.state == .ready else { return }
            user.unanswered.goOn()
            user.postAll()
            connection.flush()
        }
    }

    /// The node drains: on the next connection the room is taken up after the last message received.
    private func moveOn(_ connection: ClientConnection, after delay: TimeAmount) {
        let bound = NIOLoopBound((self, connection), eventLoop: shard.eventLoop)
        shard.eventLoop.scheduleTask(in: delay) {
            let (user, connection) = bound.value
            guard user.connection === connection, user.state != .finished else { return }
            user.isMoving = true
            connection.close()
        }
    }

    // MARK: - Sending

    var isReady: Bool { state == .ready }
    var hasUnanswered: Bool { !unanswered.isEmpty }

    /// A message is due. Away from any node it waits for the next one; its latency counts from now all the same.
    func send(_ marker: Marker) {
        unanswered.add(marker)
        if state == .ready { postAll() }
    }

    func flush() {
        connection?.flush()
    }

    /// Everything that may go out now, in order.
    private func postAll() {
        while let next = unanswered.next() {
            if next.isRetry { shard.tally.counts.retried += 1 }
            lastSent = max(lastSent, next.marker.number)
            let text = next.marker.text(run: shard.plan.run, length: shard.plan.payload)
            connection?.send(
                .message(
                    Post(
                        id: shard.id(of: next.marker), room: roomName, content: Content(string: text),
                        isRetry: next.isRetry)))
        }
    }
}

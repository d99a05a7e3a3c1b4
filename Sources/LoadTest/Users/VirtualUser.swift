import ChatClient
import ChatProtocol
import NIOCore

/// One client of a load test: connects, joins its rooms, sends when told to, and notes what comes. It sees every
/// frame as the node sent it: nothing is repaired here that a test should find.
///
/// Confined to its shard's event loop.
final class VirtualUser: ClientConnectionDelegate {
    enum State: Equatable {
        case away, connecting, joining, ready, finished
    }

    struct Membership {
        /// The number of the room in the run, and among the rooms of the shard.
        let room: Int
        let local: Int
        let name: RoomName
        var receipts = ReceiverLedger()
        /// On any connection so far, and on the one that stands.
        var wasIn = false
        var isIn = false
        /// The latest message that went out; see ``LoadShard/mayStandLater(_:in:)``.
        var lastSent = -1
    }

    let index: Int
    let name: UserName
    /// It stops reading now and then.
    let isSlow: Bool
    private let address: Int
    /// Keeps the shard as long as a connection lives; ``LoadShard/stop()`` lets go of the users.
    private let shard: LoadShard

    private(set) var state = State.away
    private(set) var node = -1
    var memberships: [Membership] = []
    private var joinedCount = 0
    private var wasReady = false
    /// It closes its connection because the node asked for that.
    private var isMoving = false
    /// It closes its connection because the test wants it to lose it.
    private var isCut = false
    /// It stays away until the others were told that it left.
    private(set) var isGhost = false
    /// What was due before, on the clock of the markers, was late because the test wanted it so.
    private(set) var awayUntil: UInt64 = 0
    private var connection: ClientConnection?
    private var source: SocketAddress?
    private var attempts = 0
    private var backoff = Backoff()
    /// Sent again on the next connection.
    private var unanswered = UnansweredMessages()
    private(set) var lastFailure: String?
    /// It cannot be helped.
    private(set) var hasGivenUp = false

    init(index: Int, name: UserName, isSlow: Bool, address: Int, shard: LoadShard) {
        self.index = index
        self.name = name
        self.isSlow = isSlow
        self.address = address
        self.shard = shard
    }

    // MARK: - Connecting

    func connect() {
        guard state == .away, !hasGivenUp, !isGhost else { return }
        state = .connecting
        // The own node first; when it is away, the others in turn.
        let target = shard.plan.addresses[(address + attempts) % shard.plan.addresses.count]
        var options = shard.options
        options.user = name
        options.token = shard.plan.token?(name.text)
        source = shard.sources.next(to: target)
        options.localAddress = source
        if isSlow { options.receiveBuffer = Self.slowReceiveBuffer }
        connection = .connect(to: target, options: options, on: shard.eventLoop, delegate: self)
    }

    /// Little, so that a stall is felt by the node before TCP has taken megabytes.
    private static let slowReceiveBuffer = 16 * 1024

    func finish() {
        state = .finished
        connection?.close()
    }

    /// Loses the connection without a goodbye, as a train into a tunnel.
    func cut() {
        guard state == .ready, let connection else { return }
        isCut = true
        shard.tally.counts.cut += 1
        connection.fail(.lost("cut by the test"))
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
        } else if state == .ready {
            if !isCut { shard.tally.counts.lostConnections += 1 }
        } else {
            shard.tally.counts.failedConnects += 1
        }
        isMoving = false
        isCut = false
        if state == .ready { shard.left(self) }
        state = .away
        for membership in memberships.indices { memberships[membership].isIn = false }
        joinedCount = 0
        lastFailure = "\(ending)"
        if ending == .noLocalPort, shard.sources.exhausted(source, to: connection.address) {
            return later(.zero) { $0.connect() }
        }
        attempts += 1
        switch ending.verdict {
        case .giveUp:
            hasGivenUp = true
            shard.gaveUp(self)
        case .retry(let earliest):
            later((earliest ?? .zero) + TimeAmount(backoff.failed())) { $0.connect() }
        }
    }

    private func later(_ delay: TimeAmount, _ body: @escaping (VirtualUser) -> Void) {
        let bound = NIOLoopBound((user: self, body: body), eventLoop: shard.eventLoop)
        shard.eventLoop.scheduleTask(in: delay) { bound.value.body(bound.value.user) }
    }

    // MARK: - Receiving

    func received(_ text: ByteBuffer, on connection: ClientConnection) {
        switch shard.scanner.scan(text) {
        case .message(let position, let marker):
            if let marker { received(marker, at: position) }
        case .acknowledgement(let room, let number, let position):
            acknowledged(room, number, at: position)
        case .presence:
            if shard.hasGhosts { parse(text, on: connection) }
        case nil:
            parse(text, on: connection)
        }
    }

    private func parse(_ text: ByteBuffer, on connection: ClientConnection) {
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
            join(on: connection)
        case .joined(let joined):
            if let membership = membership(of: joined.room) { joinedRoom(joined, membership) }
        case .message(let message):
            guard let marker = shard.scanner.marker(inText: message.text ?? "") else { return }
            received(marker, at: message.position)
        case .ack(let ack):
            if let (room, number) = shard.message(of: ack.id) { acknowledged(room, number, at: ack.position) }
        case .error(let refusal):
            refused(refusal, on: connection)
        case .gap(let room, let after, let before):
            guard let membership = membership(of: room) else { return }
            shard.tally.counts.gaps += 1
            memberships[membership].receipts.lost(after: after, before: before)
            shard.lost(in: memberships[membership].local, after: after, before: before)
        case .rewind(let room, let position):
            guard let membership = membership(of: room) else { return }
            shard.tally.counts.rewinds += 1
            let local = memberships[membership].local
            memberships[membership].receipts.rewound(
                to: position, positions: shard.rooms[local].entries.lazy.map(\.position))
            shard.rooms[local].rewound(to: position)
        case .userLeft(let room, let user, _):
            if let membership = membership(of: room) {
                shard.ghosts.left(user, from: memberships[membership].local, toldTo: index, at: .now())
            }
        case .reconnect(let after, _, _):
            moveOn(connection, after: .milliseconds(Int64(min(max(after, 0), 3_600_000))))
        case .left, .userJoined, .count, .typing, .signal, .members, .history, .authenticated, .expiring, .pong,
            .moderated, .unknown:
            break
        }
    }

    private func membership(of room: RoomName) -> Int? {
        memberships.firstIndex { $0.name == room }
    }

    private func received(_ marker: Marker, at position: Position) {
        guard let membership = memberships.firstIndex(where: { $0.room == marker.room }) else {
            return shard.strayed(marker, at: position, to: self)
        }
        // Before `joined` a message comes again in the replay that follows it.
        guard memberships[membership].isIn else { return }
        shard.delivered(marker, at: position, to: self, membership)
    }

    private func acknowledged(_ room: Int, _ number: Int, at position: Position) {
        guard let marker = unanswered.remove(number, in: room) else { return }
        shard.acknowledged(marker, at: position, by: self)
    }

    // MARK: - Rooms

    /// How many rooms go into one frame, so that it stays far below what nodes take.
    private static let roomsPerFrame = 100

    private func join(on connection: ClientConnection) {
        guard !memberships.isEmpty else { return becameReady() }
        for membership in memberships where !membership.wasIn {
            connection.send(.join(id: RequestID("join"), room: membership.name, replay: .none))
        }
        let known = memberships.filter(\.wasIn).map { Resumption(room: $0.name, since: $0.receipts.last) }
        for start in stride(from: 0, to: known.count, by: Self.roomsPerFrame) {
            let some = Array(known[start..<min(start + Self.roomsPerFrame, known.count)])
            connection.send(.resume(id: RequestID("join"), rooms: some, refused: []))
        }
    }

    private func joinedRoom(_ joined: Joined, _ membership: Int) {
        guard state == .joining, !memberships[membership].isIn else { return }
        if joined.recovered != nil { shard.tally.counts.resumes += 1 }
        if joined.recovered == true { shard.tally.counts.recovered += 1 }
        if joined.recovered == false {
            // What follows is all that is left up to the head.
            let after = memberships[membership].receipts.last
            let before = Position(epoch: joined.position.epoch, seq: joined.position.seq &+ 1)
            memberships[membership].receipts.lost(after: after, before: before)
            shard.lost(in: memberships[membership].local, after: after, before: before)
        }
        if !memberships[membership].wasIn { memberships[membership].receipts.joined(at: joined.position) }
        memberships[membership].wasIn = true
        memberships[membership].isIn = true
        if shard.hasGhosts, let members = joined.members, members.count < Self.listedMembers {
            shard.ghosts.joined(memberships[membership].local, by: index, members: members, at: .now())
        }
        joinedCount += 1
        if joinedCount == memberships.count { becameReady() }
    }

    /// `joined` lists no more.
    private static let listedMembers = 100

    private func becameReady() {
        backoff.succeeded()
        state = .ready
        wasReady = true
        shard.ready(self)
        postAll()
        connection?.flush()
    }

    private func refused(_ refusal: Refusal, on connection: ClientConnection) {
        guard let id = refusal.id, let (room, number) = shard.message(of: id),
            unanswered.marker(number, in: room) != nil
        else {
            // Redis is away: another node, or later.
            if refusal.code == .unavailable, state == .joining {
                return connection.fail(.lost("no room could be joined"))
            }
            shard.refused(self, refusal)
            if state == .joining { connection.fail(.violated("a refused join: \(refusal.code.rawValue)")) }
            return
        }
        if refusal.code == .unavailable {
            // Not known whether it is stored: asked again, as every client does.
            let wait = TimeAmount.milliseconds(Int64(min(max(refusal.retryAfter ?? 500, 50), 10_000)))
            if let membership = memberships.first(where: { $0.room == room }), number < membership.lastSent {
                shard.mayStandLater(number, in: membership.local)
            }
            if !unanswered.isHeldBack { goOn(connection, after: wait) }
            unanswered.postpone(number, in: room)
        } else if let marker = unanswered.remove(number, in: room) {
            shard.refused(marker, by: self, refusal)
        }
    }

    private func goOn(_ connection: ClientConnection, after wait: TimeAmount) {
        later(wait) { user in
            guard user.connection === connection, user.state == .ready else { return }
            user.unanswered.goOn()
            user.postAll()
            connection.flush()
        }
    }

    /// The node drains: on the next connection the rooms are taken up after the last message received.
    private func moveOn(_ connection: ClientConnection, after delay: TimeAmount) {
        later(delay) { user in
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
            let (room, number) = (next.marker.room, next.marker.number)
            guard let membership = memberships.firstIndex(where: { $0.room == room }) else { continue }
            if next.isRetry { shard.tally.counts.retried += 1 }
            memberships[membership].lastSent = max(memberships[membership].lastSent, number)
            shard.rooms[memberships[membership].local].goes(number, to: node)
            let text = next.marker.text(
                run: shard.plan.run, length: shard.plan.length(ofMessage: number, in: room))
            connection?.send(
                .message(
                    Post(
                        id: shard.id(of: next.marker), room: memberships[membership].name,
                        content: Content(string: text), isRetry: next.isRetry)))
        }
    }

    // MARK: - Misbehaving on purpose

    /// Reads nothing, or goes on.
    func stall(_ stalls: Bool) {
        stalls ? connection?.pause() : connection?.resume()
    }

    /// Stays away once its connection is lost, or until it may come back.
    func haunt(_ isGhost: Bool) {
        self.isGhost = isGhost
        guard !isGhost else { return }
        awayUntil = NIODeadline.now().uptimeNanoseconds
        connect()
    }
}

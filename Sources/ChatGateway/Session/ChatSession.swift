import ChatHub
import ChatProtocol
import Logging
import NIOCore

/// One client's connection: turns its frames into what the hub and the broker do, and their answers into frames.
///
/// Confined to its connection's event loop.
final class ChatSession: WebSocketSession, HubSession {
    /// What the sessions of one loop share.
    final class Environment {
        let node: String
        let hub: LoopHub
        let registry: SessionRegistry
        let limits: StateMachine.Limits
        let maxMessageBytes: Int
        /// Seconds between pings, for `welcome`.
        let heartbeat: Int
        /// How long a session that was lost still counts as present.
        let presenceGrace: TimeAmount
        /// Milliseconds since 1970.
        let clock: @Sendable () -> UInt64
        let logger: Logger
        /// Nil where the node runs without authentication.
        let authenticator: Authenticator?
        let moderator: Moderator?
        let userRates: UserRates
        let posting: Posting
        let maxJSONDepth: Int

        init(
            node: String, hub: LoopHub, registry: SessionRegistry, limits: StateMachine.Limits, maxMessageBytes: Int,
            heartbeat: Int, presenceGrace: TimeAmount, clock: @escaping @Sendable () -> UInt64, logger: Logger,
            authenticator: Authenticator? = nil, moderator: Moderator? = nil,
            userRates: UserRates = UserRates(), maxJSONDepth: Int = JSONScanner.maximumDepth
        ) {
            self.node = node
            self.hub = hub
            self.registry = registry
            self.limits = limits
            self.maxMessageBytes = maxMessageBytes
            self.heartbeat = heartbeat
            self.presenceGrace = presenceGrace
            self.clock = clock
            self.logger = logger
            self.authenticator = authenticator
            self.moderator = moderator
            self.userRates = userRates
            posting = Posting(
                hub: hub, registry: registry,
                retryToll: RetryToll(rates: userRates.retries, eventLoop: hub.eventLoop),
                newRooms: userRates.newRooms)
            self.maxJSONDepth = maxJSONDepth
        }
    }

    let id = SessionID.random()
    let openedAt = NIODeadline.now()
    var lagging: [RoomName] = []
    private let environment: Environment
    /// Given back when it has ended, or was given up before it began.
    private let place: FrontDoor.Place
    private var state: StateMachine
    private var expiry: Expiry?
    private var connection: WebSocketConnection?
    /// Where it stands in the registry.
    var registryIndex = 0
    private var reads = ReadQueue()
    let wantsEcho: Bool
    var isAwaitingFlush = false
    /// The node has closed it.
    private(set) var hasEnded = false

    init(identity: Identity, wantsEcho: Bool, environment: Environment, place: FrontDoor.Place) {
        self.place = place
        self.wantsEcho = wantsEcho
        self.environment = environment
        state = StateMachine(identity: identity, limits: environment.limits, at: .now())
        expiry = Expiry(of: identity, now: environment.clock())
    }

    var identity: Identity { state.identity }
    var user: UserName { state.identity.user }
    private var hub: LoopHub { environment.hub }

    // MARK: - HubSession

    var takesSeat: Bool { environment.limits.sessionsPerUser > 0 }

    func member(of room: RoomName) -> Member? { state.member(of: room) }

    func setMember(_ member: Member?, of room: RoomName) { state.setMember(member, of: room) }

    var isWritable: Bool { connection?.isWritable ?? false }

    var takesCompressedFrames: Bool { connection?.takesCompressedFrames ?? false }

    func write(_ frames: ByteBuffer) {
        connection?.send(frames: frames)
    }

    func flush() {
        connection?.flush()
    }

    // MARK: - WebSocketSession

    func opened(_ connection: WebSocketConnection) {
        self.connection = connection
        environment.registry.add(self)
        environment.logger.debug(
            "A session opened",
            metadata: ["session": "\(id)", "user": "\(user)", "peer": "\(connection.peerAddress)"])
        send(
            .welcome(
                Welcome(
                    session: "\(id)", user: user, node: environment.node, heartbeat: environment.heartbeat,
                    maxMessageBytes: environment.maxMessageBytes,
                    limits: .init(
                        rooms: environment.limits.rooms, messagesPerSecond: environment.limits.messagesPerSecond,
                        history: ClientMessage.historyLimits.upperBound))))
        perform(state.opened())
        watchLife()
        // What was ordered since the handshake did not find this session.
        if let verdict = environment.moderator?.sanctions.verdict(on: user, with: identity.token) {
            close(.policyViolation, reason: verdict.closeReason)
        }
    }

    func received(_ text: ByteBuffer) {
        environment.registry.metrics.framesIn += 1
        guard text.readableBytes <= environment.maxMessageBytes else {
            return refuse(ClientMessage.tooLarge(text, limit: environment.maxMessageBytes))
        }
        let parsed = ClientMessage.parse(text, maximumDepth: environment.maxJSONDepth)
        switch consume parsed {
        case .failure(let refusal): refuse(refusal)
        case .success(let message): take(message)
        }
    }

    private func take(_ message: consuming ClientMessage) {
        guard case .resume(let id, let rooms, let refused) = message else {
            return perform(state.received(message, at: .now()))
        }
        refused.forEach(refuse)
        for room in rooms {
            perform(state.received(.join(id: id, room: room.room, replay: .since(room.since, limit: nil)), at: .now()))
        }
    }

    func receivedBinary(_ bytes: ByteBuffer) {
        connection?.close(.unsupportedData, reason: "only text frames are spoken here")
    }

    func receivedAllForNow() {}

    func paced() { environment.registry.metrics.pacedReads += 1 }

    func writabilityChanged(to isWritable: Bool) {
        if isWritable { hub.writable(self) }
    }

    func closed(_ ending: Ending) {
        place.leave()
        guard connection != nil else { return }
        connection = nil
        expiry?.check?.cancel()
        environment.registry.remove(self)
        if case .byNode(let code) = ending { environment.registry.metrics.closings[code, default: 0] += 1 }
        let grace: TimeAmount =
            if case .byPeer = ending { .zero } else { environment.presenceGrace }
        // Who comes back needs the seat; nobody is told of it.
        for room in state.roomsOfMembers { hub.leave(room, session: self, grace: room.isInbox ? .zero : grace) }
        environment.logger.debug(
            "A session ended", metadata: ["session": "\(id)", "user": "\(user)", "how": "\(ending)"])
    }

    /// Ends the session from the node's side.
    func close(_ code: CloseCode, reason: String) {
        hasEnded = true
        connection?.close(code, reason: reason)
    }

    // MARK: - Actions

    private func perform(_ action: consuming StateMachine.Action) {
        switch action {
        case .none: break
        case .join(let id, let room, let replay): join(room, replay, id: id)
        case .leave(let id, let room):
            hub.leave(room, session: self)
            send(.left(id: id, room: room))
        case .post(let post): self.post(post)
        case .announceTyping(let room, let isActive):
            if let refusal = muteRefusal(in: room) { return refuse(refusal) }
            announce(.typing(room: room, user: user, active: isActive), in: room)
        case .announceSignal(let room, let data):
            if let refusal = muteRefusal(in: room) { return refuse(refusal) }
            announce(.signal(room: room, user: user, data: data), in: room)
        case .listMembers(let id, let room, let limit, let after):
            if let refusal = banRefusal(in: room, id: id) { return refuse(refusal) }
            listMembers(of: room, id: id, limit: limit, after: after)
        case .readHistory(let id, let room, let before, let after, let limit):
            if let refusal = banRefusal(in: room, id: id) { return refuse(refusal) }
            readHistory(of: room, id: id, before: before, after: after, limit: limit)
        case .authenticate(let id, let token): authenticate(token, id: id)
        case .pong(let id):
            if let id { send(.pong(id: id, time: environment.clock())) }
        case .moderate(let id, let moderation): moderate(moderation, id: id)
        case .refuse(let refusal): refuse(refusal)
        }
    }

    private func join(_ room: RoomName, _ replay: Replay, id: RequestID?) {
        let wasMember = member(of: room) != nil
        hub.join(room, session: self, replay: replay) { [self] result in
            guard connection != nil else { return }
            switch result {
            case .success where !state.mayRead(room):
                // A fresh token allows less than the one that the join began with.
                hub.leave(room, session: self)
                refuse(state.readingForbidden(room, id: id))
                return giveUpJoin(of: room)
            case .success(let outcome):
                send(
                    .joined(
                        Joined(
                            id: id, room: room, position: outcome.position, recovered: outcome.recovered,
                            members: outcome.roster?.members, count: outcome.roster?.count)))
            case .failure(let error) where error.code == .forbidden(.seated):
                closeUnseated()
            case .failure where id == nil && room.isInbox && !wasMember:
                joinInboxAgain(room)
            case .failure(let error):
                refuse(refusal(of: error, id: id, room: room))
            }
            // What waited for this follows what the join itself writes now.
            hub.eventLoop.assumeIsolated().execute { [self] in
                finishJoin(of: room, result.map { _ in }, wasMember: wasMember)
            }
        }
    }

    private func giveUpJoin(of room: RoomName) {
        for message in state.joinFinished(room, succeeded: false, wasMember: false) { perform(state.handle(message)) }
    }

    /// The user has as many sessions on all nodes as may be. One of them may be about to go, so the client may try again.
    private func closeUnseated() {
        close(.overloaded, reason: "this user has too many sessions")
    }

    /// The session's own inbox could not be joined: nobody asked for it, so nobody but us asks again.
    private func joinInboxAgain(_ inbox: RoomName) {
        hub.eventLoop.assumeIsolated().scheduleTask(in: .seconds(1)) { [self] in
            if connection != nil, member(of: inbox) == nil { join(inbox, .none, id: nil) }
        }
    }

    private func finishJoin(of room: RoomName, _ result: Result<Void, BrokerError>, wasMember: Bool) {
        // A session that closed meanwhile has left its rooms: whatever it still wanted would make a member that never goes.
        guard connection != nil else { return }
        var failure: BrokerError?
        if case .failure(let error) = result, !wasMember { failure = error }
        for message in state.joinFinished(room, succeeded: failure == nil, wasMember: wasMember) {
            if case .join = message { failure = nil }
            if let failure, message.isPost {
                // Not the sender's fault, and not for good: `not_joined` would say both.
                refuse(refusal(of: failure, id: message.id, room: room))
            } else {
                perform(state.handle(message))
            }
        }
    }

    // MARK: - Identity

    private func authenticate(_ token: String, id: RequestID?) {
        guard let authenticator = environment.authenticator else { return }
        switch authenticator.identify(token, now: environment.clock()) {
        case .failure:
            refuse(Refusal(code: .unauthorized, message: "this token is not valid", id: id))
        case .success(let identity):
            switch state.renewed(identity) {
            case .anotherUser:
                refuse(Refusal(code: .forbidden, message: "the token is another user's", id: id))
            case .renewed(let lost):
                expiry?.check?.cancel()
                expiry = Expiry(of: identity, now: environment.clock())
                if let id { send(.authenticated(id: id, user: user, expires: identity.expires ?? 0)) }
                for room in lost {
                    hub.leave(room, session: self)
                    refuse(state.readingForbidden(room, id: nil))
                }
                watchLife()
            }
        }
    }

    /// That of the token, for a session that does not last for ever.
    private final class Expiry {
        var life: TokenLife
        var check: Scheduled<Void>?

        init?(of identity: Identity, now: UInt64) {
            guard let life = TokenLife(of: identity, now: now) else { return nil }
            self.life = life
        }
    }

    /// Warns of the token's end, ends the session at it, and looks again in between.
    private func watchLife() {
        guard let expiry else { return }
        expiry.check?.cancel()
        while connection != nil {
            let step = expiry.life.next(now: environment.clock())
            switch step {
            case .wait(let milliseconds):
                // At least one, as a clock that is ahead by less would be asked again and again.
                expiry.check = hub.eventLoop.assumeIsolated().scheduleTask(
                    in: .milliseconds(Int64(max(1, milliseconds)))
                ) { [weak self] in self?.watchLife() }
                return
            case .warn(let expires):
                send(.expiring(expires: expires))
            case .end:
                return close(.policyViolation, reason: "the token has expired")
            }
        }
    }

    // MARK: - Moderation

    private func moderate(_ moderation: Moderation, id: RequestID?) {
        guard let moderator = environment.moderator else { return }
        moderator.perform(moderation, now: environment.clock()).hop(to: hub.eventLoop).assumeIsolated().whenComplete {
            [self] result in
            switch result {
            case .success(let outcome): if let id { send(.moderated(id: id, closed: outcome.affected)) }
            case .failure:
                environment.registry.metrics.unavailable += 1
                refuse(
                    Refusal(
                        code: .unavailable, message: "the store cannot be reached, try again", id: id,
                        room: moderation.room?.text, retryAfter: 1000))
            }
        }
    }

    /// A moderator takes the session out of a room.
    func leave(_ room: RoomName, because refusal: Refusal) -> Bool {
        guard member(of: room) != nil else { return false }
        if room.isInbox {
            closeUnseated()
            return true
        }
        // A join that is under way fails by it.
        hub.leave(room, session: self)
        guard state.removed(from: room) else { return true }
        refuse(refusal)
        send(.left(id: nil, room: room))
        return true
    }

    /// What is not stored is judged here, not by the store.
    private func muteRefusal(in room: RoomName) -> Refusal? {
        environment.moderator?.sanctions.isMuted(user, in: room) == true ? Refusal(.muted, id: nil, room: room) : nil
    }

    private func banRefusal(in room: RoomName, id: RequestID?) -> Refusal? {
        environment.moderator?.sanctions.isExcluded(user, from: room) == true
            ? Refusal(.banned, id: id, room: room) : nil
    }

    // MARK: - Messages

    private func post(_ post: consuming Post) {
        let (id, room) = (post.id, post.room)
        environment.posting.post(post, from: user, exceptFor: wantsEcho ? nil : self.id) { [self] in
            answer(id, room, with: $0)
        }
    }

    private func answer(_ id: RequestID?, _ room: RoomName, with result: Result<Receipt, BrokerError>) {
        switch result {
        case .success(let receipt):
            guard let id else { return }
            send(
                .ack(
                    Ack(
                        id: id, room: room, position: receipt.position, time: receipt.time,
                        isDuplicate: receipt.isDuplicate)))
        case .failure(let error):
            refuse(refusal(of: error, id: id, room: room))
        }
    }

    private func announce(_ event: ServerMessage, in room: RoomName) {
        var json = ByteBuffer()
        event.write(into: &json)
        hub.commands.announce(json, from: id, in: room)
    }

    private func listMembers(of room: RoomName, id: RequestID?, limit: Int, after: UserName?) {
        guard let id else { return }
        whenReadsAllow(id, room, count: limit) { [self] in
            hub.commands.members(of: room, after: after, limit: limit)
        } then: { [self] result in
            switch result {
            case .success(let roster):
                environment.userRates.charge(user, for: roster, asked: limit, at: hub.eventLoop.now)
                send(
                    .members(
                        MembersPage(
                            id: id, room: room, members: roster.members, count: roster.count, hasMore: roster.hasMore)))
            case .failure(let error):
                refuse(refusal(of: BrokerError(any: error), id: id, room: room))
            }
        }
    }

    private func readHistory(of room: RoomName, id: RequestID?, before: Position?, after: Position?, limit: Int) {
        guard let id else { return }
        whenReadsAllow(id, room, count: limit) { [self] in
            hub.commands.read(
                SlicedRead(after.map { .after($0, limit: limit) } ?? .latest(before: before, limit: limit)),
                of: room, on: hub.eventLoop)
        } then: { [self] result in
            switch result {
            case .success(let slice):
                sendText(slice.page(of: room, id: id, isForward: after != nil))
            case .failure(let error):
                refuse(refusal(of: BrokerError(any: error), id: id, room: room))
            }
        }
    }

    /// Reads what may be large, when the user's rate and the session's ``ReadQueue`` allow.
    private func whenReadsAllow<Answer: Sendable>(
        _ id: RequestID, _ room: RoomName, count: Int, read: @escaping () -> EventLoopFuture<Answer>,
        then answer: @escaping (Result<Answer, any Error>) -> Void
    ) {
        if let wait = environment.userRates.reads.take(count, of: user.text, at: hub.eventLoop.now) {
            return refuse(UserRates.tooManyReads(wait: wait, id: id, room: room))
        }
        let start = { [self] in
            read().assumeIsolated().whenComplete { [self] result in
                if connection == nil { reads.forget() } else { answer(result) }
                reads.ended()?()
            }
        }
        switch reads.add(start) {
        case .begins: start()
        case .waits: break
        case .refused:
            refuse(
                Refusal(
                    code: .rateLimited, message: "too many requests are under way: wait for their answers", id: id,
                    room: room, retryAfter: 1000))
        }
    }

    private func refusal(of error: BrokerError, id: RequestID?, room: RoomName) -> Refusal {
        switch error.code {
        case .forbidden(let prohibition): return Refusal(prohibition, id: id, room: room)
        case .unavailable:
            environment.registry.metrics.unavailable += 1
            return Refusal(
                code: .unavailable, message: "the store cannot be reached, try again", id: id, room: room,
                retryAfter: 1000)
        case .malformed:
            environment.logger.error("The store answered nonsense", metadata: ["room": "\(room)", "error": "\(error)"])
            return Refusal(code: .internal, message: "something is wrong on this node", id: id, room: room)
        }
    }

    // MARK: - Answers

    func send(_ message: ServerMessage) {
        var json = ByteBuffer()
        // About what an `ack` takes.
        json.reserveCapacity(256)
        message.write(into: &json)
        sendText(json)
    }

    private func refuse(_ refusal: Refusal) {
        environment.registry.metrics.refusals[refusal.code, default: 0] += 1
        send(.error(refusal))
    }

    private func sendText(_ json: ByteBuffer) {
        guard let connection else { return }
        hub.send(connection.frame(text: json), to: self)
    }
}

import ChatProtocol
import NIOCore

/// Performs what ``StateMachine``, ``Outbox`` and ``RoomCursor`` decide.
///
/// Confined to its event loop, which every entry asserts.
final class ClientEngine {
    typealias SendCompletion = (Result<Acknowledgement, any Error>) -> Void

    let eventLoop: any EventLoop
    private let addresses: [ServerAddress]
    var options: ClientConnection.Options
    let provider: ChatClient.Configuration.TokenProvider?
    /// The token that a node did not take, and how it said so.
    var refused: (token: String?, ending: ConnectionEnding)?
    private var machine: StateMachine
    var links: [Int: ClientLink] = [:]
    var cursors: [RoomName: RoomCursor] = [:]
    var outbox: Outbox
    var sends: [RequestID: SendCompletion] = [:]
    var requests = PendingRequests()
    var events: EventQueue
    var ownMessages: OwnMessages
    /// Rooms of which messages were left out for a slow reader, to be read from the log when there is room.
    var behind: Set<RoomName> = []
    /// Set while the node refuses to store: nothing more goes out until then.
    var isSendingPaused = false

    private var readers: [(id: Int, completion: ([ClientEvent]) -> Void)] = []
    private var connectWaiters: [(Result<Void, any Error>) -> Void] = []
    private var closeWaiters: [() -> Void] = []
    private var failure: ChatClientError?
    private var answerCheck: Scheduled<Void>?
    private var numbers = 0
    private let prefix: String
    private var random = SystemRandomNumberGenerator()

    /// Longer than the 5 s within which a node answers: after it the node counts as gone.
    private static let answerTime = TimeAmount.seconds(15)

    var echo: Bool { options.echo }

    init(
        configuration: ChatClient.Configuration, addresses: [ServerAddress], options: ClientConnection.Options,
        eventLoop: any EventLoop
    ) {
        self.eventLoop = eventLoop
        self.addresses = addresses
        self.options = options
        provider = configuration.tokenProvider
        machine = StateMachine(addresses: addresses.count)
        outbox = Outbox(limits: .init(messages: configuration.outboxMessages, bytes: configuration.outboxBytes))
        events = EventQueue(capacity: configuration.eventBuffer)
        ownMessages = OwnMessages(capacity: configuration.outboxMessages + 4096)
        // Random, so that no id of ours is one that the application gives to a message.
        prefix = "r" + String(UInt64.random(in: 0...UInt64.max), radix: 36) + "-"
    }

    /// The link on which to speak.
    var current: ClientLink? { machine.current.flatMap { links[$0] } }

    /// Which of several links is to be heard on what has no position: the newest that has taken a room up.
    func speaker(for room: RoomName) -> ClientLink? {
        guard links.count > 1 else { return current }
        let serving = links.values.filter { $0.welcome != nil && $0.holds[room] == nil }
        return serving.max { $0.number < $1.number } ?? current
    }

    func nextID() -> RequestID? {
        numbers += 1
        return RequestID(prefix + String(numbers))
    }

    // MARK: - Life

    func connect(_ completion: @escaping (Result<Void, any Error>) -> Void) {
        eventLoop.assertInEventLoop()
        if let failure { return completion(.failure(failure)) }
        if current != nil { return completion(.success(())) }
        connectWaiters.append(completion)
        run(machine.start())
        settle()
    }

    func close(_ completion: @escaping () -> Void) {
        eventLoop.assertInEventLoop()
        closeWaiters.append(completion)
        run(machine.close())
        finishClosing()
        settle()
    }

    private func run(_ action: StateMachine.Action, ending: ConnectionEnding? = nil) {
        switch action {
        case .none:
            break
        case .connect(let number, let address):
            withToken(for: number) { engine in
                let connection = ClientConnection.connect(
                    to: engine.addresses[address], options: engine.options, on: engine.eventLoop, delegate: engine)
                engine.links[number] = ClientLink(number: number, connection: connection)
            }
        case .resume(let number):
            guard let link = links[number] else { return }
            takeOver(link)
        case .wait(let delay, let token):
            emit(.disconnected(reason: ending?.description ?? "", retryIn: Duration(delay)))
            schedule(in: delay) { $0.run($0.machine.waited(token: token)) }
        case .planMove(let delay, let token):
            schedule(in: delay) { $0.run($0.machine.moveDue(token: token)) }
        case .retire(let numbers):
            for number in numbers { links[number]?.connection.close() }
        case .giveUp(let error):
            emit(.disconnected(reason: error.message, retryIn: nil))
            end(with: error)
        case .close(let numbers):
            for number in numbers { links[number]?.connection.close() }
            end(with: ChatClientError(code: .closed, message: "the client was closed"))
        }
    }

    /// Whether a link is still wanted that is not connecting yet.
    func expects(_ link: Int) -> Bool { machine.expects(link) }

    /// A link is gone, or never was.
    func lost(_ link: Int, _ ending: ConnectionEnding) {
        run(machine.ended(link, ending, at: .now(), using: &random), ending: ending)
    }

    private func schedule(in delay: TimeAmount, _ body: @escaping (ClientEngine) -> Void) {
        let bound = NIOLoopBound((engine: self, body: body), eventLoop: eventLoop)
        eventLoop.scheduleTask(in: delay) {
            bound.value.body(bound.value.engine)
            bound.value.engine.settle()
        }
    }

    private func end(with error: ChatClientError) {
        guard failure == nil else { return }
        failure = error
        events.finish()
        answerCheck?.cancel()
        for waiter in connectWaiters { waiter(.failure(error)) }
        connectWaiters = []
        for completion in sends.values { completion(.failure(error)) }
        sends = [:]
        for id in outbox.ids { _ = outbox.remove(id) }
        for request in requests.removeAll() { request.completion(.failure(error)) }
    }

    private func finishClosing() {
        guard failure != nil, links.isEmpty else { return }
        for waiter in closeWaiters { waiter() }
        closeWaiters = []
    }

    /// The end of every entry: what has come of it is handed on in one piece.
    func settle() {
        deliverEvents()
        updateReading()
        for link in links.values { link.connection.flush() }
        watchAnswers()
    }

    // MARK: - A new connection

    /// A node said welcome: rooms, requests and messages go to it, in this order, without waiting.
    private func takeOver(_ link: ClientLink) {
        guard let welcome = link.welcome else { return }
        emit(.connected(.init(user: welcome.user.text, node: welcome.node, session: welcome.session)))
        for waiter in connectWaiters { waiter(.success(())) }
        connectWaiters = []
        for request in requests.all {
            guard case .leave = request.message else { continue }
            // The new session is not in the room.
            _ = requests.remove(request.id)
            request.completion(.success(.left))
        }
        askAgain(on: link)
        checkResumed(link)
    }

    /// Everything that another link was to answer or to bring is asked of this one.
    private func askAgain(on link: ClientLink) {
        requests.linkLost()
        // A room that was never joined is joined by its own request, which follows.
        let waiting = Set(requests.all.compactMap(\.roomToJoin))
        takeUp(cursors.filter { $0.value.isJoined || !waiting.contains($0.key) }.map(\.key), on: link)
        behind = []
        for request in requests.all { dispatch(request, on: link) }
        isSendingPaused = false
        sendOutbox()
    }

    /// Asks for rooms again, each from where it stands.
    func takeUp(_ rooms: some Sequence<RoomName>, on link: ClientLink) {
        var resumptions: [Resumption] = []
        var joins: [(RoomName, Replay)] = []
        for room in rooms {
            switch cursors[room]?.comeBack {
            case .resume(let position): resumptions.append(Resumption(room: room, since: position))
            case .join(let replay): joins.append((room, replay))
            case nil: break
            }
        }
        resume(resumptions, on: link)
        for (room, replay) in joins {
            guard let id = nextID() else { return }
            link.holds[room] = .untilJoined(id)
            link.connection.send(.join(id: id, room: room, replay: replay))
        }
    }

    private func resume(_ rooms: [Resumption], on link: ClientLink) {
        let limit = link.welcome?.maxMessageBytes ?? 16384
        for batch in ResumeBatches.split(rooms, maximumBytes: limit) {
            guard let id = nextID() else { return }
            for room in batch { link.holds[room.room] = .untilJoined(id) }
            link.connection.send(.resume(id: id, rooms: batch, refused: []))
        }
    }

    func checkResumed(_ link: ClientLink) {
        guard link.isResumed else { return }
        run(machine.resumed(on: link.number))
    }

    /// Resumes rooms again, that a node could not take up at once.
    func resumeLater(
        _ rooms: [RoomName], heldUntil hold: ClientLink.Hold, on link: ClientLink, after delay: TimeAmount
    ) {
        let number = link.number
        schedule(in: delay) { engine in
            guard let link = engine.links[number] else { return }
            engine.takeUp(rooms.filter { link.holds[$0] == hold }, on: link)
        }
    }

    // MARK: - Asking

    func ask(_ request: PendingRequests.Request) {
        eventLoop.assertInEventLoop()
        if let failure { return request.completion(.failure(failure)) }
        requests.add(request)
        if let link = current { dispatch(request, on: link) }
        settle()
    }

    private func dispatch(_ request: PendingRequests.Request, on link: ClientLink) {
        if case .join(let id?, let room, let replay) = request.message {
            var replays = false
            if case .since = replay { replays = true }
            // Only with `since` does a node replay a room again. Without it a room that is live here goes on without a
            // break, and one that waits for an earlier answer goes on with that: its replay comes only once.
            let isFirst = cursors[room]?.isJoined == false && link.holds[room] == nil
            if replays || isFirst { link.holds[room] = .untilJoined(id) }
            // What another link brings does not begin where the replay will.
            for other in links.values where replays && other !== link { other.holds[room] = .forGood }
        }
        requests.sent(request.id, at: .now())
        link.connection.send(request.message)
    }

    func send(_ post: Post, id: RequestID, _ completion: @escaping SendCompletion) {
        eventLoop.assertInEventLoop()
        if let failure { return completion(.failure(failure)) }
        do {
            try outbox.add(post, id: id)
        } catch {
            return completion(.failure(error))
        }
        sends[id] = completion
        if !echo { ownMessages.insert(id) }
        sendOutbox()
        settle()
    }

    func sendOutbox() {
        guard !isSendingPaused, let link = current, let welcome = link.welcome else { return }
        while link.connection.isWritable, let post = outbox.next(for: link.number, at: .now()) {
            var text = ByteBuffer()
            ClientMessage.message(post).write(into: &text)
            guard text.readableBytes <= welcome.maxMessageBytes else {
                if let id = post.id { refuseTooLarge(id, bytes: text.readableBytes, limit: welcome.maxMessageBytes) }
                continue
            }
            link.connection.send(text: text)
        }
    }

    private func refuseTooLarge(_ id: RequestID, bytes: Int, limit: Int) {
        _ = outbox.remove(id)
        sends.removeValue(forKey: id)?(
            .failure(
                ChatClientError(
                    code: .messageTooLarge,
                    message: "the message has \(bytes) bytes as a frame; here \(limit) are allowed")))
    }

    /// Holds back sending for a while, because the node asked for it or cannot store.
    func pauseSending(for delay: TimeAmount) {
        guard !isSendingPaused, let link = current else { return }
        isSendingPaused = true
        let number = link.number
        schedule(in: delay) { engine in
            guard engine.current?.number == number else { return }
            engine.isSendingPaused = false
            engine.sendOutbox()
        }
    }

    /// The caller no longer waits.
    func cancel(_ id: RequestID) {
        eventLoop.assertInEventLoop()
        if outbox.remove(id) {
            sends.removeValue(forKey: id)?(.failure(CancellationError()))
        }
        requests.remove(id)?.completion(.failure(CancellationError()))
        settle()
    }

    /// Something that is not worth a second try.
    func say(_ message: ClientMessage) {
        eventLoop.assertInEventLoop()
        guard let link = current, link.connection.isWritable else { return }
        link.connection.send(message)
        settle()
    }

    /// A fresh token, for this connection and those to come.
    func setToken(_ token: String) {
        options.token = token
    }

    // MARK: - Unanswered

    private var oldestUnanswered: NIODeadline? {
        guard let link = current, !isSendingPaused else { return nil }
        switch (outbox.oldestSent(on: link.number), requests.oldestSent) {
        case (let one?, let other?): return min(one, other)
        case (let one, let other): return one ?? other
        }
    }

    /// A node that takes frames and answers none is as good as gone.
    private func watchAnswers() {
        guard answerCheck == nil, failure == nil, !(outbox.isEmpty && requests.isEmpty) else { return }
        let bound = NIOLoopBound(self, eventLoop: eventLoop)
        answerCheck = eventLoop.scheduleTask(in: Self.answerTime) {
            let engine = bound.value
            engine.answerCheck = nil
            if let oldest = engine.oldestUnanswered, oldest + Self.answerTime <= .now() {
                engine.current?.connection.fail(.silent)
            }
            engine.settle()
        }
    }

    // MARK: - Events out

    func emit(_ event: ClientEvent) {
        _ = events.push(event)
    }

    func wantEvents() {
        eventLoop.assertInEventLoop()
        events.want()
    }

    func unwantEvents() {
        eventLoop.assertInEventLoop()
        events.unwant()
        settle()
    }

    /// Completes with all events that are there, as soon as there is one; with none when no more will come.
    func nextEvents(id: Int, _ completion: @escaping ([ClientEvent]) -> Void) {
        eventLoop.assertInEventLoop()
        readers.append((id, completion))
        events.want()
        settle()
    }

    func cancelNextEvents(id: Int) {
        eventLoop.assertInEventLoop()
        guard let index = readers.firstIndex(where: { $0.id == id }) else { return }
        readers.remove(at: index).completion([])
    }

    private func deliverEvents() {
        while !readers.isEmpty, !events.isEmpty || events.isFinished {
            readers.removeFirst().completion(events.take())
        }
    }

    /// Whoever awaits an answer must get it even while the events are not read: reading stops only without one.
    private func updateReading() {
        let isHeldUp = events.isFull && outbox.isEmpty && requests.isEmpty
        for link in links.values {
            if isHeldUp, link.welcome != nil { link.connection.pause() } else { link.connection.resume() }
        }
        if !behind.isEmpty, events.hasRoom { catchUp() }
    }

    private func catchUp() {
        guard let link = current else { return }
        let rooms = behind
        behind = []
        takeUp(rooms, on: link)
    }
}

// MARK: - From the connections

extension ClientEngine: ClientConnectionDelegate {
    func opened(_ connection: ClientConnection) {}

    func received(_ text: ByteBuffer, on connection: ClientConnection) {
        guard let link = links.values.first(where: { $0.connection === connection }) else { return }
        do {
            let message = try ServerMessage.parse(text)
            switch message {
            case .welcome(let welcome):
                guard link.welcome == nil else { return }
                link.welcome = welcome
                connection.heartbeatIs(.seconds(Int64(min(max(welcome.heartbeat, 1), 3600))))
                run(machine.receivedWelcome(on: link.number, at: .now()))
            case .reconnect(let after, _, _):
                run(
                    machine.receivedReconnect(
                        on: link.number, after: .milliseconds(Int64(min(max(after, 0), 3_600_000))), at: .now()))
            default:
                handle(message, on: link)
            }
        } catch {
            connection.fail(.violated("\(error)"))
        }
        if events.isFull { updateReading() }
    }

    func receivedAllForNow(on connection: ClientConnection) {
        settle()
    }

    func becameWritable(_ connection: ClientConnection) {
        sendOutbox()
    }

    func closed(_ connection: ClientConnection, _ ending: ConnectionEnding) {
        guard let link = links.values.first(where: { $0.connection === connection }) else { return }
        let wasCurrent = link === current
        links[link.number] = nil
        lost(link.number, mayComeBack(after: ending))
        // The link that was to take over is gone, and the old one still serves.
        if wasCurrent, let link = current { askAgain(on: link) }
        finishClosing()
        settle()
    }
}

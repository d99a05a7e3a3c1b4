import ChatHub
import ChatProtocol
import Hiredis
import Logging
import NIOCore

/// One event loop's commands, over a connection of its own. Confined to that loop.
///
/// `@unchecked Sendable`: the broker keeps one for each loop in an immutable table and hands each out for use on its own
/// loop only; every method begins on that loop, and no other code touches the state.
final class RedisCommands: BrokerCommands, @unchecked Sendable {
    let eventLoop: any EventLoop
    let link: RedisLink
    let keys: Keys
    let configuration: RedisBrokerConfiguration
    let counters: RedisCounters
    let logger: Logger
    /// Tells this loop's entries in the node's list of rooms from those of other loops.
    let loopNumber: Int
    /// The name under which this node's sessions are entered; changes when the node was declared dead.
    var incarnation: String
    var presence = PresenceLedger<EventLoopPromise<Roster>>()
    var isPresenceScheduled = false
    var whenEverybodyLeft: [EventLoopPromise<Void>] = []

    private var appends: [RoomName: AppendQueue] = [:]
    private var rooms: [RoomName] = []
    private var isAppendScheduled = false
    private var waitingBytes = 0
    private var timer: RepeatedTask?

    init(
        link: RedisLink, configuration: RedisBrokerConfiguration, loopNumber: Int, incarnation: String,
        counters: RedisCounters, logger: Logger
    ) {
        self.eventLoop = link.eventLoop
        self.link = link
        self.keys = Keys(prefix: configuration.prefix)
        self.configuration = configuration
        self.counters = counters
        self.logger = logger
        self.loopNumber = loopNumber
        self.incarnation = incarnation
    }

    func start() {
        eventLoop.assertInEventLoop()
        link.start()
        let interval = configuration.heartbeatInterval
        timer = eventLoop.scheduleRepeatedTask(initialDelay: interval, delay: interval) { [weak self] _ in
            self?.retryPresence()
        }
    }

    func stop() {
        eventLoop.assertInEventLoop()
        timer?.cancel()
        timer = nil
        link.stop()
    }

    // MARK: Appending

    func append(
        _ draft: Draft, to room: RoomName, known: Position,
        completion: @escaping (Result<Receipt, BrokerError>) -> Void
    ) {
        eventLoop.assertInEventLoop()
        let size = draft.body.readableBytes
        guard waitingBytes + size <= configuration.waitingBytes || waitingBytes == 0 else {
            let error = BrokerError.unavailable("more than \(configuration.waitingBytes) bytes wait for Redis")
            return eventLoop.assumeIsolated().execute { completion(.failure(error)) }
        }
        waitingBytes += size
        let deadline = eventLoop.now + configuration.commandTimeout
        appends[room, default: AppendQueue()].add(
            .init(draft: draft, deadline: deadline, completion: completion), known: known)
        rooms.append(room)
        guard !isAppendScheduled else { return }
        isAppendScheduled = true
        eventLoop.assumeIsolated().execute { [self] in
            isAppendScheduled = false
            let rooms = rooms
            self.rooms.removeAll(keepingCapacity: true)
            for room in rooms { sendAppends(of: room) }
            link.flush()
        }
    }

    private func sendAppends(of room: RoomName) {
        let expired = appends[room]?.takeExpired(at: eventLoop.now) ?? []
        if !expired.isEmpty { finish(expired, in: room, .failure(.unavailable("waited too long to be sent to Redis"))) }
        guard let call = appends[room]?.begin(bytes: configuration.appendBytes) else {
            if appends[room]?.isIdle == true { appends[room] = nil }
            return
        }
        let known = appends[room]?.known ?? .zero
        link.run(.append, keys: [keys.log(room), keys.retried(room)], arguments(call, room, known: known)) {
            [self] result in
            appends[room]?.ended()
            finish(call, in: room, result)
            sendAppends(of: room)
        }
    }

    private func arguments(_ call: [AppendQueue.Waiting], _ room: RoomName, known: Position) -> [Argument] {
        var arguments: [Argument] = []
        arguments.reserveCapacity(6 + 3 * call.count)
        arguments += [
            .text(keys.channel(room)),
            // The script counts in doubles: exact up to 2^53, and 2^52 ms are 140,000 years.
            .text(Position(epoch: min(known.epoch, 1 << 52), seq: min(known.seq, 1 << 52)).description),
            .integer(Int(WallClock.microseconds())),
            .integer(configuration.logLength),
            .integer(Int(configuration.logIdleExpiry.nanoseconds / 1_000_000)),
            .integer(Int(configuration.retryWindow.nanoseconds / 1_000_000)),
        ]
        for waiting in call {
            let draft = waiting.draft
            let identityLength = min(draft.identityLength ?? 0, draft.body.readableBytes)
            arguments.append(.integer(draft.isRetry ? -identityLength : identityLength))
            arguments.append(.text(draft.exceptFor?.description ?? ""))
            arguments.append(.bytes(draft.body))
        }
        return arguments
    }

    private func finish(_ call: [AppendQueue.Waiting], in room: RoomName, _ result: Result<Reply, BrokerError>) {
        for waiting in call { waitingBytes -= waiting.draft.body.readableBytes }
        switch result {
        case .success(let reply):
            guard let receipts = AppendReply.receipts(reply, count: call.count) else {
                let error = BrokerError.malformed("the append script answered what it never does")
                logger.error("Append failed", metadata: ["room": "\(room)", "reason": "\(error)"])
                for waiting in call { waiting.completion(.failure(error)) }
                return
            }
            for (waiting, receipt) in zip(call, receipts) {
                if receipt.isDuplicate { counters.duplicates.add() } else { counters.appended.add() }
                waiting.completion(.success(receipt))
            }
        case .failure(let error):
            logger.debug("Append failed", metadata: ["room": "\(room)", "reason": "\(error)"])
            for waiting in call { waiting.completion(.failure(error)) }
        }
    }

    // MARK: Events that are not stored

    func announce(_ event: ByteBuffer, from origin: SessionID, in room: RoomName) {
        eventLoop.assertInEventLoop()
        guard link.isUp, !link.isCongested(limit: configuration.unsentBytes) else {
            counters.announcementsDropped.add()
            return
        }
        link.send([
            "PUBLISH", .text(keys.channel(room)), .bytes(PublicationCodec.signal(event, from: origin)),
        ])
    }

    // MARK: Reading

    func read(_ room: RoomName, after position: Position, limit: Int) -> EventLoopFuture<LogSlice> {
        page(.readAfter, of: room, from: position.description, limit: limit) { $0.slice(after: position) }
    }

    func readLatest(_ room: RoomName, before position: Position?, limit: Int) -> EventLoopFuture<LogSlice> {
        page(.readLatest, of: room, from: position?.description ?? "+", limit: limit) { $0.latest() }
    }

    private func page(
        _ script: Script, of room: RoomName, from position: String, limit: Int,
        _ slice: @escaping (LogReply) -> LogSlice
    ) -> EventLoopFuture<LogSlice> {
        let arguments: [Argument] = [.text(position), .integer(max(0, limit)), .integer(configuration.pageBytes)]
        return ask { [self] completion in
            link.run(script, keys: [keys.log(room)], arguments, completion)
        } as: { reply in
            LogReply(reply).map(slice)
        }
    }

    func members(of room: RoomName, after user: UserName?, limit: Int) -> EventLoopFuture<Roster> {
        ask { [self] completion in
            link.run(.members, keys: [keys.users(room)], [], completion)
        } as: { reply in
            RosterReply.page(reply, after: user, limit: max(0, limit))
        }
    }

    private func ask<Answer: Sendable>(
        _ send: (@escaping RedisConnection.Completion) -> Void, as read: @escaping (Reply) -> Answer?
    ) -> EventLoopFuture<Answer> {
        eventLoop.assertInEventLoop()
        let promise = eventLoop.makePromise(of: Answer.self)
        send { result in
            switch result {
            case .failure(let error): promise.fail(error)
            case .success(let reply):
                if let answer = read(reply) {
                    promise.succeed(answer)
                } else {
                    promise.fail(BrokerError.malformed("what is under our key in Redis is not ours"))
                }
            }
        }
        return promise.futureResult
    }
}

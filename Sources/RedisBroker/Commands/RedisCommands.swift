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
    let link: any RedisRoute
    let keys: Keys
    let configuration: RedisBrokerConfiguration
    let counters: RedisCounters
    let logger: Logger
    /// Tells this loop's entries in the node's list of rooms from those of other loops.
    let loopNumber: Int
    /// The name under which this node's sessions are entered; changes when the node was declared dead, and when the store
    /// was replaced.
    var incarnation: String
    var presence = PresenceLedger<EventLoopPromise<Roster>>()
    /// Of a cluster only.
    var isPresenceScheduled = false
    var whenEverybodyLeft: [EventLoopPromise<Void>] = []
    /// To be told when all sessions have entered again.
    var whenRestored: [EventLoopPromise<Void>] = []
    /// A session that was in a room is not any more (``ControlEvent/displaced(_:from:_:)``).
    var displaced: (SessionID, RoomName, Prohibition) -> Void = { _, _, _ in }
    private(set) var isStopped = false

    private var appends: [RoomName: RoomAppends] = [:]
    /// The one that was asked for last.
    private var latestAppends: RoomAppends?
    private var forgettingAppendsAt = RedisCommands.rememberedAppends
    /// Those to which this turn has added something.
    private var appendsDue: [RoomAppends] = []
    private var isAppendScheduled = false
    private var waitingBytes = 0
    private var timer: RepeatedTask?
    /// Stored, and to be acknowledged when the replicas have them too.
    private var awaitingReplicas: [Int: [(completion: AppendQueue.Completion, receipt: Receipt)]] = [:]
    private var recent: RecentAppends

    init(
        link: any RedisRoute, configuration: RedisBrokerConfiguration, loopNumber: Int, incarnation: String,
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
        recent = RecentAppends(byteLimit: configuration.recentBytes, ageLimit: configuration.recentAge)
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
        isStopped = true
        for entered in whenRestored { entered.fail(BrokerError.unavailable("this node is shutting down")) }
        whenRestored.removeAll()
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
        let queue = appends(to: room)
        queue.drafts.add(draft, until: deadline, known: known, completion: completion)
        if !queue.isDue {
            queue.isDue = true
            appendsDue.append(queue)
        }
        guard !isAppendScheduled else { return }
        isAppendScheduled = true
        eventLoop.assumeIsolated().execute { [self] in
            isAppendScheduled = false
            let due = appendsDue
            appendsDue.removeAll(keepingCapacity: true)
            link.together {
                for queue in due {
                    queue.isDue = false
                    sendAppends(of: queue)
                }
            }
        }
    }

    private func appends(to room: RoomName) -> RoomAppends {
        // One client's messages come together.
        if let latestAppends, latestAppends.room == room { return latestAppends }
        let queue = appends[room] ?? remember(RoomAppends(room: room, keys: keys))
        latestAppends = queue
        return queue
    }

    private func remember(_ queue: RoomAppends) -> RoomAppends {
        appends[queue.room] = queue
        if appends.count > forgettingAppendsAt {
            appends = appends.filter { $0.value === queue || !$0.value.isIdle }
            forgettingAppendsAt = max(Self.rememberedAppends, 2 * appends.count)
        }
        return queue
    }

    /// Rooms that are remembered although nothing of theirs is under way.
    private static let rememberedAppends = 10_000

    private func sendAppends(of queue: RoomAppends) {
        let expired = queue.drafts.takeExpired(at: eventLoop.now)
        if !expired.isEmpty {
            finish(expired, in: queue, .failure(.unavailable("waited too long to be sent to Redis")))
        }
        guard let call = queue.drafts.begin(bytes: configuration.appendBytes) else { return }
        let generation = link.generation(for: queue.room)
        let arguments = queue.arguments(of: call, to: generation, configuration, now: eventLoop.now)
        link.run(.append, keys: queue.keys, arguments) { [self] result in
            queue.drafts.ended()
            switch result {
            case .success(.integer(0)), .failure(.moved): return putOff(call, in: queue)
            case .success, .failure: break
            }
            finish(call, in: queue, result, generation: generation.current)
            sendAppends(of: queue)
        }
    }

    /// The room would begin a new epoch, and somebody may still give back what Redis has lost.
    private func putOff(_ call: AppendQueue.Batch, in queue: RoomAppends) {
        queue.drafts.putBack(call)
        let now = eventLoop.now
        let next = max(link.generation(for: queue.room).settles(after: now) ?? now, now + .milliseconds(10))
        eventLoop.assumeIsolated().scheduleTask(deadline: next) { [self] in sendAppends(of: queue) }
    }

    /// - Parameter generation: of the store that has answered.
    private func finish(
        _ call: AppendQueue.Batch, in queue: RoomAppends, _ result: Result<Reply, BrokerError>,
        generation: String? = nil
    ) {
        waitingBytes -= call.bodyBytes
        let reply: Reply
        switch result {
        case .success(let answer): reply = answer
        case .failure(let error):
            logger.debug("Append failed", metadata: ["room": "\(queue.room)", "reason": "\(error)"])
            queue.last = nil
            for waiting in call.messages { waiting.completion(.failure(error)) }
            return
        }
        guard let outcomes = AppendReply.outcomes(reply, count: call.count) else {
            let error = BrokerError.malformed("the append script answered what it never does")
            logger.error("Append failed", metadata: ["room": "\(queue.room)", "reason": "\(error)"])
            for waiting in call.messages { waiting.completion(.failure(error)) }
            return
        }
        let now = eventLoop.now
        var newest: Receipt?
        var stored = 0
        call.forEachBody { index, body in
            guard case .success(let receipt) = outcomes[index], !receipt.isDuplicate else { return }
            stored += 1
            newest = receipt
            recent.add(
                LogEntry(position: receipt.position, time: receipt.time, body: body), to: queue.room, at: now)
        }
        counters.appended.add(stored)
        if let newest { queue.last = (newest.position, newest.time, now, generation) }
        var awaited: [(completion: AppendQueue.Completion, receipt: Receipt)] = []
        for index in call.messages.indices {
            let completion = call.messages[index].completion
            switch outcomes[index] {
            case .success(let receipt):
                if receipt.isDuplicate { counters.duplicates.add() }
                if configuration.ackReplicas > 0 {
                    awaited.append((completion, receipt))
                } else {
                    completion(outcomes[index])
                }
            case .failure:
                counters.forbidden.add()
                completion(outcomes[index])
            }
        }
        if !awaited.isEmpty { awaitReplicas(of: awaited, in: queue.room) }
    }

    /// Acknowledges when enough replicas have what this connection has written: one WAIT for all that a reading of
    /// answers brought from one place.
    private func awaitReplicas(
        of stored: [(completion: AppendQueue.Completion, receipt: Receipt)], in room: RoomName
    ) {
        let place = link.place(of: room)
        let isScheduled = awaitingReplicas[place] != nil
        awaitingReplicas[place, default: []].append(contentsOf: stored)
        guard !isScheduled else { return }
        eventLoop.assumeIsolated().execute { [self] in
            let acknowledgements = awaitingReplicas.removeValue(forKey: place) ?? []
            let needed = configuration.ackReplicas
            let patience = Int(configuration.commandTimeout.nanoseconds / 2_000_000)
            link.send(["WAIT", .integer(needed), .integer(patience)], besides: room) { result in
                var failure: BrokerError?
                switch result {
                case .success(.integer(let replicas)) where replicas >= needed: break
                case .success(.integer(let replicas)):
                    failure = .unavailable("\(replicas) replicas have the message, not \(needed)")
                case .success: failure = .malformed("WAIT was not answered with a number")
                case .failure(let error): failure = error
                }
                for (completion, receipt) in acknowledgements {
                    completion(failure.map { .failure($0) } ?? .success(receipt))
                }
            }
        }
    }

    /// The store was replaced. Nodes with members in a room give back what they have delivered, in whole; when they had
    /// their turn, what this loop has stored itself follows, for rooms in which nobody is.
    func storeReplaced() {
        eventLoop.assertInEventLoop()
        let lost = recent.byRoom(at: eventLoop.now)
        let turn = eventLoop.now + .nanoseconds(configuration.settlingTime.nanoseconds * 3 / 4)
        for (room, entries) in lost { giveBack(entries, to: room, at: turn, attempts: 5) }
    }

    private func giveBack(_ entries: [LogEntry], to room: RoomName, at turn: NIODeadline, attempts: Int) {
        eventLoop.assumeIsolated().scheduleTask(deadline: turn) { [self] in
            restore(entries, after: nil, to: room).assumeIsolated().whenFailure { [self] error in
                logger.debug("Giving back failed", metadata: ["room": "\(room)", "reason": "\(error)"])
                guard attempts > 1 else { return }
                giveBack(entries, to: room, at: eventLoop.now + .seconds(1), attempts: attempts - 1)
            }
        }
    }

    // MARK: Events that are not stored

    func announce(_ event: ByteBuffer, from origin: SessionID, in room: RoomName) {
        eventLoop.assertInEventLoop()
        guard link.failure(for: room) == nil, !link.isCongested(for: room, limit: configuration.unsentBytes) else {
            counters.announcementsDropped.add()
            return
        }
        link.send([
            link.publish, .text(keys.channel(room)), .bytes(PublicationCodec.signal(event, from: origin)),
        ])
    }
}

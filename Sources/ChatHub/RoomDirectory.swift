package import ChatProtocol
package import Logging
package import NIOCore

/// Knows for every room of this process which event loops care for it, and follows the room's publications: one feed per
/// room, however many sessions. What a turn brought is encoded here, once, and goes to each interested loop in one hop.
///
/// `@unchecked Sendable`: all state is confined to the broker's event loop; the methods that other loops call only
/// enqueue work there.
package final class RoomDirectory: @unchecked Sendable {
    package struct Settings: Sendable {
        /// A turn's frames of one room go out when they reach this many bytes, even if there is more to read.
        package var deliveryBytes = 64 * 1024
        /// Messages per read of the log while a hole is repaired.
        package var repairSlice = 500
        /// How long after a failed read of the log the next one follows.
        package var retryDelay: TimeAmount = .milliseconds(250)
        /// How long others with longer tails may give a log back what it lost before this node does with a shorter one.
        package var restoreGrace: TimeAmount = .milliseconds(500)
        /// Bytes of recent messages of all rooms that are kept to be given back to a store that lost them.
        package var tailBytes = 64 << 20
        /// Above this many users a room's comings and goings are told as counts.
        package var presenceLimit = PresenceFeed.crowdLimit
        /// The least time between two counts.
        package var countInterval: TimeAmount = .seconds(1)
        /// How long who is only missing from a room's roster still counts as present, while nodes may yet say otherwise.
        package var departureDelay: TimeAmount = .seconds(3)

        package init() {}
    }

    /// There are many of these: what is small stands together, and what only few need is apart.
    final class Room {
        let name: RoomName
        var feed = RoomFeed()
        /// The position up to which frames are in ``turn`` or were sent.
        var position = Position.zero
        /// What this turn brought so far; nil between turns.
        var turn: Turn?
        /// Nil for an inbox, of which there are many and nobody is told who is in it.
        let attendance: Attendance?
        var interested = Interests()
        var tail = RoomTail()
        /// Ticks without messages.
        var quietTicks = Int32(AuditSchedule<Room>.recently)
        /// Distinguishes its place in the schedule from an earlier one.
        var auditTurn: Int32 = 0
        /// Whether messages came since the room's last turn to be audited.
        var wasHeard = false
        var isLocated = false
        var isRetryScheduled = false
        /// Nobody here is in it any more; whoever comes gets another one.
        private(set) var isClosed = false

        init(name: RoomName, presence: PresenceFeed) {
            self.name = name
            attendance = name.isInbox ? nil : Attendance(presence)
        }

        func close() {
            isClosed = true
            tail.removeAll()
        }

        /// Whether sessions can enter: what follows can be told to them.
        var isOpen: Bool { isLocated && attendance?.presence.isKnown ?? true }
    }

    final class Attendance {
        var presence: PresenceFeed
        /// When ``presence`` will be told the time.
        var wakeUp = NIODeadline.distantFuture

        init(_ presence: PresenceFeed) { self.presence = presence }
    }

    final class Turn {
        var builder = DeliveryBuilder()
    }

    let broker: any Broker
    let eventLoop: any EventLoop
    let settings: Settings
    let logger: Logger
    var commands: (any BrokerCommands)?
    /// Hears what concerns no single room.
    private var moderator: Moderator?
    private var hubs: [LoopHub] = []
    var rooms: [RoomName: Room] = [:]
    private var roomsInTurn: [Room] = []
    private var outgoing: [[(RoomName, Delivery)]] = []
    var counters = Metrics()
    private var tails: TailBudget<Room>
    var audits = AuditSchedule<(room: Room, turn: Int32)>()
    private(set) var isStoreAvailable = false
    /// That of a room of which nothing is known yet.
    let unheardPresence: PresenceFeed
    /// Rooms whose feeds wait to be told where their logs end, and under which number.
    var unlocated: [(room: Room, request: Int)] = []
    /// Rooms whose subscriptions stand anew, to be compared with their logs and rosters.
    private var unchecked = CircularBuffer<Room>()
    private var questionsUnderWay = 0
    private var isChecking = false

    package struct Metrics: Sendable, Equatable {
        package var rooms = 0
        package var publications = 0
        package var holes = 0
        package var repairedMessages = 0
        package var repetitions = 0
        package var gaps = 0
        package var failedReads = 0
        /// Heads of logs that were asked for.
        package var audits = 0
        /// Messages given back to logs, and rooms that went back because their log had forked.
        package var restoredMessages = 0
        package var rewinds = 0

        package init() {}
    }

    package init(broker: any Broker, settings: Settings = Settings(), logger: Logger) {
        self.broker = broker
        self.eventLoop = broker.eventLoop
        self.settings = settings
        self.logger = logger
        tails = TailBudget(byteLimit: settings.tailBytes)
        unheardPresence = PresenceFeed(settings.presenceLimits)
    }

    /// Connects the loops' hubs, before the first room is opened.
    package func start(hubs: [LoopHub], moderator: Moderator? = nil) -> EventLoopFuture<Void> {
        eventLoop.submit { [self] in
            self.hubs = hubs
            self.moderator = moderator
            outgoing = Array(repeating: [], count: hubs.count)
            commands = broker.commands(on: eventLoop)
            broker.setDelegate(self)
            let part = TimeAmount.nanoseconds(
                Self.auditTick.nanoseconds / Int64(AuditSchedule<(room: Room, turn: Int32)>.parts))
            eventLoop.scheduleRepeatedTask(initialDelay: Self.auditTick, delay: part) { [weak self] _ in
                self?.auditSomeRooms()
            }
        }
    }

    package func metrics() -> EventLoopFuture<Metrics> {
        eventLoop.submit { [self] in
            var result = counters
            result.rooms = rooms.count
            for room in rooms.values {
                result.holes += room.feed.holes
                result.repairedMessages += room.feed.repairedMessages
                result.repetitions += room.feed.repetitions
            }
            return result
        }
    }

    // MARK: - From the loops

    /// A loop has its first session in a room: `LoopHub.opened` follows when the subscription stands and the room's
    /// position is known, deliveries after that position follow it.
    func open(_ name: RoomName, for hub: LoopHub, opening: UInt32) {
        let index = hub.index
        eventLoop.execute { [self] in
            let room = rooms[name] ?? Room(name: name, presence: unheardPresence)
            room.interested.add(index, opening: opening)
            if rooms.updateValue(room, forKey: name) == nil {
                scheduleAudit(of: room, in: 2)
                broker.subscribe(to: name)
            } else if room.isOpen {
                // What this turn brought until now stands before the position that the new loop begins at.
                seal(room)
                dispatch()
                tell(hub, openedAt: room.position, room: name, opening: opening)
            }
        }
    }

    /// A loop's last session left a room a while ago.
    func close(_ name: RoomName, for hub: LoopHub) {
        let index = hub.index
        eventLoop.execute { [self] in
            guard let room = rooms[name], room.interested.remove(index) else { return }
            guard room.interested.isEmpty else { return }
            counters.holes += room.feed.holes
            counters.repairedMessages += room.feed.repairedMessages
            counters.repetitions += room.feed.repetitions
            rooms[name] = nil
            room.close()
            broker.unsubscribe(from: name)
        }
    }

    /// What this turn brought until now stands before the position that the loops begin at.
    func tellOpened(_ room: Room) {
        seal(room)
        dispatch()
        for (index, opening) in room.interested {
            tell(hubs[index], openedAt: room.position, room: room.name, opening: opening)
        }
    }

    private func tell(_ hub: LoopHub, openedAt position: Position, room: RoomName, opening: UInt32) {
        if hub.eventLoop === eventLoop {
            hub.opened(room, at: position, opening: opening)
        } else {
            hub.eventLoop.execute { hub.opened(room, at: position, opening: opening) }
        }
    }

    // MARK: - Feeds

    /// Compares rooms with their logs and rosters, some at a time: after a subscription was lost it may be all that there
    /// are, and no answer may wait behind so many others that its command times out.
    private func checkRooms() {
        guard !isChecking else { return }
        isChecking = true
        defer { isChecking = false }
        while questionsUnderWay + unlocated.count < Self.questionsAtOnce, let room = unchecked.popFirst() {
            guard !room.isClosed else { continue }
            perform(room.feed.subscribed(), for: room)
            doubtPresence(in: room)
        }
        receivedAllForNow()
    }

    private static let questionsAtOnce = 1_000

    /// Counts a question to the store, or one about so many rooms, for as long as it is under way.
    func asking<Answer>(_ answer: EventLoopFuture<Answer>, about rooms: Int = 1) -> EventLoopFuture<Answer> {
        questionsUnderWay += rooms
        answer.assumeIsolated().whenComplete { [self] _ in
            questionsUnderWay -= rooms
            if !unchecked.isEmpty { checkRooms() }
        }
        return answer
    }

    func perform(_ action: RoomFeed.Action, for room: Room) {
        switch action {
        case .none:
            break
        case .deliver(let items):
            deliver(items, to: room)
        case .read(let request, let items):
            deliver(items, to: room)
            read(request, for: room)
        case .restore(let request, let items):
            deliver(items, to: room)
            restore(request, for: room)
        }
    }

    private func read(_ request: RoomFeed.ReadRequest, for room: Room) {
        guard let commands else { return }
        guard case .after(let position) = request.range else { return locate(room, request: request.id) }
        asking(commands.read(room.name, after: position, limit: settings.repairSlice)).assumeIsolated().whenComplete {
            [self] result in
            // The room may have been closed, and opened again as another one, while the answer was on its way.
            guard !room.isClosed else { return }
            switch result {
            case .success(let slice):
                perform(room.feed.finished(request.id, with: slice), for: room)
                receivedAllForNow()
            case .failure(let error):
                counters.failedReads += 1
                logger.debug("Reading a room's log failed", metadata: ["room": "\(room.name)", "error": "\(error)"])
                if room.feed.failed(request.id) { scheduleRetry(for: room, in: settings.retryDelay) }
            }
        }
    }

    func scheduleRetry(for room: Room, in delay: TimeAmount) {
        guard !room.isRetryScheduled else { return }
        room.isRetryScheduled = true
        eventLoop.assumeIsolated().scheduleTask(in: delay) { [self] in
            room.isRetryScheduled = false
            guard !room.isClosed else { return }
            perform(room.feed.retry(), for: room)
            receivedAllForNow()
        }
    }

    private func deliver(_ items: [RoomFeed.Item], to room: Room) {
        for item in items {
            switch item {
            case .located(let position):
                room.position = position
                room.isLocated = true
                if room.isOpen { tellOpened(room) }
            case .batch(let batch, let skipping):
                var position = Position(epoch: batch.first.epoch, seq: batch.first.seq + UInt64(skipping))
                var bytes = 0
                for index in batch.messages.indices { bytes += batch.messages[index].body.readableBytes }
                if bytes <= settings.deliveryBytes {
                    turn(of: room).builder.expect(batch.messages.count, bytes: bytes)
                }
                // By index: an iterator copies each message before it is looked at.
                for index in batch.messages.indices.dropFirst(skipping) {
                    append(
                        batch.messages[index].body, at: position, time: batch.time, sentAt: batch.sentAt,
                        exceptFor: batch.messages[index].exceptFor, to: room)
                    position.seq += 1
                }
            case .entries(let entries):
                for entry in entries {
                    append(entry.body, at: entry.position, time: entry.time, sentAt: 0, exceptFor: nil, to: room)
                }
            case .gap(let after, let before):
                counters.gaps += 1
                logger.warning(
                    "Messages of a room are lost",
                    metadata: [
                        "room": "\(room.name)", "after": "\(after)", "before": "\(before.map { "\($0)" } ?? "-")",
                    ])
                append(.gap(room: room.name, after: after, before: before), as: .gap, to: room)
            case .rewind(let position):
                counters.rewinds += 1
                logger.warning(
                    "The store lost messages of a room and went on without them",
                    metadata: ["room": "\(room.name)", "after": "\(position)"])
                seal(room)
                room.position = position
                room.tail.rewind(to: position)
                append(.rewind(room: room.name, to: position), as: .rewind, to: room)
                seal(room)
            }
        }
    }

    private func append(
        _ body: ByteBuffer, at position: Position, time: UInt64, sentAt: UInt64, exceptFor: SessionID?, to room: Room
    ) {
        turn(of: room).builder.append(
            body, at: position, after: room.position, time: time, sentAt: sentAt, exceptFor: exceptFor)
        room.position = position
        sealIfFull(room)
    }

    func append(
        _ event: ServerMessage, as kind: Delivery.Segment.Kind, exceptFor: SessionID? = nil,
        exceptUser: UserName? = nil, since: UInt64 = 0, to room: Room
    ) {
        var json = ByteBuffer()
        event.write(into: &json)
        turn(of: room).builder.append(json, as: kind, exceptFor: exceptFor, exceptUser: exceptUser, since: since)
        sealIfFull(room)
    }

    // MARK: - Turns

    private func turn(of room: Room) -> Turn {
        if let turn = room.turn { return turn }
        let turn = Turn()
        room.turn = turn
        roomsInTurn.append(room)
        return turn
    }

    private func sealIfFull(_ room: Room) {
        if let turn = room.turn, turn.builder.byteCount >= settings.deliveryBytes { seal(room) }
    }

    /// Closes what the turn brought for a room and queues it for the interested loops.
    func seal(_ room: Room) {
        guard let turn = room.turn, !turn.builder.isEmpty else { return }
        let delivery = turn.builder.finish(at: room.position)
        turn.builder = DeliveryBuilder()
        if delivery.messageCount > 0 { remember(delivery, of: room) }
        for (loop, _) in room.interested { outgoing[loop].append((room.name, delivery)) }
    }

    private func remember(_ delivery: Delivery, of room: Room) {
        room.tail.append(delivery)
        let forgotten = tails.add(
            delivery.frames.readableBytes + Self.deliveryOverhead, number: room.tail.next &- 1, of: room)
        for (room, number) in forgotten { room.tail.remove(number) }
    }

    /// About what a delivery takes besides its frames.
    private static let deliveryOverhead = 256

    /// One hop per interested loop.
    private func dispatch() {
        for index in outgoing.indices where !outgoing[index].isEmpty {
            let deliveries = outgoing[index]
            outgoing[index] = []
            let hub = hubs[index]
            if hub.eventLoop === eventLoop {
                hub.deliver(deliveries)
            } else {
                hub.eventLoop.execute { hub.deliver(deliveries) }
            }
        }
    }
}

extension RoomDirectory: BrokerDelegate {
    package func subscribed(to names: [RoomName]) {
        for name in names {
            if let room = rooms[name] {
                unchecked.append(room)
            } else if name == .control {
                moderator?.mayHaveMissed()
            }
        }
        checkRooms()
    }

    package func subscriptionsLost() {
        logger.debug("Subscriptions are lost", metadata: ["rooms": "\(rooms.count)"])
    }

    package func received(_ publication: Publication, in name: RoomName) {
        guard let room = rooms[name] else {
            if case .control(let event) = publication { moderator?.received(event) }
            return
        }
        counters.publications += 1
        switch publication {
        case .messages(let batch):
            room.wasHeard = true
            perform(room.feed.received(batch), for: room)
        case .signal(let event, let origin):
            guard room.isLocated else { return }
            turn(of: room).builder.append(event, as: .signal, exceptFor: origin)
            sealIfFull(room)
        case .presence(let change):
            guard let attendance = room.attendance else { return }
            perform(attendance.presence.heard(change, at: eventLoop.now), for: room)
        case .count(let count, let revision):
            guard let attendance = room.attendance else { return }
            perform(attendance.presence.heard(count: count, revision: revision, at: eventLoop.now), for: room)
        case .control: break
        }
    }

    package func receivedAllForNow() {
        guard !roomsInTurn.isEmpty else { return }
        for room in roomsInTurn {
            if !room.isClosed { seal(room) }
            room.turn = nil
        }
        roomsInTurn.removeAll(keepingCapacity: true)
        dispatch()
    }

    package func storeReplaced() {
        moderator?.mayHaveMissed()
        for room in rooms.values {
            doubtPresence(in: room)
            room.feed.storeReplaced()
        }
        audit(rooms.values)
    }

    package func statusChanged(to status: BrokerStatus) {
        isStoreAvailable = status == .available
        switch status {
        // The broker itself tells operators.
        case .available: logger.debug("The store is available")
        case .unavailable(let reason): logger.debug("The store is unavailable", metadata: ["reason": "\(reason)"])
        }
    }
}

package import ChatProtocol
package import NIOCore

/// Knows the sessions of one event loop room by room, and writes to them what the directory delivers.
///
/// A member that resumes and a member that reads slowly are the same thing here: someone who has reached a position
/// behind the room's. Nothing is queued for it; it is brought up to date from the ring of recent frames, or from the log,
/// as its socket takes data, and is live again when it has reached the room's position.
///
/// `@unchecked Sendable`: confined to its event loop; every entry from outside asserts it.
package final class LoopHub: @unchecked Sendable {
    package struct Settings: Sendable {
        /// Bytes of recent frames kept per room.
        package var ringBytes = 64 * 1024
        /// How long a room without members stays subscribed.
        package var linger: TimeAmount = .seconds(1)
        /// How long a join waits for the store.
        package var joinDeadline: TimeAmount = .seconds(2)
        /// Messages per read of the log while a member is brought up to date.
        package var catchUpSlice = 200
        /// Bytes that are written to it before its socket is looked at again.
        package var catchUpBytes = 32 * 1024
        /// Users named in `joined`.
        package var rosterLimit = 100

        package init() {}
    }

    package let eventLoop: any EventLoop
    package let index: Int
    package let commands: any BrokerCommands
    package private(set) var metrics = HubMetrics()
    private let directory: RoomDirectory
    private let settings: Settings
    /// Microseconds since 1970.
    private let clock: @Sendable () -> UInt64
    private var rooms: [RoomName: LoopRoom] = [:]
    private var awaitingFlush: [any HubSession] = []
    private var isFlushScheduled = false
    private var openings = 0

    package init(
        eventLoop: any EventLoop, index: Int, broker: any Broker, directory: RoomDirectory,
        settings: Settings = Settings(), clock: @escaping @Sendable () -> UInt64
    ) {
        self.eventLoop = eventLoop
        self.index = index
        self.directory = directory
        self.settings = settings
        self.clock = clock
        commands = broker.commands(on: eventLoop)
    }

    /// Rooms with members or lingering on this loop.
    package var roomCount: Int { rooms.count }

    // MARK: - Sessions

    /// Brings a session into a room. `completion` runs once; the session must then queue its `joined` frame at once,
    /// as the replay is written right after.
    package func join(
        _ name: RoomName, session: any HubSession, replay: Replay,
        completion: @escaping (Result<JoinOutcome, BrokerError>) -> Void
    ) {
        eventLoop.assertInEventLoop()
        let room = open(name)
        room.closings += 1
        let isNew: Bool
        let member: Member
        /// Where somebody who is in the room already goes on if the join fails.
        var fallback = Position.zero
        if let present = session.memberships[name] {
            isNew = false
            member = present
            fallback = if case .behind(let reached) = present.progress { reached } else { room.position }
            guard case .since = replay else {
                answerAgain(member, in: room, completion: completion)
                return
            }
            member.progress = .entering(notices: [])
        } else {
            isNew = true
            member = Member(session: session)
            room.add(member)
            session.memberships[name] = member
        }
        whenOpen(room) { [self] result in
            if case .failure(let error) = result {
                giveUp(member, isNew: isNew, at: fallback, in: room)
                return completion(.failure(error))
            }
            guard !member.isGone else { return completion(.failure(.sessionGone)) }
            enter(member, isNew: isNew, at: fallback, replay: replay, room: room, completion: completion)
        }
    }

    /// Takes a session out of a room.
    ///
    /// - Parameter grace: how long it still counts as present.
    package func leave(_ name: RoomName, session: any HubSession, grace: TimeAmount = .zero) {
        eventLoop.assertInEventLoop()
        guard let room = rooms[name], let member = session.memberships.removeValue(forKey: name) else { return }
        room.remove(member)
        if !name.isInbox {
            if grace == .zero {
                commands.leave(name, session: session.id)
            } else {
                let id = session.id
                eventLoop.assumeIsolated().scheduleTask(in: grace) { [self] in
                    commands.leave(name, session: id)
                }
            }
        }
        closeIfEmpty(room)
    }

    /// The last position known of a room, to be given to `append`.
    package func known(of name: RoomName) -> Position {
        rooms[name]?.position ?? .zero
    }

    /// A session's socket takes data again.
    package func writable(_ session: any HubSession) {
        eventLoop.assertInEventLoop()
        catchUp(session)
        flush()
    }

    private func catchUp(_ session: any HubSession) {
        let names = session.lagging
        session.lagging = []
        for name in names {
            guard let room = rooms[name], let member = session.memberships[name] else { continue }
            advance(member, in: room)
        }
    }

    // MARK: - From the directory

    /// The subscription of a room stands; deliveries after `position` follow.
    ///
    /// - Parameter opening: which call of `open` is answered. The answer to an earlier one, that was given up meanwhile,
    ///   says nothing: the subscription it speaks of is about to end.
    func opened(_ name: RoomName, at position: Position, opening: Int) {
        eventLoop.assertInEventLoop()
        guard let room = rooms[name], !room.isOpen, room.opening == opening else { return }
        room.isOpen = true
        room.position = position
        let waiting = room.waiting
        room.waiting = []
        for join in waiting { join(.success(())) }
    }

    func deliver(_ deliveries: [(RoomName, Delivery)]) {
        eventLoop.assertInEventLoop()
        for (name, delivery) in deliveries {
            guard let room = rooms[name], room.isOpen else { continue }
            deliver(delivery, to: room)
        }
        flush()
    }

    private func deliver(_ delivery: Delivery, to room: LoopRoom) {
        let before = room.position
        if delivery.last > before {
            room.position = delivery.last
            room.ring.append(delivery)
        } else if !delivery.isUniform, delivery.segments.contains(where: { $0.kind == .gap }) {
            // Who is behind must not pass over it: the log will tell.
            room.ring.removeAll()
        }
        let isGapAtTheEnd = delivery.last <= before
        let frames = delivery.frames
        var written = 0
        for member in room.members {
            switch member.progress {
            case .live:
                guard member.session.isWritable else {
                    if delivery.messageCount > 0 { fallBehind(member, at: before, in: room) }
                    writeNotices(of: delivery, to: member, gaps: isGapAtTheEnd)
                    continue
                }
                if !delivery.isSelective {
                    write(frames, to: member.session)
                } else {
                    delivery.forEachRun(where: { $0.isFor(member) }) { write($0, to: member.session) }
                }
                written += 1
            case .behind(let reached):
                writeNotices(of: delivery, to: member, gaps: isGapAtTheEnd && reached >= before)
                if member.session.isWritable {
                    if !member.isReading { advance(member, in: room) }
                } else {
                    noteLagging(member, in: room)
                }
            case .entering(var notices):
                for index in delivery.segments.indices where notices.count < Self.heldNoticesLimit {
                    let segment = delivery.segments[index]
                    switch segment.kind {
                    case .notice(let revision) where segment.isFor(member):
                        notices.append((revision, delivery.frame(index)))
                    case .gap where isGapAtTheEnd:
                        notices.append((.max, delivery.frame(index)))
                    case .notice, .gap, .message, .signal: break
                    }
                }
                member.progress = .entering(notices: notices)
            }
        }
        metrics.deliveries += written * delivery.messageCount
        metrics.deliveredBytes += written * frames.readableBytes
        if delivery.sentAt > 0 {
            let now = clock()
            metrics.latency.record(microseconds: now > delivery.sentAt ? now - delivery.sentAt : 0)
        }
    }

    private static let heldNoticesLimit = 1000

    /// Presence is not dropped for a slow member: it is small, and bounded by the session's limit of unread output.
    ///
    /// - Parameter gaps: whether a gap is told as well, because no message follows that would show it.
    private func writeNotices(of delivery: Delivery, to member: Member, gaps: Bool) {
        guard !delivery.isUniform else { return }
        let isWritable = member.session.isWritable
        delivery.forEachRun(where: { segment in
            guard segment.isFor(member) else { return false }
            switch segment.kind {
            case .notice: return true
            case .signal:
                if !isWritable { metrics.droppedSignals += 1 }
                return isWritable
            case .gap: return gaps
            case .message: return false
            }
        }) { write($0, to: member.session) }
    }

    // MARK: - Joining

    private func open(_ name: RoomName) -> LoopRoom {
        if let room = rooms[name] { return room }
        openings += 1
        let room = LoopRoom(name: name, opening: openings, ringBytes: settings.ringBytes)
        rooms[name] = room
        directory.open(name, for: self, opening: openings)
        return room
    }

    private func whenOpen(_ room: LoopRoom, _ body: @escaping (Result<Void, BrokerError>) -> Void) {
        if room.isOpen { return body(.success(())) }
        room.waiting.append(body)
        guard room.waiting.count == 1 else { return }
        eventLoop.assumeIsolated().scheduleTask(in: settings.joinDeadline) {
            guard !room.isOpen else { return }
            let waiting = room.waiting
            room.waiting = []
            for join in waiting {
                join(.failure(BrokerError(code: .unavailable, message: "the room's subscription was not confirmed")))
            }
        }
    }

    /// Somebody who is in the room joins again without asking for a replay.
    private func answerAgain(
        _ member: Member, in room: LoopRoom, completion: @escaping (Result<JoinOutcome, BrokerError>) -> Void
    ) {
        guard !room.name.isInbox else {
            return completion(.success(JoinOutcome(position: room.position, recovered: nil, roster: nil)))
        }
        commands.members(of: room.name, after: nil, limit: settings.rosterLimit).assumeIsolated().whenComplete {
            if case .success(let roster) = $0 { member.rosterRevision = roster.revision }
            completion(
                $0.map {
                    JoinOutcome(position: room.position, recovered: nil, roster: $0.naming(member.session.user))
                }
                .mapError(BrokerError.init(any:)))
        }
    }

    private func enter(
        _ member: Member, isNew: Bool, at fallback: Position, replay: Replay, room: LoopRoom,
        completion: @escaping (Result<JoinOutcome, BrokerError>) -> Void
    ) {
        let session = member.session
        let roster: EventLoopFuture<Roster?> =
            if room.name.isInbox {
                eventLoop.makeSucceededFuture(nil)
            } else if isNew {
                commands.enter(room.name, session: session.id, user: session.user).map { $0 }
            } else {
                commands.members(of: room.name, after: nil, limit: settings.rosterLimit)
                    .map { [user = session.user] in $0.naming(user) }
            }
        let asked = room.position
        read(replay, in: room).map { backlog in
            var backlog = backlog
            backlog.roomPosition = asked
            return backlog
        }.and(roster).assumeIsolated().whenComplete { [self] result in
            switch result {
            case .failure(let error):
                giveUp(member, isNew: isNew, at: fallback, in: room)
                completion(.failure(BrokerError(any: error)))
            case .success((let backlog, let roster)):
                guard !member.isGone else { return completion(.failure(.sessionGone)) }
                begin(member, after: backlog, roster: roster, in: room, completion: completion)
            }
        }
    }

    /// The first part of what a join replays.
    private struct Backlog: Sendable {
        var entries: [LogEntry] = []
        /// Where the replay begins; nil where there is none.
        var start: Position?
        var recovered: Bool?
        /// Where the room stood when the log was asked.
        var roomPosition = Position.zero
    }

    private func read(_ replay: Replay, in room: LoopRoom) -> EventLoopFuture<Backlog> {
        switch replay {
        case .none:
            return eventLoop.makeSucceededFuture(Backlog())
        case .latest(0):
            return eventLoop.makeSucceededFuture(Backlog())
        case .latest(let count):
            return commands.readLatest(room.name, before: nil, limit: count).map {
                Backlog(entries: $0.entries, start: .zero, recovered: nil)
            }
        case .since(let position, let limit):
            // Nothing was missed, and both of us know it from the same log.
            if position == room.position, position != .zero {
                return eventLoop.makeSucceededFuture(Backlog(start: position, recovered: true))
            }
            return commands.read(room.name, after: position, limit: limit ?? settings.catchUpSlice)
                .assumeIsolated().flatMap { [self, name = room.name] slice in
                    if slice.isComplete, limit == nil || !slice.hasMore {
                        return eventLoop.makeSucceededFuture(
                            Backlog(entries: slice.entries, start: position, recovered: true))
                    }
                    return readWhatIsLeft(of: name, after: position, limit: limit, first: slice)
                }.nonisolated()
        }
    }

    /// Some of what was missed is no longer there, or more than the client wants: the rest, from where it begins.
    private func readWhatIsLeft(
        of name: RoomName, after position: Position, limit: Int?, first slice: LogSlice
    ) -> EventLoopFuture<Backlog> {
        let rest: EventLoopFuture<LogSlice> =
            if let limit, slice.hasMore || slice.head < position {
                commands.readLatest(name, before: nil, limit: limit)
            } else if slice.head < position {
                // A position beyond the log is of another one: all of this log is news.
                commands.read(name, after: .zero, limit: settings.catchUpSlice)
            } else {
                eventLoop.makeSucceededFuture(slice)
            }
        return rest.map { Backlog(entries: $0.entries, start: .zero, recovered: false) }
    }

    private func begin(
        _ member: Member, after backlog: Backlog, roster: Roster?, in room: LoopRoom,
        completion: @escaping (Result<JoinOutcome, BrokerError>) -> Void
    ) {
        // A client that comes from a node which is ahead of this one has seen more than this room has delivered here.
        var head = room.position
        if backlog.recovered == true, let start = backlog.start { head = max(head, start) }
        completion(.success(JoinOutcome(position: head, recovered: backlog.recovered, roster: roster)))
        guard !member.isGone else { return }
        member.rosterRevision = roster?.revision ?? member.rosterRevision
        writeHeldNotices(of: member)
        if let start = backlog.start {
            let entries = backlog.entries.filter { $0.position <= room.position }
            // Where the socket took no more, or nothing was missed, the ring and the log go on from here.
            let reached = backlog.recovered == true ? start : entries.first?.position.predecessor
            member.progress = .behind(write(entries, to: member) ?? reached ?? backlog.roomPosition)
            advance(member, in: room)
        } else {
            member.progress = .live
        }
        flush()
    }

    private func giveUp(_ member: Member, isNew: Bool, at fallback: Position, in room: LoopRoom) {
        guard !member.isGone else { return }
        if isNew {
            room.remove(member)
            member.session.memberships[room.name] = nil
            if !room.name.isInbox { commands.leave(room.name, session: member.session.id) }
            closeIfEmpty(room)
        } else {
            writeHeldNotices(of: member)
            member.progress = .behind(fallback)
            advance(member, in: room)
            flush()
        }
    }

    private func writeHeldNotices(of member: Member) {
        guard case .entering(let notices) = member.progress else { return }
        for notice in notices where notice.revision > member.rosterRevision { write(notice.frame, to: member.session) }
    }

    // MARK: - Catching up

    private func fallBehind(_ member: Member, at position: Position, in room: LoopRoom) {
        member.progress = .behind(position)
        metrics.slowMembers += 1
        noteLagging(member, in: room)
    }

    private func noteLagging(_ member: Member, in room: LoopRoom) {
        if !member.session.lagging.contains(room.name) { member.session.lagging.append(room.name) }
    }

    /// Takes a member on as far as its socket takes data: from the ring, else from the log.
    private func advance(_ member: Member, in room: LoopRoom) {
        while case .behind(let reached) = member.progress, !member.isReading, !member.isRetryScheduled, !member.isGone {
            if reached == room.position {
                member.progress = .live
                return
            }
            // It is ahead of us: what we deliver next it has already, until we are there too.
            if reached > room.position { return }
            guard member.session.isWritable else { return noteLagging(member, in: room) }
            guard let delivery = room.ring.delivery(after: reached) else {
                readOn(member, after: reached, in: room)
                return
            }
            let id = member.session.id
            var isPast = reached == delivery.previous
            delivery.forEachRun(where: { segment in
                switch segment.kind {
                case .message(let position):
                    if position <= reached { return false }
                    isPast = true
                    return segment.exceptFor != id
                case .gap: return isPast
                case .notice, .signal: return false
                }
            }) { write($0, to: member.session) }
            metrics.caughtUpMessages += delivery.messageCount(after: reached)
            member.progress = .behind(delivery.last)
        }
    }

    private func readOn(_ member: Member, after reached: Position, in room: LoopRoom) {
        member.isReading = true
        commands.read(room.name, after: reached, limit: settings.catchUpSlice).assumeIsolated().whenComplete {
            [self] result in
            member.isReading = false
            guard !member.isGone, case .behind(let position) = member.progress, position == reached else { return }
            switch result {
            case .failure:
                retryLater(member, in: room)
            case .success(let slice):
                guard member.session.isWritable else { return noteLagging(member, in: room) }
                let entries = slice.entries.filter { $0.position <= room.position }
                // The room has delivered beyond what the log still has, or what stood between is gone.
                if !slice.isComplete || entries.isEmpty {
                    tellGap(after: reached, before: entries.first?.position, to: member, in: room)
                }
                let written = write(entries, to: member)
                metrics.caughtUpMessages += entries.count
                member.progress = .behind(written ?? room.position)
                advance(member, in: room)
                flush()
            }
        }
    }

    private func retryLater(_ member: Member, in room: LoopRoom) {
        guard !member.isRetryScheduled else { return }
        member.isRetryScheduled = true
        eventLoop.assumeIsolated().scheduleTask(in: .milliseconds(500)) { [self] in
            member.isRetryScheduled = false
            guard !member.isGone, !member.isReading else { return }
            advance(member, in: room)
            flush()
        }
    }

    private func tellGap(after: Position, before: Position?, to member: Member, in room: LoopRoom) {
        var json = ByteBuffer()
        ServerMessage.gap(room: room.name, after: after, before: before).write(into: &json)
        var builder = DeliveryBuilder()
        builder.append(json, as: .gap)
        write(builder.finish(at: after).frames, to: member.session)
    }

    /// Writes as many entries as the socket takes, in pieces.
    ///
    /// - Returns: the position of the last one written; nil if none was.
    private func write(_ entries: [LogEntry], to member: Member) -> Position? {
        var written: Position?
        var builder = DeliveryBuilder()
        var previous = Position.zero
        for entry in entries {
            if builder.isEmpty, !member.session.isWritable { return written }
            builder.append(
                entry.body, at: entry.position, after: previous, time: entry.time, sentAt: 0, exceptFor: nil)
            previous = entry.position
            guard builder.byteCount >= settings.catchUpBytes || entry.position == entries.last?.position else {
                continue
            }
            write(builder.finish(at: previous).frames, to: member.session)
            builder = DeliveryBuilder()
            written = previous
        }
        return written
    }

    // MARK: - Writing

    /// Queues a frame of the session's own (an answer): it leaves with what else this turn of the loop brings.
    package func send(_ frames: ByteBuffer, to session: any HubSession) {
        write(frames, to: session)
        guard !isFlushScheduled else { return }
        isFlushScheduled = true
        eventLoop.assumeIsolated().execute { [self] in
            isFlushScheduled = false
            flush()
        }
    }

    private func write(_ frames: ByteBuffer, to session: any HubSession) {
        session.write(frames)
        if !session.isAwaitingFlush {
            session.isAwaitingFlush = true
            awaitingFlush.append(session)
        }
    }

    /// One flush per session and turn, however many rooms brought it something.
    private func flush() {
        var next = 0
        while next < awaitingFlush.count {
            let session = awaitingFlush[next]
            next += 1
            session.isAwaitingFlush = false
            session.flush()
            // It may have taken no more for a moment only, within this turn, of which it says nothing afterwards.
            if !session.lagging.isEmpty, session.isWritable { catchUp(session) }
        }
        awaitingFlush.removeAll(keepingCapacity: true)
    }

    // MARK: - Closing

    private func closeIfEmpty(_ room: LoopRoom) {
        guard room.members.isEmpty else { return }
        room.closings += 1
        let closing = room.closings
        eventLoop.assumeIsolated().scheduleTask(in: settings.linger) { [self] in
            guard room.closings == closing, room.members.isEmpty, rooms[room.name] === room else { return }
            rooms[room.name] = nil
            directory.close(room.name, for: self)
        }
    }
}

extension Position {
    /// The place right before, whether or not anything stands there.
    fileprivate var predecessor: Position { Position(epoch: epoch, seq: seq == 0 ? 0 : seq - 1) }
}

extension Roster {
    /// The same with a user who is among so many that not all are named.
    fileprivate func naming(_ user: UserName) -> Roster {
        guard hasMore, !members.contains(user), !members.isEmpty else { return self }
        var roster = self
        roster.members[members.count - 1] = user
        return roster
    }
}

extension Delivery.Segment {
    /// Whether a member gets it: not its own doing, and not presence that its `joined` told already.
    fileprivate func isFor(_ member: Member) -> Bool {
        if let exceptFor, exceptFor == member.session.id { return false }
        if case .notice(let revision) = kind { return revision > member.rosterRevision }
        return true
    }
}

extension BrokerError {
    /// The session went away while its join was under way; nobody is there to be told.
    static let sessionGone = BrokerError(code: .unavailable, message: "the session is gone")
}

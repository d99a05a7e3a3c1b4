package import ChatProtocol
import Deflate
package import NIOCore

/// Knows the sessions of one event loop room by room, and writes to them what the directory delivers.
///
/// A member that resumes and a member that reads slowly are the same thing here: someone who has reached a position
/// behind the room's. Nothing is queued for it; it is brought up to date from the ring of recent frames, or from the log,
/// as its socket takes data, and is live again when it has reached the room's position.
///
/// `@unchecked Sendable`: confined to its event loop; every entry from outside that writes asserts it.
package final class LoopHub: @unchecked Sendable {
    package struct Settings: Sendable {
        /// Bytes of recent frames kept per room.
        package var ringBytes = 64 * 1024
        /// The same for all rooms of the loop together.
        package var allRingsBytes = 32 * 1024 * 1024
        /// Bytes of frames read from logs that are kept for whoever asks for the same within ``replayAge``.
        package var replayBytes = 8 * 1024 * 1024
        package var replayAge: TimeAmount = .seconds(2)
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
    package internal(set) var metrics = HubMetrics()
    let directory: RoomDirectory
    let settings: Settings
    /// Microseconds since 1970.
    private let clock: @Sendable () -> UInt64
    var rooms: [RoomName: LoopRoom] = [:]
    /// The one whose position was asked for last.
    private var latestKnown: LoopRoom?
    var rings: RingOrder
    var replays: ReplayCache
    var isExpiryScheduled = false
    private let deflater = Deflater()
    private var awaitingFlush: [any HubSession] = []
    private var isFlushScheduled = false
    /// The message that was appended last: unless the broker has kept it, its memory serves for the next one.
    package var draftMemory = ByteBuffer()
    var openings: UInt32 = 0
    /// Rooms that joins wait for, and how long.
    var unopened = CircularBuffer<(room: LoopRoom, deadline: NIODeadline)>()

    package init(
        eventLoop: any EventLoop, index: Int, broker: any Broker, directory: RoomDirectory,
        settings: Settings = Settings(), clock: @escaping @Sendable () -> UInt64
    ) {
        self.eventLoop = eventLoop
        self.index = index
        self.directory = directory
        self.settings = settings
        self.clock = clock
        rings = RingOrder(byteLimit: settings.allRingsBytes)
        replays = ReplayCache(byteLimit: settings.replayBytes, age: settings.replayAge)
        commands = broker.commands(on: eventLoop)
    }

    /// Rooms with members or lingering on this loop.
    package var roomCount: Int { rooms.count }

    // MARK: - Sessions

    /// Takes a session out of a room.
    ///
    /// - Parameter grace: how long it still counts as present.
    package func leave(_ name: RoomName, session: any HubSession, grace: TimeAmount = .zero) {
        eventLoop.assertInEventLoop()
        guard let room = rooms[name], let member = session.member(of: name) else { return }
        session.setMember(nil, of: name)
        room.remove(member)
        if session.counts(in: name) {
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
        // One client's messages come together.
        if let latestKnown, latestKnown.name == name { return latestKnown.position }
        latestKnown = rooms[name]
        return latestKnown?.position ?? .zero
    }

    /// An empty buffer, to be given back as ``draftMemory``.
    package func takeDraftMemory() -> ByteBuffer {
        var memory = ByteBuffer()
        swap(&memory, &draftMemory)
        memory.clear(minimumCapacity: 0)
        return memory
    }

    /// A session's socket takes data again.
    package func writable(_ session: any HubSession) {
        eventLoop.assertInEventLoop()
        catchUp(session)
        flush()
    }

    func catchUp(_ session: any HubSession) {
        let names = session.lagging
        session.lagging = []
        for name in names {
            guard let room = rooms[name], let member = session.member(of: name) else { continue }
            member.isLagging = false
            room.wake(member)
            tellMissedNotices(to: member, in: room)
            advance(member, in: room)
        }
    }

    // MARK: - From the directory

    /// The subscription of a room stands; deliveries after `position` follow.
    ///
    /// - Parameter opening: which call of `open` is answered. The answer to an earlier one, that was given up meanwhile,
    ///   says nothing: the subscription it speaks of is about to end.
    func opened(_ name: RoomName, at position: Position, opening: UInt32) {
        eventLoop.assertInEventLoop()
        guard let room = rooms[name], !room.isOpen, room.opening == opening else { return }
        for join in room.open(at: position) { join(.success(())) }
    }

    func deliver(_ deliveries: [(RoomName, Delivery)]) {
        eventLoop.assertInEventLoop()
        for (name, delivery) in deliveries {
            guard let room = rooms[name], room.isOpen else { continue }
            deliver(delivery, to: room)
        }
        flush()
    }

    /// The store lost what came after a position: whoever has it is told to drop it.
    private func rewind(_ room: LoopRoom, by delivery: Delivery) {
        let position = delivery.last
        room.position = position
        room.rewinds &+= 1
        forgetFrames(of: room)
        for member in room.members {
            let broughtTo = member.broughtTo
            member.broughtTo = min(broughtTo, position)
            switch member.progress {
            case .live:
                write(delivery.frames, to: member.session)
            case .behind(let reached):
                // Who has not come so far has nothing to drop.
                guard max(reached, broughtTo) > position else { continue }
                write(delivery.frames, to: member.session)
                guard reached > position else { continue }
                member.progress = .behind(position)
                advance(member, in: room)
            case .entering(var notices):
                notices.append((.max, delivery.frames))
                member.progress = .entering(notices: notices)
                member.rewoundTo = min(member.rewoundTo ?? position, position)
            }
        }
    }

    private func deliver(_ delivery: Delivery, to room: LoopRoom) {
        if delivery.isRewind { return rewind(room, by: delivery) }
        let before = room.position
        if delivery.last > before {
            room.position = delivery.last
            rings.append(delivery, to: room)
        } else if !delivery.isUniform, delivery.segments.contains(where: { $0.kind == .gap }) {
            // Who is behind must not pass over it: the log will tell.
            forgetFrames(of: room)
        }
        let isGapAtTheEnd = delivery.last <= before
        let frames = delivery.frames
        // Made when the first asks, for all on this loop.
        lazy var shared = delivery.compressed(by: deflater)
        var written = 0
        var savedBytes = 0
        let reached = delivery.isOfMessages ? room.attentive : room.members.count
        for member in room.members[..<reached] {
            switch member.progress {
            case .live:
                guard member.session.isWritable else {
                    if delivery.messageCount > 0 { fallBehind(member, at: before, in: room) }
                    writeNotices(of: delivery, to: member, in: room, gaps: isGapAtTheEnd)
                    continue
                }
                if member.missedNotices != nil { tellMissedNotices(to: member, in: room) }
                written += 1
                if member.takesCompressedFrames, let shared {
                    write(delivery, compressed: shared, to: member)
                    savedBytes += frames.readableBytes - shared.frames.readableBytes
                } else if !delivery.isSelective {
                    write(frames, to: member.session)
                } else {
                    delivery.forEachRun(where: { $0.isFor(member) }) { write($0, to: member.session) }
                }
            case .behind(let reached):
                writeNotices(of: delivery, to: member, in: room, gaps: isGapAtTheEnd && reached >= before)
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
                    case .notice, .gap, .message, .signal, .rewind: break
                    }
                }
                member.progress = .entering(notices: notices)
            }
        }
        if delivery.isSelective { room.arrears?.missedNotices.append(from: delivery) }
        metrics.deliveries += written * delivery.messageCount
        metrics.deliveredBytes += written * frames.readableBytes - savedBytes
        if delivery.sentAt > 0 {
            let now = clock()
            metrics.latency.record(microseconds: now > delivery.sentAt ? now - delivery.sentAt : 0)
        }
    }

    private func write(_ delivery: Delivery, compressed: Delivery.Compressed, to member: Member) {
        guard delivery.isSelective else { return write(compressed.frames, to: member.session) }
        delivery.forEachRun(of: compressed, where: { $0.isFor(member) }) { write($0, to: member.session) }
    }

    private static let heldNoticesLimit = 1000

    /// What a member that is not live gets of a delivery at once. Presence that its socket does not take is told when it
    /// takes data again; signals are dropped then.
    ///
    /// - Parameter gaps: whether a gap is told as well, because no message follows that would show it.
    private func writeNotices(of delivery: Delivery, to member: Member, in room: LoopRoom, gaps: Bool) {
        guard !delivery.isUniform else { return }
        let isWritable = member.session.isWritable
        if isWritable { tellMissedNotices(to: member, in: room) }
        delivery.forEachRun(where: { segment in
            guard segment.isFor(member) else { return false }
            switch segment.kind {
            case .notice:
                if !isWritable, member.missedNotices == nil {
                    member.missedNotices = room.beginArrears().missedNotices.join()
                    noteLagging(member, in: room)
                }
                return isWritable
            case .signal:
                if !isWritable { metrics.droppedSignals += 1 }
                return isWritable
            case .gap: return gaps
            case .message, .rewind: return false
            }
        }) { write($0, to: member.session) }
    }

    private func tellMissedNotices(to member: Member, in room: LoopRoom) {
        guard let place = member.missedNotices else { return }
        member.missedNotices = nil
        defer { room.settleArrears() }
        guard let notices = room.beginArrears().missedNotices.leave(from: place) else {
            // It comes back at once and hears anew who is there.
            return member.session.close(.overloaded, reason: "more presence was missed than is kept")
        }
        for notice in notices where notice.segment.isFor(member) { write(notice.frame, to: member.session) }
    }

    // MARK: - Writing

    /// Queues a frame of the session's own (an answer): it leaves with what else this turn of the loop brings.
    package func send(_ frames: ByteBuffer, to session: any HubSession) {
        eventLoop.assertInEventLoop()
        write(frames, to: session)
        guard !isFlushScheduled else { return }
        isFlushScheduled = true
        eventLoop.assumeIsolated().execute { [self] in
            isFlushScheduled = false
            flush()
        }
    }

    func write(_ frames: ByteBuffer, to session: any HubSession) {
        session.write(frames)
        if !session.isAwaitingFlush {
            session.isAwaitingFlush = true
            awaitingFlush.append(session)
        }
    }

    /// One flush per session and turn, however many rooms brought it something.
    func flush() {
        var next = 0
        while next < awaitingFlush.count {
            let session = awaitingFlush[next]
            next += 1
            session.isAwaitingFlush = false
            session.flush()
            metrics.writes += 1
            // It may have taken no more for a moment only, within this turn, of which it says nothing afterwards.
            if !session.lagging.isEmpty, session.isWritable { catchUp(session) }
        }
        awaitingFlush.removeAll(keepingCapacity: true)
    }

    // MARK: - Closing

    func closeIfEmpty(_ room: LoopRoom) {
        guard room.members.isEmpty else { return }
        room.closings &+= 1
        let closing = room.closings
        eventLoop.assumeIsolated().scheduleTask(in: settings.linger) { [self] in
            guard room.closings == closing, room.members.isEmpty, rooms[room.name] === room else { return }
            forgetFrames(of: room)
            rooms[room.name] = nil
            if latestKnown === room { latestKnown = nil }
            directory.close(room.name, for: self)
        }
    }
}

extension Delivery.Segment {
    /// Whether a member gets it: not its own doing, and not presence that its `joined` told already.
    fileprivate func isFor(_ member: Member) -> Bool {
        if let exceptFor, exceptFor == member.session.id { return false }
        if let exceptUser, exceptUser == member.session.user { return false }
        if case .notice(let revision) = kind {
            return revision > member.rosterRevision && (since == 0 || since < member.rosterRevision)
        }
        return true
    }
}

extension BrokerError {
    /// The session went away while its join was under way; nobody is there to be told.
    static let sessionGone = BrokerError(code: .unavailable, message: "the session is gone")
}

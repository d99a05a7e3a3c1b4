package import ChatProtocol
import NIOCore

/// Entering a room: wait until it is open, count the session in, read what it replays, go on live.
extension LoopHub {
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
        if let position = member.rewoundTo {
            // What it was to replay may be void: it begins again where the room did.
            member.rewoundTo = nil
            member.progress = .behind(min(position, backlog.start ?? position))
            advance(member, in: room)
        } else if let start = backlog.start {
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

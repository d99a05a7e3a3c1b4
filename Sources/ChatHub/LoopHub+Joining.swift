package import ChatProtocol
import NIOCore

/// Entering a room: wait until it is open, count the session in, find out what it replays, go on
/// live.
extension LoopHub {
    /// Brings a session into a room. `completion` runs once; the session must then queue its `joined` frame at once,
    /// as the replay is written right after.
    package func join(
        _ name: RoomName, session: any HubSession, replay: Replay,
        completion: @escaping (Result<JoinOutcome, BrokerError>) -> Void
    ) {
        eventLoop.assertInEventLoop()
        let room = open(name)
        room.closings &+= 1
        let isNew: Bool
        let member: Member
        /// Where somebody who is in the room already goes on if the join fails.
        var fallback = Position.zero
        if let present = session.member(of: name) {
            isNew = false
            member = present
            fallback = if case .behind(let reached) = present.progress { reached } else { room.position }
            member.broughtTo = max(member.broughtTo, fallback)
            guard case .since = replay else {
                answerAgain(member, in: room, completion: completion)
                return
            }
            member.progress = .entering(notices: [])
            room.wake(member)
        } else {
            isNew = true
            member = Member(session: session)
            room.add(member)
            session.setMember(member, of: name)
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
        openings &+= 1
        let room = LoopRoom(name: name, opening: openings, ringBytes: settings.ringBytes)
        rooms[name] = room
        directory.open(name, for: self, opening: openings)
        return room
    }

    private func whenOpen(_ room: LoopRoom, _ body: @escaping (Result<Void, BrokerError>) -> Void) {
        if room.isOpen { return body(.success(())) }
        guard room.wait(body) == 1 else { return }
        unopened.append((room, eventLoop.now + settings.joinDeadline))
        if unopened.count == 1 { watchUnopened() }
    }

    /// Fails the joins whose rooms were not opened in time. One timer for all: next to none of them is ever late.
    private func watchUnopened() {
        while let (room, deadline) = unopened.first, room.isOpen || deadline <= eventLoop.now {
            unopened.removeFirst()
            guard !room.isOpen else { continue }
            for join in room.giveUpOpening() {
                join(.failure(BrokerError(code: .unavailable, message: "the room's subscription was not confirmed")))
            }
        }
        guard let next = unopened.first?.deadline else { return }
        eventLoop.assumeIsolated().scheduleTask(deadline: next) { [self] in watchUnopened() }
    }

    /// Somebody who is in the room joins again without asking for a replay.
    private func answerAgain(
        _ member: Member, in room: LoopRoom, completion: @escaping (Result<JoinOutcome, BrokerError>) -> Void
    ) {
        // It may have begun at a place of the log that the room has not reached here.
        func head() -> Position {
            if case .behind(let reached) = member.progress { max(room.position, reached) } else { room.position }
        }
        guard !room.name.isInbox else {
            return completion(.success(JoinOutcome(position: head(), recovered: nil, roster: nil)))
        }
        commands.members(of: room.name, after: nil, limit: settings.rosterLimit).assumeIsolated().whenComplete {
            if case .success(let roster) = $0 { member.rosterRevision = roster.revision }
            completion(
                $0.map {
                    JoinOutcome(position: head(), recovered: nil, roster: $0.naming(member.session.user))
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
            if !session.counts(in: room.name) {
                eventLoop.makeSucceededFuture(nil)
            } else if room.name.isInbox {
                // Nobody is told who is in an inbox.
                isNew
                    ? commands.enter(room.name, session: session.id, user: session.user).map { _ in nil }
                    : eventLoop.makeSucceededFuture(nil)
            } else if isNew {
                commands.enter(room.name, session: session.id, user: session.user).map { $0 }
            } else {
                commands.members(of: room.name, after: nil, limit: settings.rosterLimit)
                    .map { [user = session.user] in $0.naming(user) }
            }
        plan(replay, in: room).and(roster).assumeIsolated().whenComplete { [self] result in
            switch result {
            case .failure(let error):
                giveUp(member, isNew: isNew, at: fallback, in: room)
                completion(.failure(BrokerError(any: error)))
            case .success((let plan, let roster)):
                guard !member.isGone else { return completion(.failure(.sessionGone)) }
                begin(member, with: plan, roster: roster, in: room, completion: completion)
            }
        }
    }

    private func begin(
        _ member: Member, with plan: ReplayPlan, roster: Roster?, in room: LoopRoom,
        completion: @escaping (Result<JoinOutcome, BrokerError>) -> Void
    ) {
        // A client that comes from a node which is ahead of this one has seen more than this room has delivered here, and
        // of a log that is ahead of it the latest messages may all be yet to come.
        var head = room.position
        if plan.recovered != false, let start = plan.start { head = max(head, start) }
        completion(.success(JoinOutcome(position: head, recovered: plan.recovered, roster: roster)))
        guard !member.isGone else { return }
        if let roster {
            member.rosterRevision = roster.revision
            directory.joined(room.name, with: roster)
        }
        member.lossKnownUpTo = plan.recovered == false ? head : .zero
        writeHeldNotices(of: member)
        if let position = plan.rewind, position != member.rewoundTo {
            write(frame(of: .rewind(room: room.name, to: position)), to: member.session)
        }
        if let position = member.rewoundTo {
            // What it was to replay may be void: it begins again where the room did.
            member.rewoundTo = nil
            member.progress = .behind(min(position, plan.start ?? position))
            advance(member, in: room)
        } else if let start = plan.start {
            member.progress = .behind(start)
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
            member.session.setMember(nil, of: room.name)
            if member.session.counts(in: room.name) { commands.leave(room.name, session: member.session.id) }
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

extension Roster {
    /// The same with a user who is among so many that not all are named.
    fileprivate func naming(_ user: UserName) -> Roster {
        guard hasMore, !members.contains(user), !members.isEmpty else { return self }
        var roster = self
        roster.members[members.count - 1] = user
        return roster
    }
}

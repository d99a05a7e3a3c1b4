import ChatHub
import ChatProtocol
import Hiredis
import Logging
import NIOCore

/// Who is in which room: performs what ``PresenceLedger`` decides.
extension RedisCommands {
    /// Sessions whose commands are under way at a time.
    private static var sessionsUnderWay: Int { 2_000 }
    /// So many members a newcomer is told.
    private static var membersAtEntry: Int { 100 }

    func enter(_ room: RoomName, session: SessionID, user: UserName) -> EventLoopFuture<Roster> {
        eventLoop.assertInEventLoop()
        let promise = eventLoop.makePromise(of: Roster.self)
        if let failure = link.failure(for: room) {
            promise.fail(BrokerError.unavailable(failure))
            return promise.futureResult
        }
        presence.enter(.init(room: room, session: session), user: user, waiter: promise)
        schedulePresence()
        // The answer is one for all who entered together.
        return promise.futureResult.map { $0.naming(user) }
    }

    func leave(_ room: RoomName, session: SessionID) {
        eventLoop.assertInEventLoop()
        fail(presence.leave(.init(room: room, session: session)), .unavailable("the session left"))
        schedulePresence()
    }

    func members(of room: RoomName, after user: UserName?, limit: Int) -> EventLoopFuture<Roster> {
        askForMembers(of: room, atMost: -1) { RosterReply.page($0, after: user, limit: max(0, limit)) }
    }

    func roster(of room: RoomName, limit: Int) -> EventLoopFuture<Roster> {
        askForMembers(of: room, atMost: max(0, limit)) { RosterReply.roster($0) }
    }

    private func askForMembers(
        of room: RoomName, atMost limit: Int, as read: @escaping (Reply) -> Roster?
    ) -> EventLoopFuture<Roster> {
        ask { [self] completion in
            link.run(.members, keys: [keys.sessions(room), keys.users(room)], [.integer(limit)], completion)
        } as: { reply in
            read(reply)
        }
    }

    /// The connection stands anew: Redis may be another one, or have lost what it held.
    func connectionUp() {
        presence.storeMayHaveForgotten()
        schedulePresence()
    }

    func connectionDown() {
        fail(presence.connectionLost(), .unavailable(link.failure ?? "not connected"))
    }

    /// The node has a new name: all sessions enter under it.
    ///
    /// - Parameter entered: succeeds when all of them have, and fails when this ends before.
    func incarnationChanged(to incarnation: String, entered: EventLoopPromise<Void>) {
        guard !isStopped else { return entered.fail(BrokerError.unavailable("this node is shutting down")) }
        self.incarnation = incarnation
        presence.storeMayHaveForgotten()
        whenRestored.append(entered)
        schedulePresence()
    }

    /// Once a second: what failed is tried again.
    func retryPresence() {
        presence.retry()
        schedulePresence()
    }

    /// Everybody of this loop leaves. Completes when Redis knows; fails at once when somebody is left there and Redis is
    /// away: then the lease must run out, so that others take them out.
    func leaveAll() -> EventLoopFuture<Void> {
        eventLoop.assertInEventLoop()
        fail(presence.leaveAll(), .unavailable("this node is shutting down"))
        let promise = eventLoop.makePromise(of: Void.self)
        whenEverybodyLeft.append(promise)
        schedulePresence()
        return promise.futureResult
    }

    /// At the end of the turn, so that what it brings travels together.
    private func schedulePresence() {
        guard !isPresenceScheduled else { return }
        isPresenceScheduled = true
        eventLoop.assumeIsolated().execute { [self] in
            isPresenceScheduled = false
            sendPresence()
        }
    }

    private func sendPresence() {
        if link.isUp {
            link.together {
                for call in PresenceCall.joined(presence.next(limit: Self.sessionsUnderWay)) { send(call) }
            }
        }
        if !whenRestored.isEmpty, presence.isRestored {
            let waiting = whenRestored
            whenRestored.removeAll()
            for entered in waiting { entered.succeed() }
        }
        guard presence.isEmpty || !link.isUp else { return }
        let waiting = whenEverybodyLeft
        whenEverybodyLeft.removeAll()
        for promise in waiting {
            if presence.isEmpty {
                promise.succeed()
            } else {
                promise.fail(BrokerError.unavailable(link.failure ?? "not connected"))
            }
        }
    }

    private func send(_ call: PresenceCall) {
        let done: RedisConnection.Completion = { [self] in finished(call, $0) }
        let crowd = Argument.integer(PresenceFeed.crowdLimit)
        switch call {
        case .register(let room):
            link.send(["SADD", .text(keys.rooms(of: incarnation)), .text("\(loopNumber) \(room)")], done)
        case .unregister(let room):
            link.send(["SREM", .text(keys.rooms(of: incarnation)), .text("\(loopNumber) \(room)")], done)
        case .enter(let room, let entrants):
            let isAwaited = entrants.contains { presence.isAwaited(.init(room: room, session: $0.session)) }
            var arguments: [Argument] = [
                .text(keys.channel(room)), crowd, .text(incarnation),
                .integer(isAwaited && !room.isInbox ? Self.membersAtEntry : 0),
                .integer(room.isInbox ? configuration.sessionsPerUser : 0),
            ]
            for entrant in entrants {
                arguments.append(.text(entrant.session.description))
                arguments.append(.text(entrant.user.text))
            }
            link.run(.enter, keys: [keys.sessions(room), keys.users(room), keys.rules(room)], arguments, done)
        case .leave(let room, let sessions):
            link.run(
                .leave, keys: [keys.sessions(room), keys.users(room)],
                [.text(keys.channel(room)), crowd] + sessions.map { .text($0.description) }, done)
        }
    }

    private func finished(_ call: PresenceCall, _ result: Result<Reply, BrokerError>) {
        switch result {
        case .success(let reply):
            if case .enter(let room, let entrants) = call { return entered(room, entrants, reply) }
            let waiters = call.operations().flatMap { presence.succeeded($0) }
            fail(waiters, .unavailable("the session left"))
        case .failure(let error):
            logger.debug("Presence is not up to date in Redis", metadata: ["reason": "\(error)"])
            fail(call.operations().flatMap { presence.failed($0) }, error)
        }
        schedulePresence()
    }

    private func entered(_ room: RoomName, _ entrants: [PresenceCall.Entrant], _ reply: Reply) {
        let answer = RosterReply.entry(reply)
        for (number, entrant) in entrants.enumerated() {
            let membership = PresenceLedger<EventLoopPromise<Roster>>.Membership(room: room, session: entrant.session)
            if let why = answer?.refusals[number] {
                let waiters = presence.refused(membership)
                fail(waiters, .forbidden(why))
                counters.forbidden.add()
                if waiters.isEmpty { displaced(entrant.session, room, why) }
                continue
            }
            for waiter in presence.succeeded(.enter(membership, user: entrant.user)) {
                if let answer {
                    waiter.succeed(answer.roster)
                } else {
                    waiter.fail(BrokerError.malformed("the enter script answered what it never does"))
                }
            }
        }
        schedulePresence()
    }

    private func fail(_ waiters: [EventLoopPromise<Roster>], _ error: BrokerError) {
        for waiter in waiters { waiter.fail(error) }
    }
}

extension Roster {
    /// The same with a user who is among so many that not all are named.
    fileprivate func naming(_ user: UserName) -> Roster {
        guard hasMore, !members.isEmpty, !members.contains(user) else { return self }
        var roster = self
        roster.members.removeLast()
        let index = roster.members.firstIndex { user < $0 } ?? roster.members.endIndex
        roster.members.insert(user, at: index)
        return roster
    }
}

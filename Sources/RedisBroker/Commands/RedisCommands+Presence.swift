import ChatHub
import ChatProtocol
import Hiredis
import Logging
import NIOCore

/// Who is in which room: performs what ``PresenceLedger`` decides.
extension RedisCommands {
    private static var commandsUnderWay: Int { 500 }
    /// So many members a newcomer is told.
    private static var membersAtEntry: Int { 100 }

    func enter(_ room: RoomName, session: SessionID, user: UserName) -> EventLoopFuture<Roster> {
        eventLoop.assertInEventLoop()
        let promise = eventLoop.makePromise(of: Roster.self)
        guard link.isUp else {
            promise.fail(BrokerError.unavailable(link.failure ?? "not connected"))
            return promise.futureResult
        }
        presence.enter(.init(room: room, session: session), user: user, waiter: promise)
        schedulePresence()
        return promise.futureResult
    }

    func leave(_ room: RoomName, session: SessionID) {
        eventLoop.assertInEventLoop()
        fail(presence.leave(.init(room: room, session: session)), .unavailable("the session left"))
        schedulePresence()
    }

    /// The connection stands anew: Redis may be another one, or have lost what it held.
    func connectionUp() {
        presence.storeMayHaveForgotten()
        schedulePresence()
    }

    func connectionDown() {
        fail(presence.connectionLost(), .unavailable(link.failure ?? "not connected"))
    }

    /// The node was declared dead, and its sessions are being removed under the old name.
    func incarnationChanged(to incarnation: String) {
        self.incarnation = incarnation
        presence.storeMayHaveForgotten()
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

    /// At the end of the turn, so that a session that leaves many rooms costs one write.
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
            for operation in presence.next(limit: Self.commandsUnderWay) { send(operation) }
            link.flush()
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

    private func send(_ operation: PresenceLedger<EventLoopPromise<Roster>>.Operation) {
        let done: RedisConnection.Completion = { [self] in finished(operation, $0) }
        switch operation {
        // Registration and entry travel on one connection, so the first is done before the second.
        case .register(let room):
            link.send(["SADD", .text(keys.rooms(of: incarnation)), .text("\(loopNumber) \(room)")], done)
        case .unregister(let room):
            link.send(["SREM", .text(keys.rooms(of: incarnation)), .text("\(loopNumber) \(room)")], done)
        case .enter(let membership, let user):
            link.run(
                .enter, keys: [keys.sessions(membership.room), keys.users(membership.room)],
                [
                    .text(keys.channel(membership.room)), .text(membership.session.description), .text(user.text),
                    .text(incarnation), .integer(Self.membersAtEntry),
                ], done)
        case .leave(let membership):
            link.run(
                .leave, keys: [keys.sessions(membership.room), keys.users(membership.room)],
                [.text(keys.channel(membership.room)), .text(membership.session.description)], done)
        }
    }

    private func finished(
        _ operation: PresenceLedger<EventLoopPromise<Roster>>.Operation, _ result: Result<Reply, BrokerError>
    ) {
        switch result {
        case .success(let reply):
            let waiters = presence.succeeded(operation)
            if !waiters.isEmpty {
                let roster = RosterReply.roster(reply)
                for waiter in waiters {
                    if let roster {
                        waiter.succeed(roster)
                    } else {
                        waiter.fail(BrokerError.malformed("the enter script answered what it never does"))
                    }
                }
            }
        case .failure(let error):
            logger.debug("Presence is not up to date in Redis", metadata: ["reason": "\(error)"])
            fail(presence.failed(operation), error)
        }
        schedulePresence()
    }

    private func fail(_ waiters: [EventLoopPromise<Roster>], _ error: BrokerError) {
        for waiter in waiters { waiter.fail(error) }
    }
}

import ChatProtocol
import Logging
import NIOCore

/// Comparing rooms with their logs: what is missing here is read, what is missing there is given back.
extension RoomDirectory {
    static let auditTick = TimeAmount.milliseconds(500)

    func scheduleAudit(of room: Room, in ticks: Int) {
        room.auditTurn &+= 1
        audits.add((room, room.auditTurn), in: ticks)
    }

    /// Asks for the rooms whose turn has come: all of them in a call.
    func auditSomeRooms() {
        var due: [Room] = []
        for (room, turn) in audits.next() where turn == room.auditTurn && !room.isClosed {
            if !isStoreAvailable {
                scheduleAudit(of: room, in: 2)
            } else if takeTurn(room) {
                due.append(room)
            }
        }
        audit(due)
    }

    /// The room's turn has come.
    ///
    /// - Returns: whether its log is to be looked at: not when something was heard since the last time.
    private func takeTurn(_ room: Room) -> Bool {
        let isQuiet = !room.wasHeard
        room.wasHeard = false
        if !isQuiet { room.quietTicks = 0 }
        let pause = AuditSchedule<Room>.pause(quietFor: Int(room.quietTicks))
        room.quietTicks = Int32(clamping: Int(room.quietTicks) + pause)
        scheduleAudit(of: room, in: pause)
        return isQuiet
    }

    /// Asks where the logs of rooms end that have their place.
    func audit(_ rooms: some Sequence<Room>) {
        guard let commands else { return }
        forEachCall(rooms.filter { $0.feed.isFollowing }) { rooms in
            counters.audits += rooms.count
            let positions = rooms.map(\.feed.position)
            let asked = rooms.map { ExpectedEnd(room: $0.name, position: $0.feed.expectedEnd) }
            asking(commands.ends(of: asked), about: asked.count).assumeIsolated().whenSuccess { [self] ends in
                for (index, end) in ends.enumerated() where end != .asExpected {
                    audited(rooms[index], end, askedAt: positions[index])
                }
                receivedAllForNow()
            }
        }
    }

    private func audited(_ room: Room, _ end: LogEnd, askedAt position: Position?) {
        guard !room.isClosed else { return }
        switch end {
        case .asExpected:
            break
        case .at(let head):
            // What was heard while the question was under way speaks for itself.
            if head > position ?? .zero, room.feed.position != position { return scheduleAudit(of: room, in: 1) }
            perform(room.feed.audited(head: head), for: room)
        case .unknown:
            counters.failedReads += 1
            room.quietTicks = 0
            scheduleAudit(of: room, in: 1)
        }
    }

    /// Asks for the end of a room's log, at which its feed begins; together with what else this turn brings.
    func locate(_ room: Room, request: Int) {
        unlocated.append((room, request))
        guard unlocated.count == 1 else { return }
        eventLoop.assumeIsolated().execute { [self] in
            let all = unlocated
            unlocated = []
            guard let commands else { return }
            forEachCall(all) { asked in
                let logs = asked.map { ExpectedEnd(room: $0.room.name, position: nil) }
                asking(commands.ends(of: logs), about: logs.count).assumeIsolated().whenSuccess { [self] ends in
                    for ((room, request), end) in zip(asked, ends) where !room.isClosed {
                        located(room, request: request, end)
                    }
                    receivedAllForNow()
                }
            }
        }
    }

    private func located(_ room: Room, request: Int, _ end: LogEnd) {
        switch end {
        case .at(let head):
            let slice = LogSlice(entries: [], isComplete: true, hasMore: false, head: head)
            perform(room.feed.finished(request, with: slice), for: room)
        case .asExpected, .unknown:
            counters.failedReads += 1
            if room.feed.failed(request) { scheduleRetry(for: room, in: settings.retryDelay) }
        }
    }

    /// So many logs are asked for in one call that Redis has done with it within a millisecond.
    private static let roomsInACall = 500

    private func forEachCall<Asked>(_ all: [Asked], _ body: ([Asked]) -> Void) {
        for start in stride(from: 0, to: all.count, by: Self.roomsInACall) {
            body(Array(all[start..<min(start + Self.roomsInACall, all.count)]))
        }
    }

    /// Gives a log back what it lost, as far as it is held here.
    func restore(_ request: RoomFeed.RestoreRequest, for room: Room) {
        guard let commands else { return }
        seal(room)
        let common = room.tail.lastInCommon(upTo: request.after, of: room.position)
        let isWhole = room.tail.reaches(back: common)
        guard request.isLastResort || isWhole else { return scheduleRetry(for: room, in: settings.restoreGrace) }
        let entries = room.tail.entries(after: common)
        guard !entries.isEmpty else { return perform(room.feed.heldNothing(request.id, common: common), for: room) }
        logger.notice(
            "The store lacks messages that this node has delivered, which are given back",
            metadata: ["room": "\(room.name)", "after": "\(request.after)", "messages": "\(entries.count)"])
        // What our history has beyond the place where it left that of the log is not taken for more of the same.
        let previous = isWhole || common < request.after ? common : nil
        commands.restore(entries, after: previous, to: room.name).assumeIsolated().whenComplete { [self] result in
            guard !room.isClosed else { return }
            switch result {
            case .success(.forked(let earlier)) where isWhole && earlier < common:
                // The log has parted from us even before: more is to be given back.
                var request = request
                request.after = earlier
                restore(request, for: room)
            case .success(let restoration):
                counters.restoredMessages += entries.count
                perform(room.feed.restored(request.id, inCommon(restoration, with: room)), for: room)
                receivedAllForNow()
            case .failure(let error):
                counters.failedReads += 1
                logger.debug(
                    "Giving messages back failed", metadata: ["room": "\(room.name)", "error": "\(error)"])
                if room.feed.failed(request.id) { scheduleRetry(for: room, in: settings.retryDelay) }
            }
        }
    }

    private func inCommon(_ restoration: Restoration, with room: Room) -> Restoration {
        switch restoration {
        case .restored: .restored
        case .forked(let end): .forked(at: room.tail.lastInCommon(upTo: end, of: room.position))
        }
    }
}

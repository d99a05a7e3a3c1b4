import ChatProtocol
import Logging
import NIOCore

/// Comparing rooms with their logs: what is missing here is read, what is missing there is given back.
extension RoomDirectory {
    static let auditTick = TimeAmount.milliseconds(500)

    func scheduleAudit(of room: Room, in ticks: Int) {
        room.auditTurn += 1
        audits.add((room, room.auditTurn), in: ticks)
    }

    /// The room's turn has come: if it was quiet, its log is looked at.
    func takeTurn(_ room: Room) {
        if room.wasHeard {
            room.wasHeard = false
            room.quietTicks = 0
        } else if room.isLocated {
            audit(room)
        }
        let pause = AuditSchedule<Room>.pause(quietFor: room.quietTicks)
        room.quietTicks += pause
        scheduleAudit(of: room, in: pause)
    }

    /// Asks where the room's log ends.
    func audit(_ room: Room) {
        guard let commands, room.feed.isFollowing else { return }
        counters.audits += 1
        commands.head(of: room.name).assumeIsolated().whenComplete { [self] result in
            guard rooms[room.name] === room else { return }
            switch result {
            case .success(let head):
                // What was heard while the question was under way speaks for itself.
                if head > room.position, room.wasHeard { return scheduleAudit(of: room, in: 1) }
                perform(room.feed.audited(head: head), for: room)
                receivedAllForNow()
            case .failure:
                counters.failedReads += 1
                room.quietTicks = 0
                scheduleAudit(of: room, in: 1)
            }
        }
    }

    /// Gives a log back what it lost, as far as it is held here.
    func restore(_ request: RoomFeed.RestoreRequest, for room: Room) {
        guard let commands else { return }
        seal(room)
        guard request.isLastResort || room.tail.reaches(back: request.after) else {
            return scheduleRetry(for: room, in: settings.restoreGrace)
        }
        let entries = room.tail.entries(after: request.after)
        guard !entries.isEmpty else { return perform(room.feed.heldNothing(request.id), for: room) }
        logger.notice(
            "The store lacks messages that this node has delivered, which are given back",
            metadata: ["room": "\(room.name)", "after": "\(request.after)", "messages": "\(entries.count)"])
        commands.restore(entries, to: room.name).assumeIsolated().whenComplete { [self] result in
            guard rooms[room.name] === room else { return }
            switch result {
            case .success(let restoration):
                counters.restoredMessages += entries.count
                perform(room.feed.restored(request.id, restoration), for: room)
                receivedAllForNow()
            case .failure(let error):
                counters.failedReads += 1
                logger.debug(
                    "Giving messages back failed", metadata: ["room": "\(room.name)", "error": "\(error)"])
                if room.feed.failed(request.id) { scheduleRetry(for: room, in: settings.retryDelay) }
            }
        }
    }
}

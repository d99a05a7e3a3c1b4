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
            guard rooms[room.name] === room else { return }
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

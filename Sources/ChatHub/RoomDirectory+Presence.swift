import ChatProtocol
import Logging
import NIOCore

/// Who comes and goes: performs what a room's ``PresenceFeed`` decides. One roster is read for a room and node, however
/// many sessions; for a room without members on this node nothing is kept.
extension RoomDirectory {
    /// Changes may have been missed: what members were told is compared with the store.
    func doubtPresence(in room: Room) {
        guard let attendance = room.attendance else { return }
        perform(attendance.presence.doubted(), for: room)
    }

    /// From a loop: a session has joined, and was told who is in the room.
    func joined(_ name: RoomName, with roster: Roster) {
        eventLoop.execute { [self] in
            guard let room = rooms[name], let attendance = room.attendance else { return }
            perform(attendance.presence.joined(with: roster, at: eventLoop.now), for: room)
            receivedAllForNow()
        }
    }

    func perform(_ action: PresenceFeed.Action, for room: Room) {
        for notice in action.notices { tell(notice, to: room) }
        if let question = action.question { askForRoster(question, of: room) }
        wakePresence(of: room)
    }

    private func tell(_ notice: PresenceFeed.Notice, to room: Room) {
        let kind = Delivery.Segment.Kind.notice(revision: notice.revision)
        // A user is never told of itself: it is there, and knows.
        switch notice.event {
        case .came(let user, let origin):
            append(
                .userJoined(room: room.name, user: user, count: notice.count), as: kind, exceptFor: origin,
                exceptUser: user, since: notice.since, to: room)
        case .left(let user):
            append(
                .userLeft(room: room.name, user: user, count: notice.count), as: kind, exceptUser: user,
                since: notice.since, to: room)
        case .counted:
            append(.count(room: room.name, count: notice.count), as: kind, since: notice.since, to: room)
        }
    }

    private func askForRoster(_ question: Int, of room: Room) {
        guard let commands, let attendance = room.attendance else { return }
        asking(commands.roster(of: room.name, limit: settings.presenceLimit)).assumeIsolated().whenComplete {
            [self] result in
            guard !room.isClosed else { return }
            switch result {
            case .success(let roster):
                let wasOpen = room.isOpen
                perform(attendance.presence.answered(question, with: roster, at: eventLoop.now), for: room)
                if room.isOpen, !wasOpen { tellOpened(room) }
                receivedAllForNow()
            case .failure(let error):
                counters.failedReads += 1
                logger.debug("Reading a room's roster failed", metadata: ["room": "\(room.name)", "error": "\(error)"])
                attendance.presence.failed(question, at: eventLoop.now)
                wakePresence(of: room)
            }
        }
    }

    private func wakePresence(of room: Room) {
        guard let attendance = room.attendance, let wakeUp = attendance.presence.wakeUp else { return }
        guard wakeUp < attendance.wakeUp else { return }
        attendance.wakeUp = wakeUp
        eventLoop.assumeIsolated().scheduleTask(deadline: wakeUp) { [self] in
            // Another one was scheduled for an earlier time, and has done this one's work.
            guard !room.isClosed, attendance.wakeUp == wakeUp else { return }
            attendance.wakeUp = .distantFuture
            perform(attendance.presence.timePassed(at: eventLoop.now), for: room)
            receivedAllForNow()
        }
    }
}

extension RoomDirectory.Settings {
    var presenceLimits: PresenceFeed.Limits {
        var limits = PresenceFeed.Limits()
        limits.users = presenceLimit
        limits.countInterval = countInterval
        limits.departureDelay = departureDelay
        limits.retryDelay = retryDelay
        return limits
    }
}

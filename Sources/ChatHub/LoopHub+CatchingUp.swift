import ChatProtocol
import NIOCore

/// Members that have reached a position behind the room's: taken on from the ring, else from the log.
extension LoopHub {
    func fallBehind(_ member: Member, at position: Position, in room: LoopRoom) {
        member.progress = .behind(position)
        metrics.slowMembers += 1
        noteLagging(member, in: room)
    }

    func noteLagging(_ member: Member, in room: LoopRoom) {
        if !member.session.lagging.contains(room.name) { member.session.lagging.append(room.name) }
    }

    /// Takes a member on as far as its socket takes data: from the ring, else from the log.
    func advance(_ member: Member, in room: LoopRoom) {
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
                case .notice, .signal, .rewind: return false
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
    func write(_ entries: [LogEntry], to member: Member) -> Position? {
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
}

import ChatProtocol
import NIOCore

/// Members that have reached a position behind the room's: taken on from the frames in memory, else from the log.
extension LoopHub {
    func fallBehind(_ member: Member, at position: Position, in room: LoopRoom) {
        member.progress = .behind(position)
        metrics.slowMembers += 1
        noteLagging(member, in: room)
    }

    func noteLagging(_ member: Member, in room: LoopRoom) {
        if case .behind = member.progress { room.rest(member) }
        guard !member.isLagging else { return }
        member.isLagging = true
        member.session.lagging.append(room.name)
    }

    /// Takes a member on as far as its socket takes data: from memory, else from the log.
    func advance(_ member: Member, in room: LoopRoom) {
        while case .behind(let reached) = member.progress, !member.isReading, !member.isGone {
            if reached == room.position {
                member.progress = .live
                room.wake(member)
                return
            }
            // It is ahead of us: what we deliver next it has already, until we are there too.
            if reached > room.position { return }
            guard member.session.isWritable else { return noteLagging(member, in: room) }
            guard let delivery = delivery(after: reached, in: room) else {
                member.isReading = true
                read(after: reached, in: room, for: .member(member))
                return
            }
            write(delivery, after: reached, to: member)
            member.progress = .behind(delivery.last)
        }
    }

    /// Writes what a delivery holds after a position.
    private func write(_ delivery: Delivery, after reached: Position, to member: Member) {
        let id = member.session.id
        // The last message before the one that is looked at; nil while that is one which the member has not reached.
        var passed: Position? = reached == delivery.previous ? reached : nil
        delivery.forEachRun(where: { segment in
            switch segment.kind {
            case .message(let position):
                defer { passed = position >= reached ? position : nil }
                return position > reached && segment.exceptFor != id
            case .gap: return passed.map { $0 >= member.lossKnownUpTo } ?? false
            case .notice, .signal, .rewind: return false
            }
        }) {
            metrics.caughtUpBytes += $0.readableBytes
            write($0, to: member.session)
        }
        metrics.caughtUpMessages += delivery.messageCount(after: reached)
    }

    /// A page of the log came that a member has waited for since it had reached a position.
    func takeOn(_ member: Member, from reached: Position, with page: LogPage, in room: LoopRoom) {
        member.isReading = false
        guard !member.isGone else { return }
        // Unless it has been taken elsewhere meanwhile: it has joined again, or the room went back.
        if case .behind(reached) = member.progress, let common = page.parting(from: reached) {
            // What it was brought comes from a store that is no more.
            replays.forget(room.name)
            write(frame(of: .rewind(room: room.name, to: common)), to: member.session)
            member.progress = .behind(common)
        }
        if case .behind(reached) = member.progress, !page.hasFrames(after: reached), reached < page.asked {
            // The room has delivered more than the log still has.
            guard member.session.isWritable else { return noteLagging(member, in: room) }
            if reached >= member.lossKnownUpTo {
                write(
                    frame(of: .gap(room: room.name, after: reached, before: page.next(after: reached))),
                    to: member.session)
            }
            member.progress = .behind(page.asked)
        }
        advance(member, in: room)
    }

    /// A frame for one session only.
    func frame(of event: ServerMessage) -> ByteBuffer {
        var json = ByteBuffer()
        event.write(into: &json)
        var frame = ByteBuffer()
        TextFrame.writeHeader(payload: json.readableBytes, into: &frame)
        frame.writeImmutableBuffer(json)
        return frame
    }
}

import ChatProtocol
import Histogram
import NIOCore

/// What must be true of everything that users of a shard are told.
extension LoadShard {
    func delivered(_ marker: Marker, at position: Position, to user: VirtualUser, _ place: Int) {
        let now = NIODeadline.now()
        lastReceipt = now
        let local = user.memberships[place].local
        guard marker.number < rooms[local].entries.count else {
            return strayed(marker, at: position, to: user)
        }
        let entry = rooms[local].entries[marker.number]
        let isSameNode = Int(entry.node) == user.node
        count(isSameNode, \.delivered)
        if !rooms[local].stands(marker.number, at: position) {
            tally.counts.misplaced += 1
            offend(
                .misplaced, user, user.memberships[place], marker.number, position,
                detail: "others saw it at \(entry.position), \(from(entry))")
        }
        let last = user.memberships[place].receipts.last
        switch user.memberships[place].receipts.received(marker.number, at: position) {
        case .good:
            break
        case .doubled:
            count(isSameNode, \.doubled)
            offend(.doubled, user, user.memberships[place], marker.number, position, detail: from(entry))
            return
        case .outOfOrder:
            count(isSameNode, \.outOfOrder)
            offend(
                .outOfOrder, user, user.memberships[place], marker.number, position,
                detail: "came after \(last), \(from(entry))")
        }
        rooms[local].received(marker.number, by: user.index, readsAtOnce: !user.isSlow)
        if marker.sender == user.index, entry.isAcknowledged { slotFreed() }
        guard !user.isSlow, !waitedOnPurpose(marker, for: user) else { return }
        let latency = Self.microseconds(from: marker, to: now)
        recent.record(latency)
        if isSameNode { tally.sameNode.record(latency) } else { tally.otherNode.record(latency) }
    }

    /// A message of a room that the user is not in, or that was never sent.
    func strayed(_ marker: Marker, at position: Position, to user: VirtualUser) {
        tally.counts.misplaced += 1
        tally.record(
            Offence(
                kind: .misplaced, user: user.name.text, room: plan.roomName(marker.room)?.text ?? "",
                position: position.description, node: name(ofNode: user.node),
                detail: "message \(marker.number) of a room that the user is not in, or that was never sent"))
    }

    func acknowledged(_ marker: Marker, at position: Position, by user: VirtualUser) {
        let now = NIODeadline.now()
        lastReceipt = now
        guard let membership = user.memberships.first(where: { $0.room == marker.room }) else { return }
        guard rooms[membership.local].acknowledged(marker.number) else { return }
        tally.counts.acknowledged += 1
        if !rooms[membership.local].stands(marker.number, at: position) {
            tally.counts.misplaced += 1
            offend(
                .misplaced, user, membership, marker.number, position, detail: "acknowledged here, delivered elsewhere")
        }
        if rooms[membership.local].entries[marker.number].isDone { slotFreed() }
        guard !user.isSlow, !waitedOnPurpose(marker, for: user) else { return }
        tally.acknowledgement.record(Self.microseconds(from: marker, to: now))
    }

    /// The message was due while its sender or the receiver was kept away by the test, which says nothing of the cluster.
    private func waitedOnPurpose(_ marker: Marker, for user: VirtualUser) -> Bool {
        guard hadGhosts else { return false }
        return marker.dueAt < max(user.awayUntil, byClient[marker.sender]?.awayUntil ?? 0)
    }

    /// The node could not store a message at once, and the user's next one was on its way already.
    func mayStandLater(_ number: Int, in local: Int) {
        rooms[local].mayStandLater(number)
    }

    /// A node told a user of a loss.
    func lost(in local: Int, after: Position, before: Position?) {
        lastReceipt = .now()
        rooms[local].lost(after: after, before: before ?? Position(epoch: .max, seq: .max))
    }

    func refused(_ user: VirtualUser, _ refusal: Refusal) {
        tally.counts.refused += 1
        tally.record(
            Offence(
                kind: .refused, user: user.name.text, room: refusal.room ?? "", position: "",
                node: name(ofNode: user.node), detail: "\(refusal.code.rawValue): \(refusal.message)"))
    }

    func refused(_ marker: Marker, by user: VirtualUser, _ refusal: Refusal) {
        guard let membership = user.memberships.first(where: { $0.room == marker.room }) else { return }
        rooms[membership.local].refused(marker.number)
        tally.counts.refused += 1
        offend(.refused, user, membership, marker.number, detail: "\(refusal.code.rawValue): \(refusal.message)")
        slotFreed()
    }

    private func count(_ isSameNode: Bool, _ what: WritableKeyPath<Deliveries, Int>) {
        if isSameNode { tally.counts.sameNode[keyPath: what] += 1 } else { tally.counts.otherNode[keyPath: what] += 1 }
    }

    private func from(_ entry: RoomLedger.Entry) -> String {
        "from \(plan.userName(Int(entry.sender))?.text ?? "nobody") on \(name(ofNode: Int(entry.node)))"
    }

    private func offend(
        _ kind: Offence.Kind, _ user: VirtualUser, _ membership: VirtualUser.Membership, _ number: Int,
        _ position: Position? = nil, detail: @autoclosure () -> String
    ) {
        let stands = position ?? rooms[membership.local].entries[number].position
        tally.record(
            Offence(
                kind: kind, user: user.name.text, room: membership.name.text,
                position: stands == .zero ? "" : stands.description, node: name(ofNode: user.node),
                detail: "message \(number), \(detail())"))
    }

    private static func microseconds(from marker: Marker, to now: NIODeadline) -> UInt64 {
        let elapsed = now.uptimeNanoseconds > marker.dueAt ? now.uptimeNanoseconds - marker.dueAt : 0
        return min(max(elapsed / 1000, 1), LoadTally.longest)
    }

    // MARK: - The end

    /// Everything that was sent is answered, and everything that is stored is with everyone, or told to be lost.
    var isComplete: Bool {
        guard isSendingDone, isAllReady, ghosts.isEmpty, !users.contains(where: \.hasUnanswered) else { return false }
        return users.allSatisfy { user in
            user.memberships.allSatisfy { membership in
                let ledger = rooms[membership.local]
                if membership.receipts.count >= ledger.storedCount { return true }
                guard membership.receipts.wasToldOfLosses else { return false }
                return ledger.entries.indices.allSatisfy {
                    !ledger.isStored($0) || membership.receipts.has($0)
                        || membership.receipts.wasToldLost(ledger.entries[$0].position)
                }
            }
        }
    }

    /// The last look: what did not come counts.
    func finish() {
        eventLoop.assertInEventLoop()
        tally.counts.connected = connectedCount
        for local in rooms.indices { judge(local) }
        for user in users {
            for membership in user.memberships { judge(user, membership) }
        }
        stop()
    }

    private func judge(_ local: Int) {
        let ledger = rooms[local]
        for number in ledger.outOfSenderOrder {
            offend(.outOfOrder, at: local, number, detail: "stands before an earlier one of the same sender")
            tally.counts.sendersOutOfOrder += 1
        }
        for (number, entry) in ledger.entries.enumerated() where !entry.isStored && !entry.isRefused {
            offend(.unanswered, at: local, number, detail: "never acknowledged, seen by nobody")
            tally.counts.unanswered += 1
        }
    }

    private func offend(_ kind: Offence.Kind, at local: Int, _ number: Int, detail: String) {
        guard let sender = byClient[Int(rooms[local].entries[number].sender)],
            let membership = sender.memberships.first(where: { $0.local == local })
        else { return }
        offend(kind, sender, membership, number, detail: detail)
    }

    private func judge(_ user: VirtualUser, _ membership: VirtualUser.Membership) {
        let ledger = rooms[membership.local]
        guard membership.receipts.count < ledger.storedCount else { return }
        for (number, entry) in ledger.entries.enumerated() where entry.isStored && !membership.receipts.has(number) {
            let isTold = membership.receipts.wasToldLost(entry.position)
            // Counted once, with the sender.
            if entry.sender == Int32(truncatingIfNeeded: user.index), entry.isAcknowledged, !entry.wasReceived {
                if isTold { tally.counts.neverCameTold += 1 } else { tally.counts.neverCame += 1 }
            }
            let isSameNode = Int(entry.node) == user.node
            guard !isTold else {
                count(isSameNode, \.toldLost)
                continue
            }
            count(isSameNode, \.missing)
            if entry.isAcknowledged { tally.counts.missingAcknowledged += 1 }
            offend(.missing, user, membership, number, detail: from(entry))
        }
    }
}

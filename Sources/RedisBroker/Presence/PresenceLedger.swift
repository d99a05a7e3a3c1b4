import ChatProtocol

/// Which sessions of one event loop are in which rooms, and what Redis knows of it.
///
/// For each session in a room at most one command is under way, so that they cannot overtake each other. What failed is
/// tried again until it took effect. `Waiter` is whoever waits for an answer.
struct PresenceLedger<Waiter> {
    struct Membership: Hashable {
        var room: RoomName
        var session: SessionID
    }

    enum Operation: Equatable {
        /// Before the first session of the room enters: whoever sweeps after us must know where to look. Entries follow
        /// when it took effect, as they may travel on another connection.
        case register(RoomName)
        case enter(Membership, user: UserName)
        case leave(Membership)
        /// No session of the room is left.
        case unregister(RoomName)
    }

    private struct Entry {
        var user: UserName
        var isWanted = true
        /// What Redis was last known to hold.
        var isPresent = false
        /// Redis may hold something else than ``isPresent`` says.
        var isDoubtful = false
        var isUnderWay = false
        var isQueued = false
        /// Waits until its room is registered.
        var isHeld = false
        var waiters: [Waiter] = []
        /// The waiters of the command that is under way.
        var asking: [Waiter] = []

        var needsCommand: Bool {
            isWanted ? !isPresent || isDoubtful || !waiters.isEmpty : isPresent || isDoubtful
        }
    }

    private var entries: [Membership: Entry] = [:]
    private var sessionsInRoom: [RoomName: Int] = [:]
    private enum Registration: Equatable {
        /// ``losses`` when it began.
        case underWay(losses: Int)
        case done
        /// To be repeated at the next ``retry()``, or for somebody new.
        case failed
    }

    private var registrations: [RoomName: Registration] = [:]
    private var registrationsDue: Set<RoomName> = []
    private var held: [RoomName: [Membership]] = [:]
    /// Rooms that Redis may list for this node, whatever was lost since.
    private var listed: Set<RoomName> = []
    private var unregistrationsFailed: Set<RoomName> = []
    private var emptied: Set<RoomName> = []
    private var queue: [Membership] = []
    private var failed: [Membership] = []
    private var underWay = 0
    /// Counts the times that Redis may have lost what it held.
    private var losses = 0
    private var lossesAtStart: [Membership: Int] = [:]

    /// Nothing is left to do, and nobody is in any room.
    var isEmpty: Bool { entries.isEmpty }

    var rooms: Int { sessionsInRoom.count }

    /// Whether Redis holds everybody as it should who was there at the last ``storeMayHaveForgotten()``.
    var isRestored: Bool { !entries.values.contains { $0.isDoubtful } }

    /// Whether somebody waits for the answer to the command that is under way.
    func isAwaited(_ membership: Membership) -> Bool { entries[membership]?.asking.isEmpty == false }

    mutating func enter(_ membership: Membership, user: UserName, waiter: Waiter) {
        if entries[membership] == nil {
            entries[membership] = Entry(user: user)
            sessionsInRoom[membership.room, default: 0] += 1
            emptied.remove(membership.room)
        }
        entries[membership]?.isWanted = true
        entries[membership]?.waiters.append(waiter)
        enqueue(membership)
    }

    /// The waiters that nobody needs to answer with a roster any more.
    mutating func leave(_ membership: Membership) -> [Waiter] {
        guard var entry = entries[membership] else { return [] }
        let waiters = entry.waiters
        entry.waiters = []
        entry.isWanted = false
        entries[membership] = entry
        if entry.needsCommand || entry.isUnderWay { enqueue(membership) } else { remove(membership) }
        return waiters
    }

    /// Everybody leaves: the node shuts down.
    mutating func leaveAll() -> [Waiter] { Array(entries.keys).flatMap { leave($0) } }

    /// The connection was made anew, or the node has a new incarnation: whoever is wanted enters again.
    mutating func storeMayHaveForgotten() {
        losses += 1
        registrationsDue.removeAll()
        for (room, registration) in registrations {
            switch registration {
            case .done, .failed: registrations[room] = nil
            case .underWay: break
            }
        }
        unregisterAgain()
        failed.removeAll()
        for membership in Array(entries.keys) {
            entries[membership]?.isDoubtful = true
            enqueue(membership)
        }
    }

    /// The connection is gone: nothing can be sent for now. Who waited for what was not sent yet.
    mutating func connectionLost() -> [Waiter] {
        var waiters: [Waiter] = []
        for (membership, var entry) in entries where !entry.waiters.isEmpty {
            waiters += entry.waiters
            entry.waiters = []
            if !entry.isPresent { entry.isWanted = false }
            entries[membership] = entry
            enqueue(membership)
        }
        return waiters
    }

    /// Gives what failed another chance.
    mutating func retry() {
        for (room, registration) in registrations where registration == .failed {
            registrations[room] = nil
            registrationsDue.insert(room)
        }
        unregisterAgain()
        let again = failed
        failed.removeAll()
        for membership in again { enqueue(membership) }
    }

    private mutating func unregisterAgain() {
        emptied.formUnion(unregistrationsFailed)
        unregistrationsFailed.removeAll()
    }

    /// What to send now, with no more than `limit` commands of sessions under way in all.
    mutating func next(limit: Int) -> [Operation] {
        var operations: [Operation] = []
        for room in registrationsDue where sessionsInRoom[room] != nil && registrations[room] == nil {
            operations.append(register(room))
        }
        registrationsDue.removeAll()
        var index = 0
        while index < queue.count, underWay < limit {
            let membership = queue[index]
            index += 1
            guard var entry = entries[membership] else { continue }
            entry.isQueued = false
            if entry.isUnderWay || !entry.needsCommand {
                entries[membership] = entry
                if !entry.isUnderWay, !entry.isWanted { remove(membership) }
                continue
            }
            if entry.isWanted, registrations[membership.room] != .done {
                if !entry.isHeld { held[membership.room, default: []].append(membership) }
                entry.isHeld = true
                entries[membership] = entry
                switch registrations[membership.room] {
                case nil: operations.append(register(membership.room))
                case .failed where !entry.waiters.isEmpty: operations.append(register(membership.room))
                case .failed, .underWay, .done: break
                }
                continue
            }
            entry.isUnderWay = true
            entry.asking = entry.waiters
            entry.waiters = []
            operations.append(entry.isWanted ? .enter(membership, user: entry.user) : .leave(membership))
            entries[membership] = entry
            lossesAtStart[membership] = losses
            underWay += 1
        }
        queue.removeFirst(index)
        var later: Set<RoomName> = []
        for room in emptied where sessionsInRoom[room] == nil {
            if case .underWay = registrations[room] {
                later.insert(room)
            } else if listed.remove(room) != nil {
                registrations[room] = nil
                operations.append(.unregister(room))
            }
        }
        emptied = later
        return operations
    }

    private mutating func register(_ room: RoomName) -> Operation {
        registrations[room] = .underWay(losses: losses)
        listed.insert(room)
        return .register(room)
    }

    /// A command took effect. Who waited for it.
    mutating func succeeded(_ operation: Operation) -> [Waiter] { ended(operation, tookEffect: true) }

    /// A session may not enter: it is not in the room, and will not be. Who waited for it.
    mutating func refused(_ membership: Membership) -> [Waiter] {
        guard let entry = entries[membership], entry.isUnderWay else { return [] }
        underWay -= 1
        lossesAtStart[membership] = nil
        remove(membership)
        return entry.asking + entry.waiters
    }

    /// A command failed; whether it took effect is not known. Who waited for it.
    ///
    /// A session that was not in the room before is not in it now: whoever asked is told so, and Redis will be.
    mutating func failed(_ operation: Operation) -> [Waiter] { ended(operation, tookEffect: false) }

    private mutating func ended(_ operation: Operation, tookEffect: Bool) -> [Waiter] {
        let membership: Membership
        let isPresent: Bool
        switch operation {
        case .enter(let who, _): (membership, isPresent) = (who, true)
        case .leave(let who): (membership, isPresent) = (who, false)
        case .register(let room): return registered(room, tookEffect: tookEffect)
        case .unregister(let room):
            if !tookEffect {
                listed.insert(room)
                unregistrationsFailed.insert(room)
            }
            return []
        }
        guard var entry = entries[membership], entry.isUnderWay else { return [] }
        var waiters = entry.asking
        entry.asking = []
        entry.isUnderWay = false
        underWay -= 1
        let lossesBefore = lossesAtStart.removeValue(forKey: membership)
        if tookEffect {
            entry.isPresent = isPresent
            entry.isDoubtful = lossesBefore != losses
            entries[membership] = entry
            if entry.needsCommand {
                enqueue(membership)
            } else if !entry.isWanted {
                remove(membership)
            }
        } else {
            waiters += entry.waiters
            entry.waiters = []
            if !waiters.isEmpty, !isPresent || !entry.isPresent { entry.isWanted = false }
            entry.isDoubtful = true
            entries[membership] = entry
            failed.append(membership)
        }
        return waiters
    }

    /// Who waited for a registration that failed: whoever was not in the room is not in it now.
    private mutating func registered(_ room: RoomName, tookEffect: Bool) -> [Waiter] {
        guard case .underWay(let lossesBefore) = registrations[room] else { return [] }
        // What was done before a loss does not count: who is let go now begins anew.
        registrations[room] = tookEffect ? (lossesBefore == losses ? .done : nil) : .failed
        var waiters: [Waiter] = []
        for membership in held.removeValue(forKey: room) ?? [] {
            guard var entry = entries[membership] else { continue }
            entry.isHeld = false
            if !tookEffect {
                waiters += entry.waiters
                if !entry.waiters.isEmpty, !entry.isPresent { entry.isWanted = false }
                entry.waiters = []
            }
            entries[membership] = entry
            enqueue(membership)
        }
        return waiters
    }

    private mutating func enqueue(_ membership: Membership) {
        guard let entry = entries[membership], !entry.isQueued, !entry.isUnderWay else { return }
        entries[membership]?.isQueued = true
        queue.append(membership)
    }

    private mutating func remove(_ membership: Membership) {
        guard entries.removeValue(forKey: membership) != nil else { return }
        let left = (sessionsInRoom[membership.room] ?? 1) - 1
        if left > 0 {
            sessionsInRoom[membership.room] = left
        } else {
            sessionsInRoom[membership.room] = nil
            emptied.insert(membership.room)
        }
    }
}

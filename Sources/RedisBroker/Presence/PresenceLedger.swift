import ChatHub
import ChatProtocol

/// Which sessions of one event loop are in which rooms, and what Redis knows of it.
///
/// For each session in a room at most one command is under way, so that they cannot overtake each other. What failed is
/// tried again until it took effect. `Waiter` is whoever waits for an answer.
struct PresenceLedger<Waiter: Sendable> {
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

    private enum Progress {
        case none
        case underWay
        /// Redis may have lost what it does, before it is done.
        case underWayInVain
        case done
        case failed

        var isUnderWay: Bool { self == .underWay || self == .underWayInVain }
    }

    private struct Entry {
        var user: UserName
        @Occasional private var talk = Talk()
        var isWanted = true
        /// What Redis was last known to hold.
        var isPresent = false
        /// Redis may hold something else than ``isPresent`` says.
        var isDoubtful = false
        /// That of the command about it.
        var progress = Progress.none
        var isQueued = false
        /// Waits until its room is registered.
        var isHeld = false

        init(user: UserName) { self.user = user }

        private struct Talk: OccasionalState {
            var waiters: [Waiter] = []
            var asking: [Waiter] = []

            var isInitial: Bool { waiters.isEmpty && asking.isEmpty }
        }

        var waiters: [Waiter] {
            get { talk.waiters }
            set { talk.waiters = newValue }
        }

        /// The waiters of the command that is under way.
        var asking: [Waiter] {
            get { talk.asking }
            set { talk.asking = newValue }
        }

        var isUnderWay: Bool { progress.isUnderWay }

        var needsCommand: Bool {
            isWanted ? !isPresent || isDoubtful || !waiters.isEmpty : isPresent || isDoubtful
        }
    }

    /// The sessions of a room: one as a rule, for which no table is kept.
    private enum Sessions {
        case none
        case one(SessionID, Entry)
        case several([SessionID: Entry])

        var ids: [SessionID] {
            switch self {
            case .none: []
            case .one(let id, _): [id]
            case .several(let entries): Array(entries.keys)
            }
        }

        var isEmpty: Bool { if case .none = self { true } else { false } }

        func contains(where matches: (Entry) -> Bool) -> Bool {
            switch self {
            case .none: false
            case .one(_, let entry): matches(entry)
            case .several(let entries): entries.values.contains(where: matches)
            }
        }

        subscript(id: SessionID) -> Entry? {
            get {
                switch self {
                case .none: nil
                case .one(let known, let entry): known == id ? entry : nil
                case .several(let entries): entries[id]
                }
            }
            set {
                switch self {
                case .none:
                    if let newValue { self = .one(id, newValue) }
                case .one(id, _):
                    self = if let newValue { .one(id, newValue) } else { .none }
                case .one(let known, let entry):
                    if let newValue { self = .several([known: entry, id: newValue]) }
                case .several(var entries):
                    // The table is not copied for being here twice.
                    self = .none
                    entries[id] = newValue
                    if !entries.isEmpty { self = .several(entries) }
                }
            }
        }
    }

    /// There are many of these, most with one session: what is small stands together.
    private struct Room {
        var sessions = Sessions.none
        /// A registration that failed is repeated at the next ``retry()``, or for somebody new.
        var registration = Progress.none
        /// Redis may list the room for this node, whatever was lost since.
        var isListed = false

        var isForgotten: Bool { sessions.isEmpty && registration == .none && !isListed }
    }

    private var rooms: [RoomName: Room] = [:]
    /// Of sessions, each once for every room that it is in.
    private var count = 0
    private var registrationsDue: Set<RoomName> = []
    private var held: [RoomName: [Membership]] = [:]
    private var unregistrationsFailed: Set<RoomName> = []
    private var emptied: Set<RoomName> = []
    private var queue: [Membership] = []
    private var failed: [Membership] = []
    private var underWay = 0

    /// Nothing is left to do, and nobody is in any room.
    var isEmpty: Bool { count == 0 }

    /// Whether Redis holds everybody as it should who was there at the last ``storeMayHaveForgotten()``.
    var isRestored: Bool { !rooms.values.contains { $0.sessions.contains { $0.isDoubtful } } }

    /// Whether somebody waits for the answer to the command that is under way.
    func isAwaited(_ membership: Membership) -> Bool { self[membership]?.asking.isEmpty == false }

    private subscript(membership: Membership) -> Entry? {
        get { rooms[membership.room]?.sessions[membership.session] }
        set { rooms[membership.room, default: Room()].sessions[membership.session] = newValue }
    }

    private var memberships: [Membership] {
        rooms.flatMap { name, room in room.sessions.ids.map { Membership(room: name, session: $0) } }
    }

    private func isOccupied(_ room: RoomName) -> Bool { rooms[room]?.sessions.isEmpty == false }

    private func registration(of room: RoomName) -> Progress { rooms[room]?.registration ?? .none }

    private mutating func forgetIfNothingIsKnown(of room: RoomName) {
        if rooms[room]?.isForgotten == true { rooms[room] = nil }
    }

    mutating func enter(_ membership: Membership, user: UserName, waiter: Waiter) {
        if self[membership] == nil {
            count += 1
            emptied.remove(membership.room)
        }
        var entry = self[membership] ?? Entry(user: user)
        entry.isWanted = true
        entry.waiters.append(waiter)
        self[membership] = entry
        enqueue(membership)
    }

    /// The waiters that nobody needs to answer with a roster any more.
    mutating func leave(_ membership: Membership) -> [Waiter] {
        guard var entry = self[membership] else { return [] }
        let waiters = entry.waiters
        entry.waiters = []
        entry.isWanted = false
        self[membership] = entry
        if entry.needsCommand || entry.isUnderWay { enqueue(membership) } else { remove(membership) }
        return waiters
    }

    /// Everybody leaves: the node shuts down.
    mutating func leaveAll() -> [Waiter] { memberships.flatMap { leave($0) } }

    /// The connection was made anew, or the node has a new incarnation: whoever is wanted enters again.
    mutating func storeMayHaveForgotten() {
        registrationsDue.removeAll()
        for room in Array(rooms.keys) {
            switch registration(of: room) {
            case .none, .underWayInVain: break
            case .done, .failed: rooms[room]?.registration = .none
            case .underWay: rooms[room]?.registration = .underWayInVain
            }
            forgetIfNothingIsKnown(of: room)
        }
        unregisterAgain()
        failed.removeAll()
        for membership in memberships {
            self[membership]?.isDoubtful = true
            if self[membership]?.progress == .underWay { self[membership]?.progress = .underWayInVain }
            enqueue(membership)
        }
    }

    /// The connection is gone: nothing can be sent for now. Who waited for what was not sent yet.
    mutating func connectionLost() -> [Waiter] {
        var waiters: [Waiter] = []
        for membership in memberships {
            guard var entry = self[membership], !entry.waiters.isEmpty else { continue }
            waiters += entry.waiters
            entry.waiters = []
            if !entry.isPresent { entry.isWanted = false }
            self[membership] = entry
            enqueue(membership)
        }
        return waiters
    }

    /// Gives what failed another chance.
    mutating func retry() {
        for (room, state) in rooms where state.registration == .failed {
            rooms[room]?.registration = .none
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
        for room in registrationsDue where isOccupied(room) && registration(of: room) == .none {
            operations.append(register(room))
        }
        registrationsDue.removeAll()
        var index = 0
        while index < queue.count, underWay < limit {
            let membership = queue[index]
            index += 1
            guard var entry = self[membership] else { continue }
            entry.isQueued = false
            if entry.isUnderWay || !entry.needsCommand {
                self[membership] = entry
                if !entry.isUnderWay, !entry.isWanted { remove(membership) }
                continue
            }
            if entry.isWanted, registration(of: membership.room) != .done {
                if !entry.isHeld { held[membership.room, default: []].append(membership) }
                entry.isHeld = true
                self[membership] = entry
                switch registration(of: membership.room) {
                case .none: operations.append(register(membership.room))
                case .failed where !entry.waiters.isEmpty: operations.append(register(membership.room))
                case .failed, .underWay, .underWayInVain, .done: break
                }
                continue
            }
            entry.progress = .underWay
            entry.asking = entry.waiters
            entry.waiters = []
            operations.append(entry.isWanted ? .enter(membership, user: entry.user) : .leave(membership))
            self[membership] = entry
            underWay += 1
        }
        queue.removeFirst(index)
        var later: Set<RoomName> = []
        for room in emptied where !isOccupied(room) {
            if registration(of: room).isUnderWay {
                later.insert(room)
            } else if rooms[room]?.isListed == true {
                rooms[room] = nil
                operations.append(.unregister(room))
            }
        }
        emptied = later
        return operations
    }

    private mutating func register(_ room: RoomName) -> Operation {
        rooms[room, default: Room()].registration = .underWay
        rooms[room]?.isListed = true
        return .register(room)
    }

    /// A command took effect. Who waited for it.
    mutating func succeeded(_ operation: Operation) -> [Waiter] { ended(operation, tookEffect: true) }

    /// A session may not enter: it is not in the room, and will not be. Who waited for it.
    mutating func refused(_ membership: Membership) -> [Waiter] {
        guard let entry = self[membership], entry.isUnderWay else { return [] }
        underWay -= 1
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
                rooms[room, default: Room()].isListed = true
                unregistrationsFailed.insert(room)
            }
            return []
        }
        guard var entry = self[membership], entry.isUnderWay else { return [] }
        var waiters = entry.asking
        entry.asking = []
        let wasInVain = entry.progress == .underWayInVain
        entry.progress = .none
        underWay -= 1
        if tookEffect {
            entry.isPresent = isPresent
            entry.isDoubtful = wasInVain
            self[membership] = entry
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
            self[membership] = entry
            failed.append(membership)
        }
        return waiters
    }

    /// Who waited for a registration that failed: whoever was not in the room is not in it now.
    private mutating func registered(_ room: RoomName, tookEffect: Bool) -> [Waiter] {
        let progress = registration(of: room)
        guard progress.isUnderWay else { return [] }
        // What was done before a loss does not count: who is let go now begins anew.
        rooms[room]?.registration = tookEffect ? (progress == .underWay ? .done : .none) : .failed
        var waiters: [Waiter] = []
        for membership in held.removeValue(forKey: room) ?? [] {
            guard var entry = self[membership] else { continue }
            entry.isHeld = false
            if !tookEffect {
                waiters += entry.waiters
                if !entry.waiters.isEmpty, !entry.isPresent { entry.isWanted = false }
                entry.waiters = []
            }
            self[membership] = entry
            enqueue(membership)
        }
        return waiters
    }

    private mutating func enqueue(_ membership: Membership) {
        guard let entry = self[membership], !entry.isQueued, !entry.isUnderWay else { return }
        self[membership]?.isQueued = true
        queue.append(membership)
    }

    private mutating func remove(_ membership: Membership) {
        guard self[membership] != nil else { return }
        self[membership] = nil
        count -= 1
        if !isOccupied(membership.room) { emptied.insert(membership.room) }
        forgetIfNothingIsKnown(of: membership.room)
    }
}

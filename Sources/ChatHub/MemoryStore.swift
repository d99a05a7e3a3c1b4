import ChatProtocol
import NIOCore

/// Rooms, logs and presence in memory, with the same rules that the scripts in Redis follow.
final class MemoryStore {
    private final class Room {
        var entries: [LogEntry] = []
        /// Where the log begins in ``entries``; what stands before was trimmed.
        var start = 0
        var head = Position.zero
        var lastUse: UInt64 = 0
        /// The last entries were given back by somebody who had them: others may have been lost.
        var endsRestored = false
        /// Entries given back that the log had gone on without, by their old positions.
        var movedEntries: Set<Position> = []
        /// Identities stored by a retry, so that a late original is not stored again.
        var retried: [ByteBuffer: (receipt: Receipt, until: UInt64)] = [:]
        var sessions: [SessionID: UserName] = [:]
        var users: [UserName: Int] = [:]

        var log: ArraySlice<LogEntry> { entries[start...] }
    }

    private let settings: MemoryBroker.Settings
    private let clock: () -> UInt64
    private var rooms: [RoomName: Room] = [:]
    /// Of rooms that have some.
    private var rules: [RoomName: MemoryRules] = [:]
    private var publications: [(RoomName, Publication)] = []
    private var lastSweep: UInt64 = 0
    /// Counts changes of presence.
    private var revision: UInt64 = 0

    init(settings: MemoryBroker.Settings, clock: @escaping () -> UInt64) {
        self.settings = settings
        self.clock = clock
    }

    /// What was published since the last call.
    func takePublications() -> [(RoomName, Publication)] {
        let result = publications
        publications = []
        return result
    }

    func publish(_ publication: Publication, in room: RoomName) {
        publications.append((room, publication))
    }

    private func makeRoom(_ name: RoomName) -> Room {
        if let room = rooms[name] { return room }
        let room = Room()
        rooms[name] = room
        return room
    }

    // MARK: - Log

    func append(_ draft: Draft, to name: RoomName, known: Position) -> Result<Receipt, BrokerError> {
        let now = clock()
        forgetIdleRooms(at: now)
        let room = makeRoom(name)
        room.lastUse = now
        let identity = draft.identityLength.flatMap { draft.body.getSlice(at: draft.body.readerIndex, length: $0) }
        if let identity, let first = duplicate(of: identity, isRetry: draft.isRetry, in: room, at: now) {
            return .success(first)
        }
        if let prohibition = judge(draft, in: name, at: now) { return .failure(.forbidden(prohibition)) }

        let previous = room.head
        advance(room, known: known, at: now)
        let receipt = Receipt(position: room.head, time: now, isDuplicate: false)
        room.entries.append(LogEntry(position: room.head, time: now, body: draft.body))
        trim(room)
        if draft.isRetry, let identity {
            room.retried[identity] = (receipt, now + UInt64(settings.retryMemory.nanoseconds / 1_000_000))
        }
        publish(
            .messages(
                MessageBatch(
                    previous: previous, first: room.head, time: now, sentAt: now * 1000,
                    messages: [.init(body: draft.body, exceptFor: draft.exceptFor)])),
            in: name)
        return .success(receipt)
    }

    // MARK: - Rules

    func change(_ change: RuleChange?, in name: RoomName) -> RoomRules {
        var changed = rules[name] ?? MemoryRules()
        if let change { changed.change(change, at: clock()) }
        let result = changed.rules(at: clock())
        rules[name] = changed.isEmpty ? nil : changed
        return result
    }

    private func judge(_ draft: Draft, in name: RoomName, at now: UInt64) -> Prohibition? {
        guard rules[name] != nil || (settings.messagesPerSecond > 0 && !name.isInbox),
            let user = StoredMessage.user(of: draft.body)
        else { return nil }
        return rules[name, default: MemoryRules()].post(of: user, defaultRate: settings.messagesPerSecond, at: now)
    }

    /// Moves the head on to the position of the next entry.
    private func advance(_ room: Room, known: Position, at now: UInt64) {
        if room.head == .zero || room.head < known || room.endsRestored {
            room.head = Position(epoch: max(now, known.epoch + 1, room.head.epoch + 1), seq: 1)
        } else {
            room.head.seq += 1
        }
        room.endsRestored = false
    }

    func head(of name: RoomName) -> Position { rooms[name]?.head ?? .zero }

    /// Like the script of the same name in Redis.
    func restore(_ tail: [LogEntry], after previous: Position?, to name: RoomName) -> Restoration {
        let room = makeRoom(name)
        let now = clock()
        room.lastUse = now
        var lost: [LogEntry] = []
        var fork: Position?
        /// Positions up to here were given out.
        var known = Position.zero
        var hint: (previous: Position, entry: LogEntry)?
        if let previous, let first = tail.first?.position {
            let next = firstIndex(in: room.log, after: previous)
            if next > room.start, room.entries[next - 1].position != previous {
                return .forked(at: room.entries[next - 1].position)
            }
            if next < room.entries.endIndex, room.entries[next].position < first { fork = previous }
        }
        for entry in tail {
            let isBeyond = entry.position > room.head
            let next = firstIndex(in: room.log, after: entry.position)
            if next > room.start, room.entries[next - 1].position == entry.position { continue }
            // The giver may have gone through a fork that this log knows nothing of.
            let mayStandElsewhere = room.log.first.map { $0.position.epoch < entry.position.epoch } ?? false
            let copy = mayStandElsewhere ? room.log.firstIndex { $0.isCopy(of: entry) } : nil
            if isBeyond, fork == nil, copy == nil, room.head == .zero || room.head.isContinued(by: entry.position) {
                hint = (room.head, entry)
                room.entries.append(entry)
                room.head = entry.position
                room.endsRestored = true
                continue
            }
            let following = next < room.entries.endIndex ? room.entries[next].position : .zero
            guard fork != nil || isBeyond || (following.epoch > entry.position.epoch && following.seq == 1)
            else { continue }
            let end = min(copy ?? next, next)
            let common = end > room.start ? room.entries[end - 1].position : .zero
            fork = min(fork ?? common, common)
            if isBeyond { known = max(known, entry.position) }
            lost.append(entry)
        }
        if let hint { publish(hint.entry, after: hint.previous, in: name) }
        guard let fork else { return .restored }

        let later = room.entries[firstIndex(in: room.log, after: fork)...]
        for entry in lost {
            let isKnown = later.contains { $0.isCopy(of: entry) }
            guard !isKnown, room.movedEntries.insert(entry.position).inserted else { continue }
            let previous = room.head
            advance(room, known: known, at: now)
            let moved = LogEntry(position: room.head, time: entry.time, body: entry.body)
            room.entries.append(moved)
            publish(moved, after: previous, in: name)
        }
        return .forked(at: fork)
    }

    private func publish(_ entry: LogEntry, after previous: Position, in name: RoomName) {
        publish(
            .messages(
                MessageBatch(
                    previous: previous, first: entry.position, time: entry.time, sentAt: 0,
                    messages: [.init(body: entry.body, exceptFor: nil)])),
            in: name)
    }

    /// Retries are looked for in the log; others only while retries of this room are remembered.
    private func duplicate(of identity: ByteBuffer, isRetry: Bool, in room: Room, at now: UInt64) -> Receipt? {
        if !room.retried.isEmpty {
            room.retried = room.retried.filter { $0.value.until > now }
            if var known = room.retried[identity]?.receipt {
                known.isDuplicate = true
                return known
            }
        }
        guard isRetry else { return nil }
        let found = room.log.last {
            $0.body.getSlice(at: $0.body.readerIndex, length: identity.readableBytes) == identity
        }
        return found.map { Receipt(position: $0.position, time: $0.time, isDuplicate: true) }
    }

    private func trim(_ room: Room) {
        room.start = max(room.start, room.entries.count - settings.historyMessages)
        // Moved down now and then, so that a trim costs next to nothing on average.
        if room.start > settings.historyMessages {
            room.entries.removeFirst(room.start)
            room.start = 0
        }
    }

    func read(_ name: RoomName, after position: Position, limit: Int) -> LogSlice {
        guard let room = rooms[name] else {
            return LogSlice(after: position, floor: nil, entries: [], hasMore: false, head: .zero)
        }
        let from = firstIndex(in: room.log, after: position)
        let entries = room.entries[from...].prefix(limit)
        return LogSlice(
            after: position, floor: from > room.start ? room.entries[from - 1].position : nil,
            entries: Array(entries), hasMore: entries.endIndex < room.entries.endIndex, head: room.head)
    }

    func readLatest(_ name: RoomName, before position: Position?, limit: Int) -> LogSlice {
        guard let room = rooms[name] else {
            return LogSlice(entries: [], isComplete: true, hasMore: false, head: .zero)
        }
        var end = room.entries.endIndex
        if let position {
            end = firstIndex(in: room.log, after: position)
            if end > room.start, room.entries[end - 1].position == position { end -= 1 }
        }
        let start = max(room.start, end - limit)
        return LogSlice(
            entries: Array(room.entries[start..<end]), isComplete: true, hasMore: start > room.start, head: room.head)
    }

    private func firstIndex(in log: ArraySlice<LogEntry>, after position: Position) -> Int {
        var low = log.startIndex
        var high = log.endIndex
        while low < high {
            let middle = (low + high) / 2
            if log[middle].position <= position { low = middle + 1 } else { high = middle }
        }
        return low
    }

    /// Once a minute: rooms without members whose last message is old enough, or that never had one.
    private func forgetIdleRooms(at now: UInt64) {
        guard now > lastSweep + 60_000 else { return }
        lastSweep = now
        let age = UInt64(settings.historyAge.nanoseconds / 1_000_000)
        rooms = rooms.filter { !$0.value.sessions.isEmpty || $0.value.lastUse + age > now }
        rules = rules.filter { !$0.value.isEmpty || rooms[$0.key] != nil }
    }

    // MARK: - Presence

    func enter(_ name: RoomName, session: SessionID, user: UserName) throws -> Roster {
        let room = makeRoom(name)
        if room.sessions[session] == nil {
            let users = room.users[user] == nil ? room.users.count : 0
            if let prohibition = rules[name]?.entry(of: user, users: users, at: clock()) {
                throw BrokerError.forbidden(prohibition)
            }
            if name.isInbox, settings.sessionsPerUser > 0, room.users[user] ?? 0 >= settings.sessionsPerUser {
                throw BrokerError.forbidden(.seated)
            }
        }
        if room.sessions.updateValue(user, forKey: session) == nil {
            room.users[user, default: 0] += 1
            if room.users[user] == 1 { announce(user, isPresent: true, origin: session, in: room, named: name) }
        }
        var roster = members(of: name, after: nil, limit: Self.rosterLimit)
        if !roster.members.contains(user) { roster.members[roster.members.count - 1] = user }
        return roster
    }

    private static let rosterLimit = 100

    func leave(_ name: RoomName, session: SessionID) {
        guard let room = rooms[name], let user = room.sessions.removeValue(forKey: session),
            let sessions = room.users[user]
        else { return }
        room.users[user] = sessions > 1 ? sessions - 1 : nil
        if sessions == 1 { announce(user, isPresent: false, origin: nil, in: room, named: name) }
        if room.sessions.isEmpty, room.entries.isEmpty { rooms[name] = nil }
    }

    private func announce(
        _ user: UserName, isPresent: Bool, origin: SessionID?, in room: Room, named name: RoomName
    ) {
        revision += 1
        guard room.users.count <= PresenceFeed.crowdLimit else {
            return publish(.count(room.users.count, revision: revision), in: name)
        }
        let change = PresenceChange(
            user: user, isPresent: isPresent, count: room.users.count, origin: origin, revision: revision)
        publish(.presence(change), in: name)
    }

    func roster(of name: RoomName, limit: Int) -> Roster {
        let users = rooms[name]?.users ?? [:]
        let isCrowd = users.count > limit
        return Roster(
            members: isCrowd ? [] : Array(users.keys), count: users.count, hasMore: isCrowd, revision: revision)
    }

    func members(of name: RoomName, after user: UserName?, limit: Int) -> Roster {
        let users = rooms[name]?.users ?? [:]
        let sorted = users.keys.sorted()
        let rest = user.map { after in sorted.filter { after < $0 } } ?? sorted
        return Roster(
            members: Array(rest.prefix(limit)), count: users.count, hasMore: rest.count > limit, revision: revision)
    }
}

extension LogEntry {
    /// Whether both are the same message: of the same user, with the same `id`.
    fileprivate func isCopy(of other: LogEntry) -> Bool {
        guard let length = StoredMessage.identityLength(of: other.body) else { return false }
        return body.getSlice(at: body.readerIndex, length: length)
            == other.body.getSlice(at: other.body.readerIndex, length: length)
    }
}

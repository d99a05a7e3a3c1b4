import ChatProtocol

/// Which rooms are wanted, what Redis was told and what it has confirmed.
///
/// For each room at most one command is under way; what changed meanwhile follows when it was confirmed. So a
/// confirmation always belongs to the last command, and a subscription is never reported that a later command ends.
struct SubscriptionLedger {
    /// What to say to Redis and to the hub now.
    struct Batch: Equatable {
        var subscribe: [RoomName] = []
        var unsubscribe: [RoomName] = []
        /// Wanted again before Redis was told otherwise: they stand already.
        var standing: [RoomName] = []
    }

    private enum State { case off, subscribing, on, unsubscribing }

    private struct Entry {
        var isWanted: Bool
        var state = State.off
        /// The hub waits to be told that the subscription stands.
        var isAwaited = true
        var isDirty = false
    }

    private var entries: [RoomName: Entry] = [:]
    private var dirty: [RoomName] = []
    private(set) var isConnected = false

    /// Everything that is wanted.
    var wanted: [RoomName] { entries.filter(\.value.isWanted).map(\.key) }

    func isWanted(_ room: RoomName) -> Bool { entries[room]?.isWanted ?? false }

    mutating func subscribe(_ room: RoomName) {
        var entry = entries[room] ?? Entry(isWanted: true)
        entry.isWanted = true
        entry.isAwaited = true
        entries[room] = entry
        touch(room)
    }

    mutating func unsubscribe(_ room: RoomName) {
        guard entries[room] != nil else { return }
        entries[room]?.isWanted = false
        touch(room)
    }

    /// A new connection stands, on which nothing is subscribed.
    mutating func connected() {
        isConnected = true
        for room in wanted { touch(room) }
    }

    /// The connection is gone, and with it every subscription.
    mutating func disconnected() {
        isConnected = false
        dirty.removeAll()
        for (room, entry) in entries {
            entries[room] = entry.isWanted ? Entry(isWanted: true) : nil
        }
    }

    /// What changed since the last call.
    mutating func flush() -> Batch {
        var batch = Batch()
        guard isConnected else { return batch }
        for room in dirty {
            guard var entry = entries[room] else { continue }
            entry.isDirty = false
            switch (entry.state, entry.isWanted) {
            case (.off, true):
                entry.state = .subscribing
                batch.subscribe.append(room)
            case (.on, false):
                entry.state = .unsubscribing
                batch.unsubscribe.append(room)
            case (.on, true):
                if entry.isAwaited { batch.standing.append(room) }
                entry.isAwaited = false
            case (.off, false):
                entries[room] = nil
                continue
            case (.subscribing, _), (.unsubscribing, _):
                break
            }
            entries[room] = entry
        }
        dirty.removeAll(keepingCapacity: true)
        return batch
    }

    /// Redis confirmed a SUBSCRIBE. Whether the subscription stands now, for the hub to be told.
    mutating func confirmedSubscribe(_ room: RoomName) -> Bool {
        guard var entry = entries[room], entry.state == .subscribing else { return false }
        entry.state = .on
        let stands = entry.isWanted
        if stands { entry.isAwaited = false }
        entries[room] = entry
        if !stands { touch(room) }
        return stands
    }

    mutating func confirmedUnsubscribe(_ room: RoomName) {
        guard entries[room]?.state == .unsubscribing else { return }
        entries[room]?.state = .off
        touch(room)
    }

    /// Redis ended a subscription by itself, or refused it: the room is not on this server any more. Whether it is still
    /// wanted: then it stays off until ``subscribe(_:)`` or ``unsubscribe(_:)``.
    mutating func revoked(_ room: RoomName) -> Bool {
        guard let entry = entries[room] else { return false }
        switch entry.state {
        case .off:
            return false
        case .unsubscribing:
            confirmedUnsubscribe(room)
            return false
        case .subscribing, .on:
            entries[room] = Entry(isWanted: entry.isWanted, isDirty: entry.isDirty)
            if !entry.isWanted { touch(room) }
            return entry.isWanted
        }
    }

    /// Those that Redis has been told of and has not confirmed, or that stand.
    var told: [RoomName] { entries.filter { $0.value.state != .off }.map(\.key) }

    private mutating func touch(_ room: RoomName) {
        guard let entry = entries[room], !entry.isDirty else { return }
        entries[room]?.isDirty = true
        dirty.append(room)
    }
}

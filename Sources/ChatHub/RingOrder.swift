/// The rooms of a loop whose rings hold frames, in the order of their last use, and how many bytes these are together:
/// what has not been used for the longest time goes first when it is too much.
struct RingOrder {
    // The rooms are owned by the hub, and taken out of here before it lets them go.
    private unowned var oldest: LoopRoom?
    private unowned var newest: LoopRoom?
    private(set) var byteCount = 0
    let byteLimit: Int

    init(byteLimit: Int) {
        self.byteLimit = byteLimit
    }

    /// Puts a delivery into a room's ring and bounds them all.
    mutating func append(_ delivery: Delivery, to room: LoopRoom) {
        remove(room)
        room.ring.append(delivery)
        guard room.ring.byteCount > 0 else { return }
        byteCount += room.ring.byteCount
        room.olderRing = newest
        newest?.newerRing = room
        newest = room
        if oldest == nil { oldest = room }
        while byteCount > byteLimit, let oldest, oldest !== room { removeAll(of: oldest) }
    }

    /// Empties a room's ring.
    mutating func removeAll(of room: LoopRoom) {
        remove(room)
        room.ring.removeAll()
    }

    private mutating func remove(_ room: LoopRoom) {
        byteCount -= room.ring.byteCount
        guard room.olderRing != nil || room.newerRing != nil || newest === room else { return }
        if let older = room.olderRing { older.newerRing = room.newerRing } else { oldest = room.newerRing }
        if let newer = room.newerRing { newer.olderRing = room.olderRing } else { newest = room.olderRing }
        room.olderRing = nil
        room.newerRing = nil
    }
}

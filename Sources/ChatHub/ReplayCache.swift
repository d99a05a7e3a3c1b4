import ChatProtocol
import NIOCore

/// The frames of what one loop has lately read from logs, for whoever asks for the same within moments: who comes back
/// rarely comes alone. Bounded in bytes and by age.
struct ReplayCache {
    private struct Item {
        var room: RoomName
        var bytes: Int
        var expiry: NIODeadline
    }

    /// What is in ``byRoom``, the oldest first.
    private var items = CircularBuffer<Item>()
    private var byRoom: [RoomName: [Delivery]] = [:]
    private(set) var byteCount = 0
    private let byteLimit: Int
    private let age: TimeAmount

    init(byteLimit: Int, age: TimeAmount) {
        self.byteLimit = byteLimit
        self.age = age
    }

    var isEmpty: Bool { items.isEmpty }

    /// Keeps a page. It stays whole, as somebody is about to walk through it; older ones go if it is too much.
    mutating func insert(_ deliveries: [Delivery], of room: RoomName, at now: NIODeadline) {
        let bytes = deliveries.reduce(0) { $0 + $1.frames.readableBytes }
        while byteCount + bytes > byteLimit, !items.isEmpty { removeOldest() }
        for delivery in deliveries {
            items.append(Item(room: room, bytes: delivery.frames.readableBytes, expiry: now + age))
            byRoom[room, default: []].append(delivery)
        }
        byteCount += bytes
    }

    /// The delivery that holds the first message after `position`, if it was read lately.
    func delivery(after position: Position, in room: RoomName) -> Delivery? {
        byRoom[room]?.last { $0.follows(position) }
    }

    mutating func forget(_ room: RoomName) {
        guard byRoom.removeValue(forKey: room) != nil else { return }
        items.removeAll { $0.room == room }
        byteCount = items.reduce(0) { $0 + $1.bytes }
    }

    /// Drops what is too old.
    ///
    /// - Returns: when the next one will be.
    mutating func expire(at now: NIODeadline) -> NIODeadline? {
        while let oldest = items.first, oldest.expiry <= now { removeOldest() }
        return items.first?.expiry
    }

    private mutating func removeOldest() {
        let item = items.removeFirst()
        byteCount -= item.bytes
        byRoom[item.room]?.removeFirst()
        if byRoom[item.room]?.isEmpty == true { byRoom[item.room] = nil }
    }
}

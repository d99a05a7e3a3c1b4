import ChatProtocol
import DequeModule
import NIOCore

/// The latest deliveries of a room on this node, without a hole: what its store may have lost is given back from here.
///
/// They are the same objects that the event loops' rings hold. All rooms' tails together are bounded by ``TailBudget``.
struct RoomTail {
    private var deliveries: Deque<Delivery> = []
    /// Counts deliveries; the number of the oldest one.
    private(set) var oldest: UInt32 = 0

    /// The number of the delivery that is appended next.
    var next: UInt32 { oldest &+ UInt32(deliveries.count) }

    /// Remembers a delivery that carries messages.
    mutating func append(_ delivery: Delivery) {
        if let newest = deliveries.last, newest.last != delivery.previous { removeAll() }
        deliveries.append(delivery)
    }

    mutating func removeAll() {
        oldest = next
        deliveries = []
    }

    /// Forgets the oldest delivery, if it still is the one of this number.
    mutating func remove(_ number: UInt32) {
        guard number == oldest, !deliveries.isEmpty else { return }
        deliveries.removeFirst()
        oldest &+= 1
        // An empty one keeps its memory.
        if deliveries.isEmpty { deliveries = [] }
    }

    /// Forgets what is void.
    mutating func rewind(to position: Position) {
        while let newest = deliveries.last, newest.last > position { deliveries.removeLast() }
    }

    /// Whether nothing is missing between a position and the first message that is held after it.
    func reaches(back position: Position) -> Bool {
        guard let oldest = deliveries.first, let newest = deliveries.last else { return false }
        return oldest.previous <= position && position < newest.last
    }

    /// The last position, not after one that a log holds, that this history certainly has in common with that log; `.zero`
    /// when that cannot be told from what is held here.
    ///
    /// Only one store has given out an epoch's positions: within an epoch histories differ in length alone.
    ///
    /// - Parameter position: where this history ends.
    func lastInCommon(upTo end: Position, of position: Position) -> Position {
        var before = Position.zero
        for known in knownPositions + [position] {
            if known >= end { return known.epoch == end.epoch ? end : before }
            before = known
        }
        return before
    }

    private var knownPositions: [Position] {
        let messages = deliveries.flatMap { delivery in
            delivery.segments.compactMap { if case .message(let position) = $0.kind { position } else { nil } }
        }
        return (deliveries.first.map { [$0.previous] } ?? []) + messages
    }

    /// The messages after a position, as the log held them.
    func entries(after position: Position) -> [LogEntry] {
        deliveries.drop { $0.last <= position }.flatMap { delivery in
            delivery.segments.indices.compactMap { index in
                guard case .message(let own) = delivery.segments[index].kind, own > position,
                    let message = delivery.frame(index).withoutFrameHeader.flatMap(StoredMessage.read)
                else { return nil }
                return LogEntry(position: message.position, time: message.time, body: message.body)
            }
        }
    }
}

/// What all rooms' tails hold, in the order in which it came: the oldest goes first, in whatever room.
struct TailBudget<Room> {
    private struct Share {
        var room: Room
        var number: UInt32
        var bytes: Int
    }

    private var shares = CircularBuffer<Share>()
    private var bytes = 0
    private let limit: Int

    init(byteLimit: Int) { limit = byteLimit }

    /// A room's tail holds one more delivery. Which ones are to be forgotten for it.
    mutating func add(_ bytes: Int, number: UInt32, of room: Room) -> [(room: Room, number: UInt32)] {
        shares.append(Share(room: room, number: number, bytes: bytes))
        self.bytes += bytes
        var forgotten: [(Room, UInt32)] = []
        while self.bytes > limit, let share = shares.popFirst() {
            self.bytes -= share.bytes
            forgotten.append((share.room, share.number))
        }
        return forgotten
    }
}

extension ByteBuffer {
    /// The payload of a text frame that this process has built.
    fileprivate var withoutFrameHeader: ByteBuffer? {
        var frame = self
        guard let length = frame.getInteger(at: frame.readerIndex + 1, as: UInt8.self) else { return nil }
        let header = length < 126 ? 2 : length == 126 ? 4 : 10
        guard frame.readableBytes >= header else { return nil }
        frame.moveReaderIndex(forwardBy: header)
        return frame
    }
}

import NIOCore

/// Presence that some members of a room have not been told because their sockets take no more: kept once for all of them,
/// bounded in number. Each remembers only the place of the first that it has missed.
struct MissedNotices {
    /// The most that is kept. Who has missed more is lost, as it no longer knows who is there.
    static let limit = 1_000

    typealias Notice = (segment: Delivery.Segment, frame: ByteBuffer)

    private var notices: CircularBuffer<Notice>?
    private var first = 0
    /// How many members wait.
    private var members = 0

    /// Whether nobody waits, and nothing is kept.
    var isIdle: Bool { members == 0 && notices == nil }
    /// The place of what comes next.
    private var end: Int { first + (notices?.count ?? 0) }

    /// A member misses what comes from now on.
    mutating func join() -> Int {
        members += 1
        return end
    }

    /// Keeps a delivery's notices, if anybody waits for them.
    mutating func append(from delivery: Delivery) {
        guard members > 0 else { return }
        for (index, segment) in delivery.segments.enumerated() {
            guard case .notice = segment.kind else { continue }
            notices = notices ?? CircularBuffer(initialCapacity: 4)
            // A copy, so that a few bytes do not keep all of a delivery.
            notices?.append((segment, ByteBuffer(bytes: delivery.frame(index).readableBytesView)))
        }
        while let count = notices?.count, count > Self.limit {
            notices?.removeFirst()
            first += 1
        }
    }

    /// A member is told, or gone: what it has missed from a place on; nil when that is not all here any more.
    mutating func leave(from place: Int) -> [Notice]? {
        members -= 1
        defer {
            if members == 0 {
                first = end
                notices = nil
            }
        }
        guard place >= first else { return nil }
        return notices.map { Array($0.dropFirst(place - first)) } ?? []
    }
}

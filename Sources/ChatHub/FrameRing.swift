import ChatProtocol
import NIOCore

/// The latest deliveries of a room on one event loop, bounded in bytes: whoever fell behind a little is brought up to
/// date from here, without asking the store and without encoding anything again.
struct FrameRing {
    private var deliveries = CircularBuffer<Delivery>()
    private var bytes = 0
    private let limit: Int

    init(byteLimit: Int) {
        limit = byteLimit
    }

    /// Remembers a delivery that carries messages.
    mutating func append(_ delivery: Delivery) {
        guard delivery.last > delivery.previous else { return }
        if let newest = deliveries.last, newest.last != delivery.previous { removeAll() }
        deliveries.append(delivery)
        bytes += delivery.frames.readableBytes
        while bytes > limit, let oldest = deliveries.popFirst() { bytes -= oldest.frames.readableBytes }
    }

    mutating func removeAll() {
        deliveries.removeAll()
        bytes = 0
    }

    /// The delivery that holds the first message after `position`, if the ring reaches back that far.
    func delivery(after position: Position) -> Delivery? {
        var low = 0
        var high = deliveries.count
        while low < high {
            let middle = (low + high) / 2
            if deliveries[offset: middle].last <= position { low = middle + 1 } else { high = middle }
        }
        guard low < deliveries.count else { return nil }
        let candidate = deliveries[offset: low]
        if candidate.previous <= position {
            // A position from another history that merely compares as newer is not one of ours.
            return candidate.previous == position || candidate.contains(position) ? candidate : nil
        }
        return nil
    }
}

extension Delivery {
    fileprivate func contains(_ position: Position) -> Bool {
        segments.contains { $0.kind == .message(position) }
    }
}

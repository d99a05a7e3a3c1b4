import ChatProtocol
import DequeModule
import NIOCore

/// The latest deliveries of a room on one event loop, bounded in bytes: whoever fell behind a little, or comes back, is
/// brought up to date from here, without asking the store and without encoding anything again. Empty it costs nothing.
struct FrameRing {
    private var deliveries: Deque<Delivery> = []
    private var bytes: UInt32 = 0
    private let limit: UInt32

    init(byteLimit: Int) {
        limit = UInt32(clamping: byteLimit)
    }

    var byteCount: Int { Int(bytes) }

    /// Remembers a delivery that carries messages.
    mutating func append(_ delivery: Delivery) {
        guard delivery.last > delivery.previous else { return }
        if let newest = deliveries.last, newest.last != delivery.previous { removeAll() }
        guard delivery.frames.readableBytes <= limit else { return removeAll() }
        deliveries.append(delivery)
        bytes += UInt32(delivery.frames.readableBytes)
        while bytes > limit, let oldest = deliveries.popFirst() { bytes -= UInt32(oldest.frames.readableBytes) }
    }

    mutating func removeAll() {
        deliveries = []
        bytes = 0
    }

    /// The delivery that holds the first message after `position`, if the ring reaches back that far.
    func delivery(after position: Position) -> Delivery? {
        index(after: position).map { deliveries[$0] }
    }

    /// How many messages came after `position`, and whether something is missing among them; nil when the ring does not
    /// reach back that far.
    func missed(after position: Position) -> (messages: Int, isWhole: Bool)? {
        guard let index = index(after: position) else { return nil }
        var missed = (messages: deliveries[index].messageCount(after: position), isWhole: true)
        if deliveries[index].hasGap { missed.isWhole = false }
        for index in (index + 1)..<max(index + 1, deliveries.count) {
            missed.messages += deliveries[index].messageCount
            if deliveries[index].hasGap { missed.isWhole = false }
        }
        return missed
    }

    /// The position after which exactly the latest `count` messages came, or all that there ever were; nil when the ring
    /// holds fewer.
    func position(beforeLatest count: Int) -> Position? {
        var left = count
        for delivery in deliveries.reversed() {
            if left <= delivery.messageCount { return delivery.position(beforeLatest: left) }
            left -= delivery.messageCount
        }
        return deliveries.first?.previous == .zero ? .zero : nil
    }

    private func index(after position: Position) -> Int? {
        var low = 0
        var high = deliveries.count
        while low < high {
            let middle = (low + high) / 2
            if deliveries[middle].last <= position { low = middle + 1 } else { high = middle }
        }
        guard low < deliveries.count, deliveries[low].follows(position) else { return nil }
        return low
    }
}

extension Delivery {
    /// Whether this tells what comes right after a position. One from another history that merely compares as older or
    /// newer is not one of ours.
    func follows(_ position: Position) -> Bool {
        if position == previous { return last > position }
        guard previous < position, position < last else { return false }
        var before = previous
        for segment in segments {
            guard case .message(let own) = segment.kind else { continue }
            if own > position { return before == position || position.isFollowed(by: own) }
            before = own
        }
        return false
    }

    /// Whether it tells a loss at its place among messages.
    var hasGap: Bool { !isUniform && segments.contains { $0.kind == .gap } }

    /// The position before the last `count` messages.
    fileprivate func position(beforeLatest count: Int) -> Position {
        var left = count
        for segment in segments.reversed() {
            guard case .message(let own) = segment.kind else { continue }
            if left == 0 { return own }
            left -= 1
        }
        return previous
    }
}

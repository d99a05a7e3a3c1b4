import ChatProtocol
import NIOCore

/// What one read of a room's log brought: the same for everybody who waited for it, with its frames built once.
struct LogPage {
    let slice: LogSlice
    /// The frames of those entries that the room has delivered here, in pieces; what is missing is told in its place.
    let deliveries: [Delivery]
    /// Where the room stood when the log was asked: up to here the log should have held everything.
    let asked: Position
    private let after: Position
    /// The last entry before which something is missing; -1 when there is none.
    private let lastHole: Int

    /// - Parameters:
    ///   - position: the one after which was read.
    ///   - reached: where the room stands now; what comes after is delivered live.
    ///   - pieceBytes: how long a piece becomes, about.
    init(
        _ slice: LogSlice, after position: Position, of room: RoomName, asked: Position, reached: Position,
        pieceBytes: Int
    ) {
        self.slice = slice
        self.asked = asked
        after = position
        var lastHole = -1
        var deliveries: [Delivery] = []
        var builder = DeliveryBuilder()
        var previous = position
        for (index, entry) in slice.entries.enumerated() {
            let isContinuous = index == 0 ? slice.isComplete : previous.isContinued(by: entry.position)
            if !isContinuous { lastHole = index }
            defer { previous = entry.position }
            guard entry.position <= reached else { continue }
            if !isContinuous {
                var json = ByteBuffer()
                ServerMessage.gap(room: room, after: previous, before: entry.position).write(into: &json)
                builder.append(json, as: .gap)
            }
            builder.append(
                entry.body, at: entry.position, after: previous, time: entry.time, sentAt: 0, exceptFor: nil)
            if builder.byteCount >= pieceBytes {
                deliveries.append(builder.finish(at: entry.position))
                builder = DeliveryBuilder()
            }
        }
        if !builder.isEmpty { deliveries.append(builder.finish(at: previous)) }
        self.lastHole = lastHole
        self.deliveries = deliveries
    }

    /// Where somebody who has reached a position goes on in the page.
    struct Place: Equatable {
        /// The first entry after the position.
        var index: Int
        /// Nothing is missing between the position and that entry.
        var isWhole: Bool
    }

    /// Where somebody who has reached a position goes on; nil when the page does not tell what follows it.
    func place(after position: Position) -> Place? {
        if position == after { return Place(index: 0, isWhole: slice.isComplete) }
        let entries = slice.entries
        let index = entries.partitioningIndex { $0.position > position }
        if index > 0, entries[index - 1].position == position {
            guard index < entries.count else { return slice.hasMore ? nil : Place(index: index, isWhole: true) }
            return Place(index: index, isWhole: position.isContinued(by: entries[index].position))
        }
        guard index < entries.count, position.isFollowed(by: entries[index].position) else { return nil }
        return Place(index: index, isWhole: true)
    }

    /// Where somebody parts from the log who had reached the position that was asked for: though the log holds something
    /// older it went on in a newer epoch without it. Nil when it has not parted.
    func parting(from position: Position) -> Position? {
        guard position == after, !slice.isComplete, let floor = slice.floor, let next = slice.entries.first?.position,
            next.epoch > position.epoch, next.seq == 1
        else { return nil }
        return floor.epoch == position.epoch ? floor : .zero
    }

    /// Whether nothing is missing from a place to the end of the page.
    func isWhole(from place: Place) -> Bool { place.isWhole && lastHole <= place.index }

    /// Whether there are frames of what comes after a position.
    func hasFrames(after position: Position) -> Bool {
        deliveries.last.map { $0.last > position } ?? false
    }

    /// The position of the first entry after one.
    func next(after position: Position) -> Position? {
        let index = slice.entries.partitioningIndex { $0.position > position }
        return index < slice.entries.count ? slice.entries[index].position : nil
    }
}

extension Position {
    /// The place right before, whether or not anything stands there.
    var predecessor: Position { Position(epoch: epoch, seq: seq == 0 ? 0 : seq - 1) }
}

extension Array {
    /// The first index whose element fulfils a predicate that all later ones fulfil too.
    fileprivate func partitioningIndex(where predicate: (Element) -> Bool) -> Int {
        var low = 0
        var high = count
        while low < high {
            let middle = (low + high) / 2
            if predicate(self[middle]) { high = middle } else { low = middle + 1 }
        }
        return low
    }
}

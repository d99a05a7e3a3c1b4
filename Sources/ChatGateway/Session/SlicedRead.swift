import ChatHub
import ChatProtocol
import NIOCore

/// A page of a room's log, put together from slices: neither the store nor the event loop is long at any of them, and what
/// others want comes in between. Pure.
struct SlicedRead {
    enum Question: Equatable {
        case latest(before: Position?, limit: Int)
        case after(Position, limit: Int)
    }

    /// A thousand entries at once would hold Redis up for milliseconds.
    static let sliceLimit = 100

    /// What to read next; nil when the page is whole.
    private(set) var question: Question?
    private(set) var slice = LogSlice(entries: [], isComplete: true, hasMore: false, head: .zero)
    private let limit: Int
    private var bytes = 0

    /// - Parameter question: for all of the page.
    init(_ question: Question) {
        switch question {
        case .latest(let before, let limit):
            self.limit = limit
            self.question = .latest(before: before, limit: min(limit, Self.sliceLimit))
        case .after(let position, let limit):
            self.limit = limit
            self.question = .after(position, limit: min(limit, Self.sliceLimit))
        }
    }

    mutating func received(_ more: LogSlice) {
        guard let asked = question else { return }
        bytes += more.entries.reduce(0) { $0 + $1.body.readableBytes }
        slice.hasMore = more.hasMore
        slice.head = more.head
        slice.isComplete = slice.isComplete && more.isComplete
        switch asked {
        case .latest: slice.entries.insert(contentsOf: more.entries, at: 0)
        case .after: slice.entries += more.entries
        }
        let left = min(limit - slice.entries.count, Self.sliceLimit)
        // More than a frame holds would be thrown away.
        guard left > 0, more.hasMore, bytes < ServerMessage.maximumLength, let first = more.entries.first,
            let last = more.entries.last
        else {
            question = nil
            return
        }
        switch asked {
        case .latest: question = .latest(before: first.position, limit: left)
        case .after: question = .after(last.position, limit: left)
        }
    }
}

extension BrokerCommands {
    /// Reads a page. On the loop of the commands, as its answer.
    func read(_ page: SlicedRead, of room: RoomName, on eventLoop: any EventLoop) -> EventLoopFuture<LogSlice> {
        let answer: EventLoopFuture<LogSlice>
        switch page.question {
        case nil: return eventLoop.makeSucceededFuture(page.slice)
        case .latest(let before, let limit): answer = readLatest(room, before: before, limit: limit)
        case .after(let position, let limit): answer = read(room, after: position, limit: limit)
        }
        return answer.assumeIsolated().flatMap { [self] slice in
            var page = page
            page.received(slice)
            return read(page, of: room, on: eventLoop)
        }.nonisolated()
    }
}

import ChatProtocol

/// Decides from the log what somebody gets who resumes after a position: pages in, the next step out.
struct Resumption {
    enum Step: Equatable {
        /// Replay what comes after a position.
        case replay(after: Position, recovered: Bool)
        /// Replay only the latest so many messages: more was missed than is wanted.
        case replayLatest(Int)
        /// Nothing is left to replay: the log is empty.
        case nothingLeft
        /// Read on after a position before anything can be said.
        case read(after: Position)
    }

    private enum State {
        /// The page after the position where the client was is awaited.
        case looking
        /// The replay begins after this position; how much it is is being counted.
        case counting(from: Position)
    }

    let since: Position
    /// How many messages the client wants at most.
    let limit: Int?
    /// Where the client's history and the log part: to be told, before anything is replayed, that what came after is void.
    private(set) var rewind: Position?
    /// The log is not the one, or no longer the one, that the client knows.
    private(set) var hasParted = false
    private var state = State.looking
    private var isWhole = true
    private var missed = 0

    init(since: Position, limit: Int?) {
        self.since = since
        self.limit = limit
    }

    /// A page that tells what follows the position that was asked for.
    mutating func received(_ page: LogPage, at place: LogPage.Place) -> Step {
        let start: Position
        switch state {
        case .counting(let from):
            start = from
        case .looking:
            guard let found = begin(page, at: place) else {
                guard page.slice.floor != nil else { return .nothingLeft }
                // What the log has in common with the client's history cannot be told: all of it is news.
                hasParted = true
                if let limit { return .replayLatest(limit) }
                state = .counting(from: .zero)
                return .read(after: .zero)
            }
            start = found
        }
        if !page.isWhole(from: place) { isWhole = false }
        state = .counting(from: start)
        missed += page.slice.entries.count - place.index
        guard let limit else { return finish(after: start, in: page) }
        guard let total = total(with: page) else {
            // A page may end early, by bytes.
            return .read(after: page.slice.entries.last?.position ?? start)
        }
        return total > limit ? .replayLatest(limit) : finish(after: start, in: page)
    }

    private func finish(after start: Position, in page: LogPage) -> Step {
        start == .zero && since != .zero && page.slice.entries.isEmpty
            ? .nothingLeft : .replay(after: start, recovered: isWhole)
    }

    /// Where the replay begins; nil when that is not after an entry at or below the client's position.
    private mutating func begin(_ page: LogPage, at place: LogPage.Place) -> Position? {
        if place.isWhole { return since }
        isWhole = false
        let slice = page.slice
        guard let next = slice.entries.dropFirst(place.index).first?.position else {
            // The log ends before the client's position: it went back.
            guard let floor = slice.floor, floor.epoch == since.epoch else { return nil }
            return part(at: floor)
        }
        guard place.index == 0, let floor = slice.floor, floor < since, next.epoch > since.epoch else { return since }
        // The log goes on in a newer epoch, and does not know the client's position: history has forked before it.
        if floor.epoch == since.epoch { return part(at: floor) }
        rewind = .zero
        return nil
    }

    private mutating func part(at position: Position) -> Position {
        hasParted = true
        rewind = position
        return position
    }

    /// How many messages were missed, if that can be told.
    private func total(with page: LogPage) -> Int? {
        guard page.slice.hasMore, let last = page.slice.entries.last?.position else { return missed }
        let head = page.slice.head
        if last.epoch == head.epoch, last <= head {
            let rest = Int(clamping: head.seq - last.seq)
            return missed.addingReportingOverflow(rest).overflow ? .max : missed + rest
        }
        guard let limit, missed > limit else { return nil }
        return missed
    }
}

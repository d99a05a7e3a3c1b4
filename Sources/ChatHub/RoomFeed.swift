package import ChatProtocol
import NIOCore

/// One room as one node hears it: puts publications in order, sees what is missing, asks for exactly that, and hands
/// everything on once. Pure: events in, an action out.
///
/// A publication is a hint. It carries the position before its first message; where that does not meet the position
/// delivered last, the log is read from there and what arrives meanwhile is held, within a bound. Nothing newer is
/// delivered before the hole is filled or told as a gap.
package struct RoomFeed: Sendable {
    package enum Action: Sendable, Equatable {
        case none
        /// Hand these on, in this order.
        case deliver([Item])
        /// Hand these on (possibly none), then read the log.
        case read(ReadRequest, delivering: [Item])
        /// Hand these on (possibly none), then give the log back what it lost.
        case restore(RestoreRequest, delivering: [Item])
    }

    package enum Item: Sendable, Equatable {
        /// Consecutive published messages, the first `skipping` of which were delivered before.
        case batch(MessageBatch, skipping: Int)
        /// Messages from the log.
        case entries([LogEntry])
        /// What stood between the two positions is lost; `before` is nil while nothing newer is known.
        case gap(after: Position, before: Position?)
        /// The feed has found its place: deliveries follow after this position.
        case located(Position)
        /// What was delivered after this position is void: the store lost it.
        case rewind(to: Position)
    }

    package struct ReadRequest: Sendable, Equatable {
        /// Answers to older requests are ignored.
        package var id: Int
        package var range: Range
        package enum Range: Sendable, Equatable {
            case head
            case after(Position)
        }

        package init(id: Int, range: Range) {
            self.id = id
            self.range = range
        }
    }

    package struct RestoreRequest: Sendable, Equatable {
        /// Answers to older requests are ignored.
        package var id: Int
        /// The log has nothing of ours after this position.
        package var after: Position
        /// Others had their turn: what is held goes back even if it does not follow that position closely.
        package var isLastResort: Bool

        package init(id: Int, after: Position, isLastResort: Bool) {
            self.id = id
            self.after = after
            self.isLastResort = isLastResort
        }
    }

    private enum State: Sendable, Equatable {
        /// The subscription was never confirmed.
        case waiting
        /// The subscription stands, the log's head is being asked for.
        case locating
        case following(Position)
        /// The log is being read after this position.
        case repairing(Position)
        /// What was delivered up to this position is given back to a log that lacks the last of it.
        case restoring(Position)
    }

    /// What a feed needs only when it has missed something, or heard it twice.
    private struct Trouble: OccasionalState, Equatable {
        var held: [MessageBatch] = []
        var heldBytes = 0
        var heldBytesLimit = 1 << 20
        /// The last position of what was not held for lack of space: to be read before the feed follows again.
        var notHeldUpTo: Position?
        /// Reads in a row that brought nothing of what a held publication promises.
        var fruitlessReads = 0
        /// The position after which a loss was told while nothing newer was there.
        var toldLossAfter: Position?
        /// Where the log ends that is given back what it lost.
        var restoringAfter = Position.zero
        var holes = 0
        var repairedMessages = 0
        var repetitions = 0

        var isInitial: Bool { self == Trouble() }
    }

    // There are many of these: what is small is packed behind what is large.
    private var state = State.waiting
    /// The store was replaced, and the log not compared with what was delivered yet: if it is gone, it was lost.
    private var mayHaveForked = false
    /// The log lacked what we delivered already when it was last read.
    private var hasWaitedForOthers = false
    private var lastRequest: UInt32 = 0
    @Occasional private var trouble = Trouble()

    /// Holes that were found, and messages that reads of the log brought in.
    package var holes: Int { trouble.holes }
    package var repairedMessages: Int { trouble.repairedMessages }
    /// Messages dropped because they had been delivered before.
    package var repetitions: Int { trouble.repetitions }

    package init(heldBytesLimit: Int = 1 << 20) {
        if heldBytesLimit != trouble.heldBytesLimit { trouble.heldBytesLimit = heldBytesLimit }
    }

    /// The position of the last message handed on; nil before the feed has found its place.
    package var position: Position? {
        switch state {
        case .waiting, .locating: nil
        case .following(let position), .repairing(let position), .restoring(let position): position
        }
    }

    /// Whether everything known to be in the log was handed on.
    package var isFollowing: Bool {
        switch state {
        case .following: true
        case .waiting, .locating, .repairing, .restoring: false
        }
    }

    /// Where the log should end if nothing was missed; nil when that cannot be said.
    package var expectedEnd: Position? {
        switch state {
        case .following(let position): mayHaveForked ? nil : position
        case .waiting, .locating, .repairing, .restoring: nil
        }
    }

    /// The subscription stands (again): what was published before may have been missed.
    package mutating func subscribed() -> Action {
        switch state {
        case .waiting, .locating:
            state = .locating
            return .read(request(.head), delivering: [])
        case .following(let position), .repairing(let position), .restoring(let position):
            return read(after: position, delivering: [])
        }
    }

    /// The store was replaced: the log may lack what was delivered. An audit is to follow.
    package mutating func storeReplaced() {
        mayHaveForked = true
    }

    /// A publication arrived.
    package mutating func received(_ batch: MessageBatch) -> Action {
        guard let last = batch.last else { return .none }
        switch state {
        case .waiting:
            return .none
        case .locating, .repairing, .restoring:
            hold(batch)
            return .none
        case .following(let position):
            switch fit(batch, after: position) {
            case .known:
                trouble.repetitions += batch.messages.count
                return .none
            case .next(let skipping):
                if skipping > 0 { trouble.repetitions += skipping }
                state = .following(last)
                return .deliver([.batch(batch, skipping: skipping)])
            case .beyondHole:
                trouble.holes += 1
                hold(batch)
                return read(after: position, delivering: [])
            }
        }
    }

    /// The log is known to end at `head` (an audit): reads what is missing here, or gives back what is missing there.
    package mutating func audited(head: Position) -> Action {
        guard case .following(let position) = state else { return .none }
        if head == position {
            mayHaveForked = false
            return .none
        }
        if head > position { trouble.holes += 1 }
        if head < position, mayHaveForked { return restore(upTo: position, after: head, delivering: []) }
        return read(after: position, delivering: [])
    }

    /// The answer to a read.
    package mutating func finished(_ id: Int, with slice: LogSlice) -> Action {
        guard id == Int(lastRequest) else { return .none }
        switch state {
        case .waiting, .following, .restoring:
            return .none
        case .locating:
            mayHaveForked = false
            state = .following(slice.head)
            return proceed(from: slice.head, delivering: [.located(slice.head)])
        case .repairing(let position):
            var items: [Item] = []
            if slice.hasForked(from: position, isSuspected: mayHaveForked) {
                return restore(
                    upTo: position, after: slice.head < position ? slice.head : slice.floor ?? .zero, delivering: [])
            }
            mayHaveForked = false
            hasWaitedForOthers = false
            if slice.isComplete {
                trouble.toldLossAfter = nil
            } else if trouble.toldLossAfter == position {
                if !slice.entries.isEmpty { trouble.toldLossAfter = nil }
            } else {
                items.append(.gap(after: position, before: slice.entries.first?.position))
                trouble.toldLossAfter = slice.entries.isEmpty ? position : nil
            }
            // What the log holds at or below our position stands under numbers that were used before: not ours to repeat.
            let news = slice.entries.filter { $0.position > position }
            guard let reached = news.last?.position else {
                trouble.fruitlessReads += trouble.held.isEmpty ? 0 : 1
                return proceed(from: position, delivering: items)
            }
            trouble.fruitlessReads = 0
            trouble.repairedMessages += news.count
            for part in LogSlice(entries: news, isComplete: true, hasMore: false, head: slice.head).parts(
                after: position)
            {
                switch part {
                case .entries(let entries): items.append(.entries(Array(entries)))
                case .missing(let after, let before): items.append(.gap(after: after, before: before))
                }
            }
            if slice.hasMore { return read(after: reached, delivering: items) }
            return proceed(from: reached, delivering: items)
        }
    }

    /// The log was given back what is held here.
    package mutating func restored(_ id: Int, _ restoration: Restoration) -> Action {
        guard id == Int(lastRequest), case .restoring(let position) = state else { return .none }
        switch restoration {
        case .restored:
            return read(after: position, delivering: [])
        case .forked(let common):
            return rewind(to: common, from: position)
        }
    }

    /// Nothing is held of what the log lost, and nobody else has given it back.
    ///
    /// - Parameter common: the last position that log and members certainly have in common.
    package mutating func heldNothing(_ id: Int, common: Position) -> Action {
        guard id == Int(lastRequest), case .restoring(let position) = state else { return .none }
        // Of a log that is gone altogether members may keep what they have seen.
        guard trouble.restoringAfter == .zero else { return rewind(to: common, from: position) }
        mayHaveForked = false
        trouble.toldLossAfter = position
        return read(after: position, delivering: [.gap(after: position, before: nil)])
    }

    private mutating func rewind(to common: Position, from position: Position) -> Action {
        mayHaveForked = false
        hasWaitedForOthers = false
        guard common < position else { return read(after: position, delivering: []) }
        // What was held speaks of the history that is void; whatever is true stands in the log.
        trouble.held = []
        trouble.heldBytes = 0
        trouble.notHeldUpTo = nil
        // Nothing was told of what comes after it: the log may have been trimmed beyond since it went on without us.
        trouble.toldLossAfter = nil
        return read(after: common, delivering: [.rewind(to: common)])
    }

    /// A read or a restoration failed.
    ///
    /// - Returns: whether it is still wanted: ask again later with ``retry()``.
    package func failed(_ id: Int) -> Bool {
        guard id == Int(lastRequest) else { return false }
        switch state {
        case .waiting, .following: return false
        case .locating, .repairing, .restoring: return true
        }
    }

    /// Time to ask again after a failure, or to see what others have given back.
    package mutating func retry() -> Action {
        switch state {
        case .waiting, .following: .none
        case .locating: .read(request(.head), delivering: [])
        case .repairing(let position), .restoring(let position): read(after: position, delivering: [])
        }
    }

    // MARK: - Steps

    private enum Fit {
        case known
        case next(skipping: Int)
        case beyondHole
    }

    private func fit(_ batch: MessageBatch, after position: Position) -> Fit {
        guard let last = batch.last, last > position else { return .known }
        if batch.previous == position { return .next(skipping: 0) }
        guard batch.first.epoch == position.epoch, batch.first <= position else { return .beyondHole }
        return .next(skipping: Int(position.seq - batch.first.seq) + 1)
    }

    /// Goes through what was held until it runs dry or another hole shows.
    private mutating func proceed(from start: Position, delivering done: [Item]) -> Action {
        var position = start
        var items = done
        let waiting = trouble.held.sorted { $0.first < $1.first }
        trouble.held = []
        trouble.heldBytes = 0
        for (index, batch) in waiting.enumerated() {
            switch fit(batch, after: position) {
            case .known:
                trouble.repetitions += batch.messages.count
            case .next(let skipping):
                items.append(.batch(batch, skipping: skipping))
                position = batch.last ?? position
                trouble.fruitlessReads = 0
            case .beyondHole:
                if trouble.fruitlessReads >= Self.fruitlessReadsLimit {
                    // The log has nothing after our position, so not this either: another store than the one that is
                    // read has said it. If it is true after all, an audit brings it.
                    trouble.repetitions += batch.messages.count
                    continue
                }
                for later in waiting[index...] { hold(later) }
                return read(after: position, delivering: items)
            }
        }
        trouble.fruitlessReads = 0
        if let wanted = trouble.notHeldUpTo {
            trouble.notHeldUpTo = nil
            if wanted > position { return read(after: position, delivering: items) }
        }
        state = .following(position)
        return items.isEmpty ? .none : .deliver(items)
    }

    private static let fruitlessReadsLimit = 3

    private mutating func read(after position: Position, delivering items: [Item]) -> Action {
        state = .repairing(position)
        return .read(request(.after(position)), delivering: items)
    }

    private mutating func restore(upTo position: Position, after: Position, delivering items: [Item]) -> Action {
        state = .restoring(position)
        trouble.restoringAfter = after
        lastRequest &+= 1
        defer { hasWaitedForOthers = true }
        return .restore(
            RestoreRequest(id: Int(lastRequest), after: after, isLastResort: hasWaitedForOthers), delivering: items)
    }

    private mutating func request(_ range: ReadRequest.Range) -> ReadRequest {
        lastRequest &+= 1
        return ReadRequest(id: Int(lastRequest), range: range)
    }

    /// What does not fit the bound is not held: the log has it.
    private mutating func hold(_ batch: MessageBatch) {
        let bytes = batch.messages.reduce(64) { $0 + $1.body.readableBytes + 32 }
        guard trouble.heldBytes + bytes <= trouble.heldBytesLimit else {
            trouble.notHeldUpTo = max(trouble.notHeldUpTo ?? .zero, batch.last ?? .zero)
            return
        }
        trouble.heldBytes += bytes
        trouble.held.append(batch)
    }
}

extension LogSlice {
    /// Whether this log, read after a position that is not in it, never had it or lost it, rather than trimmed it away:
    /// it ends before, or has gone on in a newer epoch. What is trimmed away goes oldest first, so that something older
    /// proves it; a log that is gone, or began anew, may have been deleted unless its store was replaced.
    fileprivate func hasForked(from position: Position, isSuspected: Bool) -> Bool {
        guard !isComplete, floor != nil || isSuspected else { return false }
        if head < position { return true }
        guard let next = entries.first?.position else { return false }
        return next.epoch > position.epoch && next.seq == 1
    }
}

extension MessageBatch {
    /// The position of the last message; nil for a batch that is empty or counts beyond 64 bits.
    package var last: Position? {
        guard !messages.isEmpty else { return nil }
        let (seq, overflowed) = first.seq.addingReportingOverflow(UInt64(messages.count - 1))
        return overflowed ? nil : Position(epoch: first.epoch, seq: seq)
    }
}

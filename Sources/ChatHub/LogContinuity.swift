package import ChatProtocol

extension Position {
    /// Whether `next` may stand right after this in a log without anything missing between them: the next SEQ of the same
    /// epoch, or the first of a newer one.
    package func isContinued(by next: Position) -> Bool {
        next.epoch > epoch ? next.seq == 1 : isFollowed(by: next)
    }
}

extension LogSlice {
    /// What a read after a position found; ``isComplete`` follows from it.
    ///
    /// - Parameter floor: the greatest entry at or below the position; nil when there is none.
    package init(after position: Position, floor: Position?, entries: [LogEntry], hasMore: Bool, head: Position) {
        let isComplete =
            if let next = entries.first?.position {
                position == .zero || floor == position
                    ? position.isContinued(by: next) : position.isFollowed(by: next)
            } else {
                position == head || floor == position
            }
        self.init(entries: entries, isComplete: isComplete, hasMore: hasMore, head: head, floor: floor)
    }

    /// The entries of a read after `position` and what is missing before, between and after them.
    package func parts(after position: Position) -> [LogPart] {
        var parts: [LogPart] = []
        var start = entries.startIndex
        for (index, entry) in entries.enumerated() {
            let isContinuous = index == 0 ? isComplete : entries[index - 1].position.isContinued(by: entry.position)
            if isContinuous { continue }
            if start < index { parts.append(.entries(entries[start..<index])) }
            parts.append(
                .missing(after: index == 0 ? position : entries[index - 1].position, before: entry.position))
            start = index
        }
        if start < entries.endIndex { parts.append(.entries(entries[start...])) }
        if entries.isEmpty, !isComplete { parts.append(.missing(after: position, before: nil)) }
        return parts
    }
}

/// A piece of a log as it is walked.
package enum LogPart: Sendable, Equatable {
    /// Nothing is missing between these.
    case entries(ArraySlice<LogEntry>)
    /// What stood between the two positions is gone; `before` is nil where nothing newer is there.
    case missing(after: Position, before: Position?)
}

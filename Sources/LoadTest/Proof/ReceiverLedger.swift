package import ChatProtocol

/// What one receiver got of its room: each message once, in the order of positions, but for what it was told is lost.
package struct ReceiverLedger: Sendable {
    package enum Verdict: Sendable, Equatable {
        case good, doubled, outOfOrder
    }

    /// Both ends are exclusive.
    private struct ToldLoss: Sendable {
        var after: Position
        /// Nil while nothing newer has come.
        var before: Position?
    }

    /// One bit a message: rooms may have thousands of receivers.
    private var seen: [UInt64] = []
    private var toldLosses: [ToldLoss] = []
    package private(set) var count = 0
    /// To be resumed from.
    package private(set) var last = Position.zero

    package init() {}

    package mutating func received(_ number: Int, at position: Position) -> Verdict {
        guard !has(number) else { return .doubled }
        let word = number / 64
        if word >= seen.count { seen.append(contentsOf: repeatElement(0, count: word + 1 - seen.count)) }
        seen[word] |= 1 << UInt64(number % 64)
        count += 1
        if let open = toldLosses.indices.last, toldLosses[open].before == nil { toldLosses[open].before = position }
        guard position > last else { return .outOfOrder }
        last = position
        return .good
    }

    /// The room's position at the time of joining.
    package mutating func joined(at position: Position) {
        last = max(last, position)
    }

    /// `gap`, or a resume from `after` that was not recovered up to `before`.
    package mutating func lost(after: Position, before: Position?) {
        toldLosses.append(ToldLoss(after: after, before: before))
    }

    /// `rewind`: what stood after `position` is to be dropped, and may come again.
    ///
    /// - Parameter current: where the room's messages stand, or stood last, by number.
    package mutating func rewound(to position: Position, positions current: some Sequence<Position>) {
        for (number, stands) in current.enumerated() where stands > position && has(number) {
            seen[number / 64] &= ~(1 << UInt64(number % 64))
            count -= 1
        }
        // Up to the next message that comes: that stands in a newer epoch than all that was dropped.
        toldLosses.append(ToldLoss(after: position, before: nil))
        last = min(last, position)
    }

    package func has(_ number: Int) -> Bool {
        let word = number / 64
        return word < seen.count && seen[word] & 1 << UInt64(number % 64) != 0
    }

    /// Whether it was told that what stands there is lost.
    package func wasToldLost(_ position: Position) -> Bool {
        toldLosses.contains { $0.after < position && ($0.before.map { position < $0 } ?? true) }
    }

    package var wasToldOfLosses: Bool { !toldLosses.isEmpty }
}

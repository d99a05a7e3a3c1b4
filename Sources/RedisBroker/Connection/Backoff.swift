package import NIOCore

/// How long to wait before trying again: full jitter over a limit that doubles with each failure, so that many nodes
/// that lost the same Redis do not come back in one instant.
package struct Backoff: Sendable, Equatable {
    package struct Limits: Sendable, Equatable {
        package var shortest: TimeAmount
        package var longest: TimeAmount

        package init(shortest: TimeAmount, longest: TimeAmount) {
            self.shortest = shortest
            self.longest = longest
        }
    }

    private let limits: Limits
    private var failures = 0

    package init(_ limits: Limits) { self.limits = limits }

    /// The pause after one more failure, from 1 ms to the present limit.
    package mutating func failed(using random: inout some RandomNumberGenerator) -> TimeAmount {
        let doublings = min(failures, 20)
        failures += 1
        let limit = min(limits.shortest.nanoseconds << Int64(doublings), limits.longest.nanoseconds)
        return .nanoseconds(.random(in: 1_000_000...max(limit, 1_000_000), using: &random))
    }

    /// All is well: the next failure begins with the shortest pause.
    package mutating func succeeded() { failures = 0 }
}

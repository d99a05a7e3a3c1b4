/// How long to wait before connecting again: full jitter, so that all who lost the same peer do not come back together.
/// Each failure doubles the longest wait.
package struct Backoff: Sendable, Equatable {
    package struct Limits: Sendable, Equatable {
        /// The longest wait after the first failure.
        package var initial: Duration
        /// The longest wait after any number of failures.
        package var maximum: Duration

        package init(initial: Duration, maximum: Duration) {
            self.initial = initial
            self.maximum = maximum
        }

        /// Those of a client: from 0.1 s to 20 s.
        package static let client = Limits(initial: .milliseconds(100), maximum: .seconds(20))
    }

    private let limits: Limits
    /// The longest wait after the next failure.
    package private(set) var ceiling: Duration

    package init(_ limits: Limits = .client) {
        self.limits = limits
        self.ceiling = min(limits.initial, limits.maximum)
    }

    /// A connection failed or was lost: how long to wait, anything from nothing to ``ceiling``.
    package mutating func failed(using random: inout some RandomNumberGenerator) -> Duration {
        let wait = ceiling * Double.random(in: 0...1, using: &random)
        ceiling = min(ceiling * 2, limits.maximum)
        return wait
    }

    package mutating func failed() -> Duration {
        var random = SystemRandomNumberGenerator()
        return failed(using: &random)
    }

    /// A connection works.
    package mutating func succeeded() {
        ceiling = min(limits.initial, limits.maximum)
    }
}

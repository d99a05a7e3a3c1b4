/// How long a client waits before it connects again: full jitter, so that the clients of a node that died do not
/// come back together. Each failure doubles the longest wait, from 0.1 s to 20 s.
package struct Backoff: Sendable, Equatable {
    /// The longest wait after the first failure.
    package let initial: Duration
    /// The longest wait after any number of failures.
    package let maximum: Duration
    /// The longest wait after the next failure.
    package private(set) var ceiling: Duration

    package init(initial: Duration = .milliseconds(100), maximum: Duration = .seconds(20)) {
        self.initial = initial
        self.maximum = maximum
        self.ceiling = min(initial, maximum)
    }

    /// A connection failed or was lost: how long to wait, anything from nothing to ``ceiling``.
    package mutating func failed(using random: inout some RandomNumberGenerator) -> Duration {
        let wait = ceiling * Double.random(in: 0...1, using: &random)
        ceiling = min(ceiling * 2, maximum)
        return wait
    }

    package mutating func failed() -> Duration {
        var random = SystemRandomNumberGenerator()
        return failed(using: &random)
    }

    /// A connection works.
    package mutating func succeeded() {
        ceiling = min(initial, maximum)
    }
}

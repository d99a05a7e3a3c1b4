import NIOCore

/// A token bucket: so many a second on average, with a burst of two seconds' worth. Pure.
struct RateLimit: Equatable {
    private let perSecond: Double
    private var tokens: Double
    private var last: NIODeadline

    /// - Parameter perSecond: 0 for no limit.
    init(perSecond: Int, at now: NIODeadline) {
        self.perSecond = Double(perSecond)
        tokens = Double(perSecond) * 2
        last = now
    }

    /// Nothing of it is spent: it is as good as a new one.
    func isFull(at now: NIODeadline) -> Bool {
        tokens + max(0, Double((now - last).nanoseconds) / 1e9) * perSecond >= perSecond * 2
    }

    /// Takes one token.
    ///
    /// - Returns: nil when there was one, else the milliseconds until there will be.
    mutating func take(at now: NIODeadline) -> Int? {
        guard perSecond > 0 else { return nil }
        let elapsed = Double((now - last).nanoseconds) / 1e9
        tokens = min(perSecond * 2, tokens + max(0, elapsed) * perSecond)
        last = now
        guard tokens < 1 else {
            tokens -= 1
            return nil
        }
        return max(1, Int(((1 - tokens) / perSecond * 1000).rounded(.up)))
    }
}

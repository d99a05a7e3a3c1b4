import NIOCore

/// A token bucket: so many a second on average, with a burst of two seconds' worth, or another. Pure.
struct RateLimit: Equatable {
    private let perSecond: Double
    private let burst: Double
    private var tokens: Double
    private var last: NIODeadline

    /// - Parameter perSecond: 0 for no limit.
    init(perSecond: Int, burst: Int? = nil, at now: NIODeadline) {
        self.perSecond = Double(perSecond)
        self.burst = Double(burst ?? perSecond * 2)
        tokens = self.burst
        last = now
    }

    /// Nothing of it is spent: it is as good as a new one.
    func isFull(at now: NIODeadline) -> Bool {
        filled(at: now) >= burst
    }

    private func filled(at now: NIODeadline) -> Double {
        min(burst, tokens + max(0, Double((now - last).nanoseconds) / 1e9) * perSecond)
    }

    /// The milliseconds until there is a token; nil when there is one.
    func wait(at now: NIODeadline) -> Int? {
        let tokens = filled(at: now)
        guard perSecond > 0, tokens < 1 else { return nil }
        return max(1, Int(((1 - tokens) / perSecond * 1000).rounded(.up)))
    }

    /// Takes tokens when there is one. Who takes more than there are waits until they are paid for.
    ///
    /// - Returns: nil when there was one, else the milliseconds until there will be.
    mutating func take(_ count: Int = 1, at now: NIODeadline) -> Int? {
        if let wait = wait(at: now) { return wait }
        charge(count, at: now)
        return nil
    }

    /// Takes tokens, whether there are any or not.
    mutating func charge(_ count: Int, at now: NIODeadline) {
        guard perSecond > 0 else { return }
        tokens = filled(at: now) - Double(count)
        last = now
    }
}

import NIOCore

/// A token bucket: so many a second on average, with a burst of two seconds' worth, or another. Pure.
///
/// What it has spent is kept as the time that it takes to fill up again: each session has several of these.
struct RateLimit: Equatable {
    let perSecond: Int32
    private let burst: Int32
    /// Nothing is missing from then on.
    private var fullAt: NIODeadline

    /// - Parameter perSecond: 0 for no limit.
    init(perSecond: Int, burst: Int? = nil, at now: NIODeadline) {
        self.perSecond = Int32(clamping: perSecond)
        self.burst = Int32(clamping: burst ?? perSecond * 2)
        fullAt = now
    }

    /// Nothing of it is spent: it is as good as a new one.
    func isFull(at now: NIODeadline) -> Bool { now >= fullAt }

    /// How long it takes for so many tokens to come.
    private func time(for tokens: Int32) -> Double { Double(tokens) * 1e9 / Double(perSecond) }

    /// The milliseconds until there is a token; nil when there is one.
    func wait(at now: NIODeadline) -> Int? {
        guard perSecond > 0 else { return nil }
        let missing = max(0, Double((fullAt - now).nanoseconds))
        let excess = missing + time(for: 1) - time(for: burst)
        return excess > 0 ? max(1, Int((excess / 1e6).rounded(.up))) : nil
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
        fullAt = max(fullAt, now) + .nanoseconds(Int64(time(for: Int32(clamping: count))))
    }
}

/// When a session has to hear that its token expires, and when it ends. Pure: time is an argument, in milliseconds since
/// 1970.
struct TokenLife: Equatable {
    enum Step: Equatable {
        /// Ask again after so many milliseconds.
        case wait(UInt64)
        /// Tell the session, then ask again.
        case warn(expires: UInt64)
        case end
    }

    /// A minute before the end, or a quarter of what is left if that is less: a client that refreshes when it is warned
    /// must not be warned again at once.
    private static let notice: UInt64 = 60_000
    /// Timers are not set for years.
    private static let longestWait: UInt64 = 3_600_000

    private let expires: UInt64
    private let warnsAt: UInt64
    private let endsAt: UInt64
    private var hasWarned = false

    /// - Returns: nil for an identity that does not expire.
    init?(of identity: Identity, now: UInt64) {
        guard let expires = identity.expires, let endsAt = identity.endsAt else { return nil }
        self.expires = expires
        self.endsAt = endsAt
        let left = expires * 1000 > now ? expires * 1000 - now : 0
        warnsAt = expires * 1000 - min(Self.notice, left / 4, expires * 1000)
    }

    mutating func next(now: UInt64) -> Step {
        if now >= endsAt { return .end }
        if now >= warnsAt, !hasWarned {
            hasWarned = true
            return .warn(expires: expires)
        }
        return .wait(min((hasWarned ? endsAt : warnsAt) - now, Self.longestWait))
    }
}

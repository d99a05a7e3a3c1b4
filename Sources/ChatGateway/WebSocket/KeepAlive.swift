/// Whether a peer is still there, judged once per heartbeat.
struct KeepAlive: Equatable, Sendable {
    enum Verdict: Equatable {
        case ping
        /// Two pings in a row brought no sign of life.
        case giveUp
    }

    private var unanswered: UInt8 = 0

    /// Any frame, and any piece of one, is a sign of life.
    mutating func heard() { unanswered = 0 }

    /// A heartbeat has passed.
    mutating func beat() -> Verdict {
        guard unanswered < 2 else { return .giveUp }
        unanswered += 1
        return .ping
    }
}

package import NIOCore

/// Tells a connection on which nothing is heard any more. A node pings every heartbeat and any frame counts as life,
/// so silence of two and a half heartbeats means that the node, or the way to it, is gone.
package struct KeepAlive: Equatable {
    package enum Verdict: Equatable {
        case silent
        /// Look again then.
        case alive(checkAt: NIODeadline)
    }

    private var patience: TimeAmount
    private var lastHeard: NIODeadline

    package init(heartbeat: TimeAmount, now: NIODeadline) {
        patience = Self.patience(heartbeat)
        lastHeard = now
    }

    /// The node has said how often it pings.
    package mutating func heartbeatIs(_ heartbeat: TimeAmount) {
        patience = Self.patience(heartbeat)
    }

    package mutating func heard(at now: NIODeadline) {
        lastHeard = now
    }

    package func check(at now: NIODeadline) -> Verdict {
        let end = lastHeard + patience
        return now >= end ? .silent : .alive(checkAt: end)
    }

    private static func patience(_ heartbeat: TimeAmount) -> TimeAmount {
        .nanoseconds(max(heartbeat.nanoseconds, 100_000_000) / 2 * 5)
    }
}

import NIOCore

/// When each session of a draining node is to move: evenly spread, so that the other nodes meet no storm. Pure.
struct DrainPlan: Equatable {
    /// Over how long the sessions are spread.
    var spread: TimeAmount
    /// How long a session may take to move once its turn has come.
    var allowance: TimeAmount

    struct Slot: Equatable {
        /// When the client opens its new connection.
        var after: TimeAmount
        /// When the node closes the old one.
        var deadline: TimeAmount
    }

    /// The slot of the session at `index` of `count`.
    func slot(_ index: Int, of count: Int) -> Slot {
        let after = TimeAmount.nanoseconds(spread.nanoseconds * Int64(index) / Int64(max(1, count)))
        return Slot(after: after, deadline: after + allowance)
    }
}

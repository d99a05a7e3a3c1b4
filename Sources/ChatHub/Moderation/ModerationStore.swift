package import ChatProtocol
package import NIOCore

/// A broker that carries moderation too: its orders are heard in ``ChatProtocol/RoomName/control``.
package protocol ModeratedBroker: Broker {
    var moderation: any ModerationStore { get }
}

/// What moderation asks of the store. Everything on the broker's loop.
package protocol ModerationStore: AnyObject, Sendable {
    /// Writes an order down, for nodes that start later or were away, and publishes it to all. Its number.
    func give(_ order: Order) -> EventLoopFuture<UInt64>

    /// Writes down orders that the store has lost, but for those on which it has newer ones.
    func giveBack(_ orders: [GivenOrder]) -> EventLoopFuture<Void>

    /// The orders that are in force, with the version of them all; nil when that is `known` still.
    func orders(otherThan known: UInt64?) -> EventLoopFuture<Orders?>

    /// Publishes that this node has done as ordered.
    func answer(_ number: UInt64, affected: Int)

    /// The names of the nodes that live, this one among them.
    func nodes() -> EventLoopFuture<Set<String>>

    /// Changes a room's rules, and tells all of them; nil: only tells.
    func change(_ change: RuleChange?, in room: RoomName) -> EventLoopFuture<RoomRules>

    /// This node's name.
    var node: String { get }
}

/// All orders that are in force.
package struct Orders: Sendable, Equatable {
    package var all: [GivenOrder]
    /// Changes with every order that is given.
    package var version: UInt64

    package init(_ all: [GivenOrder], version: UInt64) {
        self.all = all
        self.version = version
    }
}

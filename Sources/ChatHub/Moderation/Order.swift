package import ChatProtocol

/// Something that moderators decided and every node has to see to, wherever the user is.
package struct Order: Sendable, Equatable {
    /// What it is about. A newer order on the same subject takes the place of the older.
    package enum Subject: Sendable, Hashable {
        /// The user's sessions that were there when the order was given end.
        case sessions(of: UserName)
        /// The user's sessions that were in the room when the order was given leave it.
        case membership(of: UserName, in: RoomName)
        /// The user may not be in the room.
        case exclusion(of: UserName, from: RoomName)
        /// The token with this `jti` is not valid.
        case token(String)
        /// The user's tokens that were issued before ``Order/issuedBefore`` are not valid.
        case tokens(of: UserName)
        /// The user may not be here.
        case ban(of: UserName)
        /// The session lost its place in the room: never given, only carried out.
        case place(of: SessionID, in: RoomName)
        /// The user may not type or signal in the room. (What is posted the room's own rules judge.)
        case mute(of: UserName, in: RoomName)
    }

    package var subject: Subject
    /// What an earlier order said is no longer so.
    package var isLifted: Bool
    /// Seconds since 1970.
    package var issuedBefore: UInt64
    /// For people.
    package var reason: String?
    /// How long nodes that were away have to learn of it, in milliseconds.
    package var duration: UInt64

    package init(
        _ subject: Subject, isLifted: Bool = false, issuedBefore: UInt64 = 0, reason: String? = nil, duration: UInt64
    ) {
        self.subject = subject
        self.isLifted = isLifted
        self.issuedBefore = issuedBefore
        self.reason = reason
        self.duration = duration
    }
}

/// An order as the store tells it.
package struct GivenOrder: Sendable, Equatable {
    package var order: Order
    /// Greater than that of every order on the same subject before it.
    package var number: UInt64
    /// Milliseconds since it was given, and until it is forgotten, by the store's clock.
    package var age: UInt64
    package var left: UInt64

    package init(_ order: Order, number: UInt64, age: UInt64, left: UInt64) {
        self.order = order
        self.number = number
        self.age = age
        self.left = left
    }
}

/// A node has done as ordered.
package struct OrderAnswer: Sendable, Equatable {
    /// Of the order.
    package var number: UInt64
    package var node: String
    /// Sessions that it ended, or took out of a room.
    package var affected: Int

    package init(number: UInt64, node: String, affected: Int) {
        self.number = number
        self.node = node
        self.affected = affected
    }
}

/// What nodes say to each other in ``ChatProtocol/RoomName/control``.
package enum ControlEvent: Sendable, Equatable {
    case order(GivenOrder)
    case answer(OrderAnswer)
    /// This node's session may no longer be in a room: of the store it was gone for a while, and others have its place, or
    /// its user was banned. Never published.
    case displaced(SessionID, from: RoomName, Prohibition)
}

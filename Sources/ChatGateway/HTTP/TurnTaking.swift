import NIOCore

/// Who is served when, where many want something of one: one at a time, one address after the other, and after each a
/// rest for as long as that one took. Pure: time is an argument.
struct TurnTaking<Visitor> {
    /// No turn follows the one before sooner, so that others come in between.
    private static var shortestRest: TimeAmount { .microseconds(20) }

    private var queue = FairQueue<Visitor>()
    private var beganAt: NIODeadline?
    private var nextTurn = NIODeadline.uptimeNanoseconds(0)

    /// Whether somebody who comes now may be served at once, as nobody else is or waits. Its turn has begun then.
    mutating func arrived(at now: NIODeadline) -> Bool {
        guard queue.isEmpty, beganAt == nil, now >= nextTurn else { return false }
        beganAt = now
        return true
    }

    /// Somebody has to wait.
    mutating func waits(_ visitor: Visitor, address: String) {
        queue.append(visitor, of: address)
    }

    /// Whose turn it is now, which has begun; nil when nobody waits.
    mutating func next(at now: NIODeadline) -> Visitor? {
        guard let visitor = queue.popFirst() else { return nil }
        beganAt = now
        return visitor
    }

    /// A turn is over. Does nothing when none has begun.
    mutating func ended(at now: NIODeadline) {
        guard let beganAt else { return }
        self.beganAt = nil
        nextTurn = now + max(now - beganAt, Self.shortestRest)
    }

    /// When ``next(at:)`` is to be asked; nil while nobody waits.
    func wakeUp(at now: NIODeadline) -> NIODeadline? {
        queue.isEmpty ? nil : max(nextTurn, now + Self.shortestRest)
    }
}

import NIOCore

/// Who is served when, where many want something of one: one after the other, one address after the other, until a slice
/// of time is used up; then a rest. Pure: time is an argument.
struct TurnTaking<Visitor> {
    /// Turns that begin within it share the loop's other costs, its system calls above all; everybody else waits no
    /// longer than this and the last one's turn.
    private static var slice: TimeAmount { .microseconds(100) }

    /// Who waits is not asked sooner, so that others come in between.
    private static var shortestWait: TimeAmount { .microseconds(20) }

    enum Rest {
        /// As long as the turns before it took: half of the time is the others'.
        case asLong
        /// So that the others come in between, whatever time they need.
        case short
    }

    private let rest: Rest
    private var queue = FairQueue<Visitor>()
    private var beganAt: NIODeadline?
    /// What the turns since the last rest took.
    private var used = TimeAmount.zero
    private var endedAt = NIODeadline.uptimeNanoseconds(0)

    init(rest: Rest) {
        self.rest = rest
    }

    private var restEndsAt: NIODeadline {
        switch rest {
        case .asLong: endedAt + used
        case .short: endedAt + min(used, Self.shortestWait)
        }
    }

    /// Whether somebody who comes now may be served at once, as nobody else is or waits. Its turn has begun then.
    mutating func arrived(at now: NIODeadline) -> Bool {
        guard queue.isEmpty else { return false }
        return begin(at: now)
    }

    /// Somebody has to wait.
    mutating func waits(_ visitor: Visitor, address: String) {
        queue.append(visitor, of: address)
    }

    /// Whose turn it is now, which has begun; nil when nobody waits, or a rest is due first.
    mutating func next(at now: NIODeadline) -> Visitor? {
        guard !queue.isEmpty, begin(at: now) else { return nil }
        return queue.popFirst()
    }

    private mutating func begin(at now: NIODeadline) -> Bool {
        guard beganAt == nil else { return false }
        if now >= restEndsAt {
            used = .zero
        } else if used >= Self.slice {
            return false
        }
        beganAt = now
        return true
    }

    /// A turn is over. Does nothing when none has begun.
    mutating func ended(at now: NIODeadline) {
        guard let beganAt else { return }
        self.beganAt = nil
        used = used + (now - beganAt)
        endedAt = now
    }

    /// When ``next(at:)`` is to be asked; nil while nobody waits.
    func wakeUp(at now: NIODeadline) -> NIODeadline? {
        queue.isEmpty ? nil : max(restEndsAt, now + Self.shortestWait)
    }
}

import ChatProtocol
import NIOCore

/// The orders that a node knows, and what follows from them. Pure: time is an argument.
struct OrderBook {
    private struct Entry {
        var given: GivenOrder
        /// When it was given and when it is forgotten, by this node's clock.
        var since: NIODeadline
        var until: NIODeadline
    }

    private var entries: [Order.Subject: Entry] = [:]

    var isEmpty: Bool { entries.isEmpty }

    /// - Returns: whether it is news.
    mutating func heard(_ given: GivenOrder, at now: NIODeadline) -> Bool {
        if let known = entries[given.order.subject], known.given.number >= given.number { return false }
        entries[given.order.subject] = Entry(
            given: given, since: now - .milliseconds(Int64(clamping: given.age)),
            until: now + .milliseconds(Int64(clamping: min(given.left, Self.longest))))
        return true
    }

    /// All that the store has. What it does not have, it has lost, unless it was given since.
    ///
    /// - Returns: those that are news, in the order in which they were given, and those that the store lacks.
    mutating func read(_ all: [GivenOrder], at now: NIODeadline) -> (news: [GivenOrder], missing: [GivenOrder]) {
        entries = entries.filter { $0.value.until > now }
        var numbers: [Order.Subject: UInt64] = [:]
        for given in all { numbers[given.order.subject] = given.number }
        let missing = entries.values.filter { (numbers[$0.given.order.subject] ?? 0) < $0.given.number }.map { entry in
            GivenOrder(
                entry.given.order, number: entry.given.number, age: Self.milliseconds(now - entry.since),
                left: Self.milliseconds(entry.until - now))
        }
        let news = all.filter { heard($0, at: now) }.sorted { $0.number < $1.number }
        return (news, missing.sorted { $0.number < $1.number })
    }

    // MARK: What follows

    func verdict(on user: UserName, with token: TokenMark?, at now: NIODeadline) -> Verdict? {
        if let ban = inForce(.ban(of: user), at: now) { return .banned(reason: ban.reason) }
        guard let token else { return nil }
        if let id = token.id, inForce(.token(id), at: now) != nil { return .revoked }
        if let order = inForce(.tokens(of: user), at: now), token.issuedAt ?? 0 < order.issuedBefore { return .revoked }
        return nil
    }

    func isMuted(_ user: UserName, in room: RoomName, at now: NIODeadline) -> Bool {
        inForce(.mute(of: user, in: room), at: now) != nil
    }

    func isExcluded(_ user: UserName, from room: RoomName, at now: NIODeadline) -> Bool {
        inForce(.exclusion(of: user, from: room), at: now) != nil
    }

    /// The ban of a user, and how many milliseconds are left of it.
    func ban(of user: UserName, at now: NIODeadline) -> (reason: String?, left: UInt64)? {
        guard let ban = inForce(.ban(of: user), at: now), let entry = entries[.ban(of: user)] else { return nil }
        return (ban.reason, Self.milliseconds(entry.until - now))
    }

    private func inForce(_ subject: Order.Subject, at now: NIODeadline) -> Order? {
        guard let entry = entries[subject], entry.until > now, !entry.given.order.isLifted else { return nil }
        return entry.given.order
    }

    private static func milliseconds(_ time: TimeAmount) -> UInt64 { UInt64(max(0, time.nanoseconds / 1_000_000)) }

    /// A hundred years: far from what a deadline can hold.
    private static let longest: UInt64 = 3_155_760_000_000
}

/// Why somebody may not be here.
package enum Verdict: Sendable, Equatable {
    case banned(reason: String?)
    case revoked
}

/// By what a token is revoked.
package struct TokenMark: Sendable, Equatable {
    /// Its `jti`.
    package var id: String?
    /// Its `iat`, in seconds since 1970; nil counts as issued before everything.
    package var issuedAt: UInt64?

    package init(id: String?, issuedAt: UInt64?) {
        self.id = id
        self.issuedAt = issuedAt
    }
}

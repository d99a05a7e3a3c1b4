package import ChatProtocol
import NIOCore
import Synchronization

/// What orders mean for who comes and who is here. May be asked on any thread.
package final class Sanctions: Sendable {
    private let book = Mutex(OrderBook())
    private let isRead = Atomic(false)

    package init() {}

    /// Whether all orders are known: before that nobody can be let in.
    package var isKnown: Bool { isRead.load(ordering: .acquiring) }

    package func verdict(on user: UserName, with token: TokenMark?) -> Verdict? {
        book.withLock { $0.isEmpty ? nil : $0.verdict(on: user, with: token, at: .now()) }
    }

    package func isMuted(_ user: UserName, in room: RoomName) -> Bool {
        book.withLock { $0.isEmpty ? false : $0.isMuted(user, in: room, at: .now()) }
    }

    package func isExcluded(_ user: UserName, from room: RoomName) -> Bool {
        book.withLock { $0.isEmpty ? false : $0.isExcluded(user, from: room, at: .now()) }
    }

    /// The ban of a user, and how many milliseconds are left of it.
    package func ban(of user: UserName) -> (reason: String?, left: UInt64)? {
        book.withLock { $0.ban(of: user, at: .now()) }
    }

    func heard(_ given: GivenOrder, at now: NIODeadline) -> Bool {
        book.withLock { $0.heard(given, at: now) }
    }

    func read(_ all: [GivenOrder], at now: NIODeadline) -> (news: [GivenOrder], missing: [GivenOrder]) {
        defer { isRead.store(true, ordering: .releasing) }
        return book.withLock { $0.read(all, at: now) }
    }
}

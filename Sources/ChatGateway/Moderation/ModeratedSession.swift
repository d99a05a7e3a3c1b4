import ChatHub
import ChatProtocol
import NIOCore
import NIOHTTP1

/// Somebody who is here, as orders see them. Confined to the session's loop.
protocol ModeratedSession: AnyObject {
    var id: SessionID { get }
    var identity: Identity { get }
    var openedAt: NIODeadline { get }
    /// The node has ended it; the client may still have to hear of it.
    var hasEnded: Bool { get }
    /// Ends with 1008, or as a stream ends.
    func end(_ verdict: String)
    /// Leaves a room, and says why.
    ///
    /// - Returns: whether it was there.
    func leave(_ room: RoomName, because refusal: Refusal) -> Bool
}

extension ChatSession: ModeratedSession {
    func end(_ verdict: String) { close(.policyViolation, reason: verdict) }
}

extension EventStream: ModeratedSession {
    func end(_ verdict: String) { end() }

    func leave(_ room: RoomName, because refusal: Refusal) -> Bool {
        guard room == self.room else { return false }
        end()
        return true
    }
}

extension SessionRegistry {
    /// Does as ordered.
    ///
    /// - Parameter age: of the order: sessions that came later are not meant by one that is for those who are there.
    /// - Returns: how many sessions it concerned.
    func carryOut(_ order: Order, age: TimeAmount?, at now: NIODeadline) -> Int {
        let meant = (sessions as [any ModeratedSession] + streams).filter { session in
            guard !session.hasEnded else { return false }
            let isOlder = age.map { session.openedAt <= now - $0 } ?? true
            let identity = session.identity
            return switch order.subject {
            case .sessions(let user): identity.user == user && isOlder
            case .membership(let user, _): identity.user == user && isOlder
            case .exclusion(let user, _): identity.user == user
            case .place(let id, _): session.id == id
            case .token(let id): identity.token?.id == id
            case .tokens(let user):
                identity.user == user && identity.token.map { $0.issuedAt ?? 0 < order.issuedBefore } ?? false
            case .ban(let user): identity.user == user
            case .mute: false
            }
        }
        switch order.subject {
        case .membership(_, let room), .exclusion(_, let room), .place(_, let room):
            let refusal = order.leaving(room)
            return meant.count { $0.leave(room, because: refusal) }
        case .sessions, .token, .tokens, .ban, .mute:
            for session in meant { session.end(order.closeReason) }
            return meant.count
        }
    }
}

extension Order {
    /// What whoever has to leave a room is told.
    fileprivate func leaving(_ room: RoomName) -> Refusal {
        Refusal(
            code: .forbidden, message: "you were removed from this room" + (reason.map { ": \($0)" } ?? ""),
            room: room.text)
    }

    /// For the close frame, which has room for 123 bytes; why, a client may learn by asking again.
    fileprivate var closeReason: String {
        switch subject {
        case .token, .tokens: Verdict.revoked.closeReason
        case .ban: Verdict.banned(reason: reason).closeReason
        case .sessions, .membership, .exclusion, .place, .mute: "ended by an operator"
        }
    }
}

extension Verdict {
    var closeReason: String {
        switch self {
        case .revoked: "the token was revoked"
        case .banned: "this user is banned"
        }
    }
}

extension Sanctions {
    /// Why somebody may not come in.
    func refusal(of identity: Identity) -> HTTPRefusal? {
        switch verdict(on: identity.user, with: identity.token) {
        case nil: nil
        case .revoked: .unauthorized("this token is not valid")
        case .banned(let reason):
            HTTPRefusal(.forbidden, .forbidden, "this user is banned" + (reason.map { ": \($0)" } ?? ""))
        }
    }
}

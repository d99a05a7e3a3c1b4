import ChatHub
import ChatProtocol
import NIOCore

/// What one user may cost the store by way of this gateway, on all its event loops and by HTTP together, whatever each
/// session may do.
struct UserRates: Sendable {
    /// Messages that are marked as retries.
    var retries = RequestRates(perSecond: 0)
    /// Messages and members that are asked for.
    var reads = RequestRates(perSecond: 0)
    /// Rooms and inboxes of which the user writes the first message: each has a log in the store from then on.
    var newRooms = RequestRates(perSecond: 0)

    /// A page of members came. The store has looked at all of them for it.
    func charge(_ user: UserName, for roster: Roster, asked count: Int, at now: NIODeadline) {
        if roster.count > count { reads.charge(roster.count - count, to: user.text, at: now) }
    }

    static func tooManyReads(wait: Int, id: RequestID? = nil, room: RoomName? = nil) -> Refusal {
        Refusal(
            code: .rateLimited, message: "too many messages or members were asked for", id: id, room: room?.text,
            retryAfter: wait)
    }
}

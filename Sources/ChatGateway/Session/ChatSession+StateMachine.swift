import ChatHub
import ChatProtocol
import NIOCore

extension ChatSession {
    /// What a session may do, and in which order: pure, time as an argument.
    ///
    /// A client need not wait for `joined`: what it sends to a room whose join is under way waits for the answer, in
    /// order, within a bound.
    struct StateMachine {
        struct Limits: Equatable {
            /// 0 for none.
            var rooms = 0
            /// Of one user, on all nodes.
            var sessionsPerUser = 0
            var messagesPerSecond = 0
            /// With a burst of two seconds' worth, and of as many rooms as a session may be in: who comes back takes up
            /// all of them.
            var joinsPerSecond = 0
            /// Frames that may wait for joins, all rooms together.
            var waitingFrames = 256
        }

        enum Action: Equatable {
            case none
            case join(RequestID?, RoomName, Replay)
            case leave(RequestID?, RoomName)
            case post(Post)
            case announceTyping(RoomName, isActive: Bool)
            case announceSignal(RoomName, RawJSON)
            case listMembers(RequestID?, RoomName, limit: Int, after: UserName?)
            case readHistory(RequestID?, RoomName, before: Position?, after: Position?, limit: Int)
            case authenticate(RequestID?, token: String)
            case pong(RequestID?)
            case moderate(RequestID?, Moderation)
            case refuse(Refusal)
        }

        /// What came of a fresh token.
        enum Renewal: Equatable {
            case anotherUser
            /// These rooms are no longer allowed, and are left.
            case renewed(lost: [RoomName])
        }

        private enum Membership {
            case joining(waiting: [ClientMessage])
            case joined
        }

        /// What is known of the session in a room: here, and by the hub, whose part stands here so that a session needs one
        /// table.
        private struct Seat {
            var membership: Membership?
            var member: Member?
        }

        /// Of the token that it has now.
        private(set) var identity: Identity
        private var rate: RateLimit
        /// Checking a token costs more than any other frame.
        private var authentications: RateLimit
        private var joinRate: RateLimit
        private var seats: RoomTable<Seat> = [:]
        private let roomLimit: UInt32
        private let waitingFramesLimit: UInt32
        private var waitingFrames: UInt32 = 0

        init(identity: Identity, limits: Limits, at now: NIODeadline) {
            self.identity = identity
            roomLimit = UInt32(clamping: limits.rooms)
            waitingFramesLimit = UInt32(clamping: limits.waitingFrames)
            authentications = RateLimit(perSecond: 1, at: now)
            rate = RateLimit(perSecond: limits.messagesPerSecond, at: now)
            joinRate = RateLimit(
                perSecond: limits.joinsPerSecond, burst: 2 * limits.joinsPerSecond + limits.rooms, at: now)
        }

        private var inbox: RoomName { RoomName(inboxOf: identity.user) }

        /// The rooms that the session is in or about to enter, its inbox included.
        var rooms: [RoomName] { seats.rooms.filter { self[$0] != nil } }

        private subscript(room: RoomName) -> Membership? {
            get { seats[room]?.membership }
            set { seat(newValue, seats[room]?.member, in: room) }
        }

        private mutating func seat(_ membership: Membership?, _ member: Member?, in room: RoomName) {
            let isNobody = membership == nil && member == nil
            seats[room] = isNobody ? nil : Seat(membership: membership, member: member)
        }

        /// What the hub keeps here.
        func member(of room: RoomName) -> Member? { seats[room]?.member }

        mutating func setMember(_ member: Member?, of room: RoomName) { seat(self[room], member, in: room) }

        /// The rooms that the hub knows the session to be in.
        var roomsOfMembers: [RoomName] { seats.rooms.filter { member(of: $0) != nil } }

        /// The connection stands: the session belongs in its inbox.
        mutating func opened() -> Action {
            self[inbox] = .joining(waiting: [])
            return .join(nil, inbox, .none)
        }

        /// A frame arrived. `resume` is to be taken apart into joins by the caller.
        mutating func received(_ message: consuming ClientMessage, at now: NIODeadline) -> Action {
            if let refusal = limitRate(of: message, at: now) { return .refuse(refusal) }
            return handle(message)
        }

        /// A join was answered.
        ///
        /// - Returns: what waited for it; to be given to ``handle(_:)`` in this order.
        mutating func joinFinished(_ room: RoomName, succeeded: Bool, wasMember: Bool) -> [ClientMessage] {
            guard case .joining(let waiting) = self[room] else { return [] }
            waitingFrames -= UInt32(waiting.count)
            if succeeded || wasMember {
                self[room] = .joined
            } else {
                // Nobody is without an inbox: its join is tried again.
                self[room] = room.isInbox && room == inbox ? .joining(waiting: []) : nil
            }
            return waiting
        }

        /// Whether the session is a member (not merely about to be) of a room.
        func isMember(of room: RoomName) -> Bool {
            if case .joined = self[room] { true } else { false }
        }

        /// A fresh token was valid.
        mutating func renewed(_ identity: Identity) -> Renewal {
            guard identity.user == self.identity.user else { return .anotherUser }
            self.identity = identity
            // Joins under way are looked at when they are answered.
            let lost = seats.rooms.filter { isMember(of: $0) && !mayRead($0) }.sorted { $0.text < $1.text }
            for room in lost { self[room] = nil }
            return .renewed(lost: lost)
        }

        /// A moderator has taken the session out of a room.
        ///
        /// - Returns: whether it was there. A join under way is answered by itself.
        mutating func removed(from room: RoomName) -> Bool {
            guard isMember(of: room) else { return false }
            self[room] = nil
            return true
        }

        /// Whether the session may be in a room.
        func mayRead(_ room: RoomName) -> Bool { identity.rights.mayRead(room, as: identity.user) }

        func readingForbidden(_ room: RoomName, id: RequestID?) -> Refusal {
            Refusal(
                code: .forbidden,
                message: room.isInbox ? "only its owner may read an inbox" : "the token does not allow this room",
                id: id, room: room)
        }

        /// What to do for a frame whose turn has come.
        mutating func handle(_ message: consuming ClientMessage) -> Action {
            let membership = message.room.flatMap { self[$0] }
            if let room = message.room, case .joining(var waiting) = membership {
                guard waitingFrames < waitingFramesLimit else {
                    return .refuse(
                        Refusal(
                            code: .rateLimited, message: "too many frames wait for joins",
                            id: message.id, room: room.text, retryAfter: 1000))
                }
                waiting.append(message)
                waitingFrames += 1
                self[room] = .joining(waiting: waiting)
                return .none
            }
            switch message {
            case .join(let id, let room, let replay): return join(id, room, replay)
            case .leave(let id, let room): return leave(id, room)
            case .message(let post):
                if let refusal = mayPost(to: post.room, as: membership, id: post.id) { return .refuse(refusal) }
                return .post(post)
            case .typing(let id, let room, let isActive):
                if let refusal = mayPost(to: room, as: membership, id: id) { return .refuse(refusal) }
                return .announceTyping(room, isActive: isActive)
            case .signal(let id, let room, let data):
                if let refusal = mayPost(to: room, as: membership, id: id) { return .refuse(refusal) }
                return .announceSignal(room, data)
            case .members(let id, let room, let limit, let after):
                guard !room.isInbox else {
                    return refuse(.forbidden, "an inbox has no list of members", id: id, room: room)
                }
                guard mayRead(room) else { return .refuse(readingForbidden(room, id: id)) }
                return .listMembers(id, room, limit: limit, after: after)
            case .history(let id, let room, let before, let after, let limit):
                guard mayRead(room) else { return .refuse(readingForbidden(room, id: id)) }
                return .readHistory(id, room, before: before, after: after, limit: limit)
            case .auth(let id, let token):
                // There is nothing that a fresh token would extend.
                guard identity.expires != nil else {
                    return refuse(.forbidden, "this node runs without authentication", id: id, room: nil)
                }
                return .authenticate(id, token: token)
            case .ping(let id):
                return .pong(id)
            case .moderate(let id, let moderation):
                guard identity.rights.isAdmin else {
                    return refuse(.forbidden, "an administrator's token is needed", id: id, room: moderation.room)
                }
                return .moderate(id, moderation)
            case .resume:
                return .none
            }
        }

        private mutating func join(_ id: RequestID?, _ room: RoomName, _ replay: Replay) -> Action {
            guard mayRead(room) else { return .refuse(readingForbidden(room, id: id)) }
            if self[room] == nil, roomLimit > 0, seats.count - 1 >= roomLimit {
                return refuse(
                    .tooManyRooms, "a session may be in \(roomLimit) rooms at once: leave one first", id: id,
                    room: room)
            }
            self[room] = .joining(waiting: [])
            return .join(id, room, replay)
        }

        private mutating func leave(_ id: RequestID?, _ room: RoomName) -> Action {
            guard !room.isInbox || room != inbox else {
                return refuse(.forbidden, "nobody can leave the own inbox", id: id, room: room)
            }
            guard self[room] != nil else {
                return refuse(.notJoined, "not in this room", id: id, room: room)
            }
            self[room] = nil
            return .leave(id, room)
        }

        /// Members may post, to an inbox also who is none, as far as the token allows.
        private func mayPost(to room: RoomName, as membership: Membership?, id: RequestID?) -> Refusal? {
            guard identity.rights.mayPost(to: room) else {
                return Refusal(
                    code: .forbidden, message: "the token does not allow posting here", id: id, room: room)
            }
            if membership != nil || room.isInbox { return nil }
            return Refusal(
                code: .notJoined, message: "join this room before posting to it", id: id, room: room.text,
                retryAfter: nil)
        }

        private func refuse(_ code: ErrorCode, _ text: String, id: RequestID?, room: RoomName?) -> Action {
            .refuse(Refusal(code: code, message: text, id: id, room: room?.text))
        }

        /// Messages, typing and signals count; joins and tokens have limits of their own.
        private mutating func limitRate(of message: borrowing ClientMessage, at now: NIODeadline) -> Refusal? {
            switch message {
            case .message, .typing, .signal:
                guard let wait = rate.take(at: now) else { return nil }
                return Refusal(
                    code: .rateLimited, message: "more than \(rate.perSecond) messages a second",
                    id: message.id, room: message.room?.text, retryAfter: wait)
            case .auth(let id, _):
                guard let wait = authentications.take(at: now) else { return nil }
                return Refusal(code: .rateLimited, message: "more than one token a second", id: id, retryAfter: wait)
            case .join(let id, let room, _):
                guard let wait = joinRate.take(at: now) else { return nil }
                return Refusal(
                    code: .rateLimited, message: "more than \(joinRate.perSecond) joins a second", id: id,
                    room: room,
                    retryAfter: wait)
            case .leave, .members, .history, .ping, .moderate, .resume:
                return nil
            }
        }
    }
}

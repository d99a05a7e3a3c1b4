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
            var messagesPerSecond = 0
            /// Frames that may wait for joins, all rooms together.
            var waitingFrames = 256
        }

        enum Action: Equatable {
            case none
            case join(RequestID?, RoomName, Replay)
            case leave(RequestID?, RoomName)
            case post(Post)
            /// To an inbox: the post and the sender's own copy.
            case sendDirect(Post, to: UserName)
            case announceTyping(RoomName, isActive: Bool)
            case announceSignal(RoomName, RawJSON)
            case listMembers(RequestID?, RoomName, limit: Int, after: UserName?)
            case readHistory(RequestID?, RoomName, before: Position?, after: Position?, limit: Int)
            case pong(RequestID?)
            case refuse(Refusal)
        }

        private enum Membership {
            case joining(waiting: [ClientMessage])
            case joined
        }

        private let user: UserName
        private let inbox: RoomName
        private let limits: Limits
        private var rate: RateLimit
        private var memberships: [RoomName: Membership] = [:]
        private var waitingFrames = 0

        init(user: UserName, limits: Limits, at now: NIODeadline) {
            self.user = user
            self.limits = limits
            inbox = RoomName(inboxOf: user)
            rate = RateLimit(perSecond: limits.messagesPerSecond, at: now)
        }

        /// The rooms that the session is in or about to enter, its inbox included.
        var rooms: some Collection<RoomName> { memberships.keys }

        /// The connection stands: the session belongs in its inbox.
        mutating func opened() -> Action {
            memberships[inbox] = .joining(waiting: [])
            return .join(nil, inbox, .none)
        }

        /// A frame arrived. `resume` is to be taken apart into joins by the caller.
        mutating func received(_ message: ClientMessage, at now: NIODeadline) -> Action {
            if let refusal = limitRate(of: message, at: now) { return .refuse(refusal) }
            return handle(message)
        }

        /// A join was answered.
        ///
        /// - Returns: what waited for it; to be given to ``handle(_:)`` in this order.
        mutating func joinFinished(_ room: RoomName, succeeded: Bool, wasMember: Bool) -> [ClientMessage] {
            guard case .joining(let waiting) = memberships[room] else { return [] }
            waitingFrames -= waiting.count
            if succeeded || wasMember {
                memberships[room] = .joined
            } else {
                // Nobody is without an inbox: its join is tried again.
                memberships[room] = room == inbox ? .joining(waiting: []) : nil
            }
            return waiting
        }

        /// Whether the session is a member (not merely about to be) of a room.
        func isMember(of room: RoomName) -> Bool {
            if case .joined = memberships[room] { true } else { false }
        }

        /// What to do for a frame whose turn has come.
        mutating func handle(_ message: ClientMessage) -> Action {
            if let room = message.room, case .joining(var waiting) = memberships[room] {
                guard waitingFrames < limits.waitingFrames else {
                    return .refuse(
                        Refusal(
                            code: .rateLimited, message: "too many frames wait for joins",
                            id: message.id, room: room.text, retryAfter: 1000))
                }
                waiting.append(message)
                waitingFrames += 1
                memberships[room] = .joining(waiting: waiting)
                return .none
            }
            switch message {
            case .join(let id, let room, let replay): return join(id, room, replay)
            case .leave(let id, let room): return leave(id, room)
            case .message(let post): return self.post(post)
            case .typing(let id, let room, let isActive):
                return mayPost(to: room, id: id).map(Action.refuse) ?? .announceTyping(room, isActive: isActive)
            case .signal(let id, let room, let data):
                return mayPost(to: room, id: id).map(Action.refuse) ?? .announceSignal(room, data)
            case .members(let id, let room, let limit, let after):
                guard !room.isInbox else {
                    return refuse(.forbidden, "an inbox has no list of members", id: id, room: room)
                }
                return .listMembers(id, room, limit: limit, after: after)
            case .history(let id, let room, let before, let after, let limit):
                guard !room.isInbox || room == inbox else {
                    return refuse(.forbidden, "only its owner may read an inbox", id: id, room: room)
                }
                return .readHistory(id, room, before: before, after: after, limit: limit)
            case .auth(let id, _):
                return refuse(.forbidden, "this node runs without authentication", id: id, room: nil)
            case .ping(let id):
                return .pong(id)
            case .resume:
                return .none
            }
        }

        private mutating func join(_ id: RequestID?, _ room: RoomName, _ replay: Replay) -> Action {
            guard !room.isInbox || room == inbox else {
                return refuse(.forbidden, "only its owner may read an inbox", id: id, room: room)
            }
            if memberships[room] == nil, limits.rooms > 0, memberships.count - 1 >= limits.rooms {
                return refuse(
                    .tooManyRooms, "a session may be in \(limits.rooms) rooms at once: leave one first", id: id,
                    room: room)
            }
            memberships[room] = .joining(waiting: [])
            return .join(id, room, replay)
        }

        private mutating func leave(_ id: RequestID?, _ room: RoomName) -> Action {
            guard room != inbox else {
                return refuse(.forbidden, "nobody can leave the own inbox", id: id, room: room)
            }
            guard memberships.removeValue(forKey: room) != nil else {
                return refuse(.notJoined, "not in this room", id: id, room: room)
            }
            return .leave(id, room)
        }

        private func post(_ post: Post) -> Action {
            if let refusal = mayPost(to: post.room, id: post.id) { return .refuse(refusal) }
            guard let owner = post.room.inboxOwner, owner != user else { return .post(post) }
            return .sendDirect(post, to: owner)
        }

        /// Members may post; to an inbox everybody may.
        private func mayPost(to room: RoomName, id: RequestID?) -> Refusal? {
            if room.isInbox || memberships[room] != nil { return nil }
            return Refusal(
                code: .notJoined, message: "join this room before posting to it", id: id, room: room.text,
                retryAfter: nil)
        }

        private func refuse(_ code: ErrorCode, _ text: String, id: RequestID?, room: RoomName?) -> Action {
            .refuse(Refusal(code: code, message: text, id: id, room: room?.text))
        }

        /// Messages, typing and signals count.
        private mutating func limitRate(of message: ClientMessage, at now: NIODeadline) -> Refusal? {
            switch message {
            case .message, .typing, .signal:
                guard let wait = rate.take(at: now) else { return nil }
                return Refusal(
                    code: .rateLimited, message: "more than \(limits.messagesPerSecond) messages a second",
                    id: message.id, room: message.room?.text, retryAfter: wait)
            case .join, .leave, .members, .history, .auth, .ping, .resume:
                return nil
            }
        }
    }
}

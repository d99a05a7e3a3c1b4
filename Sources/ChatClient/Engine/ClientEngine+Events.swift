import ChatProtocol
import NIOCore

/// What a node says, but for the words about the connection itself.
extension ClientEngine {
    func handle(_ message: ServerMessage, on link: ClientLink) {
        switch message {
        case .message(let message): received(message, on: link)
        case .joined(let joined): received(joined, on: link)
        case .left(let id, let room): receivedLeft(room, id: id, on: link)
        case .ack(let ack): received(ack)
        case .error(let refusal): received(refusal, on: link)
        case .members(let page):
            answer(page.id, .members(MemberPage(page)))
        case .history(let page):
            answer(page.id, .history(MessagePage(page)))
        case .authenticated(let id, _, _):
            answer(id, .authenticated)
        case .gap(let room, let after, let before):
            guard isLive(room, on: link), link === speaker(for: room) else { return }
            emit(.gap(room: room.text, after: after, before: before))
        case .rewind(let room, let position):
            rewound(room, to: position, on: link)
        case .expiring(let time):
            emit(.expiring(at: time))
            renewToken()
        case .userJoined(let room, let user, let count):
            emitLive(.userJoined(room: room.text, user: user.text, count: count), of: room, on: link)
        case .userLeft(let room, let user, let count):
            emitLive(.userLeft(room: room.text, user: user.text, count: count), of: room, on: link)
        case .count(let room, let count):
            emitLive(.count(room: room.text, count: count), of: room, on: link)
        case .typing(let room, let user, let active):
            emitLive(.typing(room: room.text, user: user.text, isActive: active), of: room, on: link)
        case .signal(let room, let user, let data):
            emitLive(.signal(room: room.text, user: user.text, data: JSONValue(data)), of: room, on: link)
        case .welcome, .reconnect, .pong, .moderated, .unknown:
            break
        }
    }

    private func isLive(_ room: RoomName, on link: ClientLink) -> Bool {
        cursors[room] != nil && link.holds[room] == nil
    }

    /// Presence and signals have no position: while links overlap only one of them counts.
    private func emitLive(_ event: ClientEvent, of room: RoomName, on link: ClientLink) {
        if link === speaker(for: room), cursors[room] != nil { emit(event) }
    }

    private func answer(_ id: RequestID?, _ answer: PendingRequests.Answer) {
        id.flatMap { requests.remove($0) }?.completion(.success(answer))
    }

    // MARK: - Messages

    private func received(_ message: Message, on link: ClientLink) {
        let room = message.room
        guard isLive(room, on: link) else { return }
        guard !events.isFull else {
            cursors[room]?.refused(message.position)
            return fallBehind(room)
        }
        guard cursors[room]?.accept(message.position) == true else { return }
        if !echo, message.user == link.welcome?.user, let id = message.id, ownMessages.contains(id) { return }
        emit(.message(ChatMessage(message)))
    }

    /// The reader is too slow, and an answer that somebody waits for stands behind these messages: they are left in
    /// the log for now.
    private func fallBehind(_ room: RoomName) {
        behind.insert(room)
        for link in links.values { link.holds[room] = .forGood }
    }

    private func rewound(_ room: RoomName, to position: Position, on link: ClientLink) {
        guard isLive(room, on: link) else { return }
        if let speaker = speaker(for: room), speaker !== link, isLive(room, on: speaker) {
            // The newer link tells it, or has told it; from here on this one would bring the same once more.
            link.holds[room] = .forGood
            return
        }
        guard cursors[room]?.rewound(to: position) == true else { return }
        emit(.rewind(room: room.text, to: position))
    }

    private func received(_ ack: Ack) {
        guard outbox.remove(ack.id) else { return }
        sends.removeValue(forKey: ack.id)?(.success(Acknowledgement(ack)))
    }

    // MARK: - Rooms

    func join(_ room: RoomName, replay: Replay, id: RequestID, _ completion: @escaping PendingRequests.Completion) {
        if cursors[room] == nil {
            cursors[room] = RoomCursor(replay: replay)
            behind.remove(room)
        } else if case .since(let position, _) = replay {
            cursors[room]?.restart(since: position)
            // What was left in the log comes with the replay.
            behind.remove(room)
        }
        ask(.init(id: id, message: .join(id: id, room: room, replay: replay), completion: completion))
    }

    func leave(_ room: RoomName, id: RequestID, _ completion: @escaping PendingRequests.Completion) {
        // Nobody leaves the own inbox; the node says so.
        if !room.isInbox {
            forget(room)
            // Asked again on another connection it would bring the room back.
            for join in requests.removeJoins(of: room) {
                join.completion(
                    .failure(ChatClientError(code: .left, message: "\(room) was left before the join was answered")))
            }
        }
        ask(.init(id: id, message: .leave(id: id, room: room), completion: completion))
    }

    private func forget(_ room: RoomName) {
        cursors[room] = nil
        behind.remove(room)
        for link in links.values {
            link.holds[room] = nil
            checkResumed(link)
        }
    }

    private func received(_ joined: Joined, on link: ClientLink) {
        let room = joined.room
        let request = joined.id.flatMap { requests.remove($0) }
        let said = JoinedRoom(joined)
        defer { request?.completion(.success(.joined(said))) }
        if cursors[room] == nil, room.isInbox {
            // The node puts every session into its inbox.
            cursors[room] = RoomCursor(replay: .none)
        }
        guard let cursor = cursors[room] else { return }
        if let hold = link.holds[room] {
            guard let id = joined.id, hold == .untilJoined(id) else {
                // An older answer, or the node's own for the inbox, whose resumption is on its way.
                if request != nil { cursors[room]?.confirmed() }
                return
            }
            link.holds[room] = nil
        } else if joined.id == nil, cursor.isJoined {
            return
        }
        cursors[room]?.joined(at: joined.position, recovered: joined.recovered)
        emit(.joined(said))
        checkResumed(link)
    }

    private func receivedLeft(_ room: RoomName, id: RequestID?, on link: ClientLink) {
        answer(id, .left)
        if id == nil, link === current {
            // Not asked for: a moderator took this user out. It may have been asked for again before that was heard.
            forget(room)
            emit(.left(room: room.text, error: nil))
            return awaitNextJoin(of: room, on: link)
        }
        // A room that was joined again in the meantime is not left; this may even come from an older connection.
        guard cursors[room] == nil else { return }
        emit(.left(room: room.text, error: nil))
    }

    // MARK: - Refusals

    private func received(_ refusal: Refusal, on link: ClientLink) {
        let error = ChatClientError(refusal)
        guard let id = refusal.id else { return emit(.error(error)) }
        // On the link that everything was moved away from: the other one's answer counts.
        guard link === current else { return }
        let room = refusal.room.flatMap { RoomName($0) }
        if sends[id] != nil {
            refused(id, room: room, refusal, error, on: link)
        } else if let request = requests.remove(id) {
            request.completion(.failure(error))
            if let room = request.roomToJoin { joinRefused(room, id: id, on: link) }
        } else {
            let rooms = link.rooms(waitingFor: id).filter { room == nil || room == $0 }
            if rooms.isEmpty { return emit(.error(error)) }
            resumptionRefused(rooms, heldUntil: .untilJoined(id), refusal, error, on: link)
        }
    }

    private func refused(
        _ id: RequestID, room: RoomName?, _ refusal: Refusal, _ error: ChatClientError, on link: ClientLink
    ) {
        // The room itself may still be on its way to this session.
        let isEarly = refusal.code == .notJoined && room.map { link.holds[$0] != nil } == true
        if refusal.isPassing || isEarly {
            guard outbox.postpone(id) else { return }
            pauseSending(for: refusal.delay)
        } else {
            _ = outbox.remove(id)
            sends.removeValue(forKey: id)?(.failure(error))
        }
    }

    private func joinRefused(_ room: RoomName, id: RequestID, on link: ClientLink) {
        guard link.holds[room] == .untilJoined(id) else { return }
        link.holds[room] = nil
        if cursors[room]?.isJoined == true {
            // It was a replay that failed; what was held back since is still wanted.
            takeUp([room], on: link)
        } else {
            cursors[room] = nil
            awaitNextJoin(of: room, on: link)
        }
        checkResumed(link)
    }

    /// The room is not joined after all; if it was asked for again since, that is its first join now.
    private func awaitNextJoin(of room: RoomName, on link: ClientLink) {
        for request in requests.all {
            guard case .join(let id?, room, let replay) = request.message else { continue }
            cursors[room] = RoomCursor(replay: replay)
            link.holds[room] = .untilJoined(id)
            return
        }
    }

    private func resumptionRefused(
        _ rooms: [RoomName], heldUntil hold: ClientLink.Hold, _ refusal: Refusal, _ error: ChatClientError,
        on link: ClientLink
    ) {
        if refusal.isPassing { return resumeLater(rooms, heldUntil: hold, on: link, after: refusal.delay) }
        for room in rooms {
            link.holds[room] = nil
            if !room.isInbox { cursors[room] = nil }
            emit(.left(room: room.text, error: error))
            awaitNextJoin(of: room, on: link)
        }
        checkResumed(link)
    }
}

extension Refusal {
    /// The same frame may be taken a little later.
    fileprivate var isPassing: Bool {
        retryAfter != nil || code == .unavailable || code == .rateLimited
    }

    /// As long as the node asks for, and a little more so that not all clients come at once.
    fileprivate var delay: TimeAmount {
        let asked = Int64(min(max(retryAfter ?? 1000, 50), 60_000))
        return .milliseconds(asked + Int64.random(in: 0...asked / 2))
    }
}

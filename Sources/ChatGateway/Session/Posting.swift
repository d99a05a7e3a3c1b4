import ChatHub
import ChatProtocol
import NIOCore

/// Hands a message to the store: to a room, or to an inbox and the sender's own. On the hub's loop.
struct Posting {
    let hub: LoopHub
    let registry: SessionRegistry
    let retryToll: RetryToll
    /// Nil: whoever posts may begin as many rooms as it likes.
    var newRooms: RequestRates?

    /// - Parameter origin: the session that does not want its own message back.
    func post(
        _ post: Post, from user: UserName, exceptFor origin: SessionID?,
        completion: @escaping (Result<Receipt, BrokerError>) -> Void
    ) {
        if post.isRetry, let wait = retryToll.take(of: user, to: post.room) {
            return completion(.failure(.forbidden(.retries(wait: wait))))
        }
        let known = hub.known(of: post.room)
        if known == .zero, let wait = newRooms?.wait(of: user.text, at: hub.eventLoop.now) {
            return completion(.failure(.forbidden(.newRooms(wait: wait))))
        }
        guard let owner = post.room.inboxOwner, owner != user else {
            return append(post, from: user, to: post.room, known: known, exceptFor: origin, completion: completion)
        }
        // It stands in two logs, the receiver's inbox and the sender's own, and counts as stored when both have it.
        var first: Result<Receipt, BrokerError>?
        var second: Result<Receipt, BrokerError>?
        func finish() {
            guard let first, let second else { return }
            completion(second.flatMap { _ in first })
        }
        append(post, from: user, to: post.room, known: known, exceptFor: origin) {
            first = $0
            finish()
        }
        let own = RoomName(inboxOf: user)
        append(post, from: user, to: own, known: hub.known(of: own), addressee: owner, exceptFor: origin) {
            second = $0
            finish()
        }
    }

    private func append(
        _ post: Post, from user: UserName, to room: RoomName, known: Position, addressee: UserName? = nil,
        exceptFor origin: SessionID?, completion: @escaping (Result<Receipt, BrokerError>) -> Void
    ) {
        var body = hub.takeDraftMemory()
        defer { hub.draftMemory = body }
        let identityLength = StoredMessage.render(
            room: room, user: user, id: post.id, to: addressee, content: post.content, into: &body)
        registry.metrics.messagesIn += 1
        hub.commands.append(
            Draft(body: body, identityLength: identityLength, isRetry: post.isRetry, exceptFor: origin),
            to: room, known: known, completion: known == .zero ? counting(completion, user) : completion)
    }

    /// Whether a room is new is known when the message is in it, so who sends many at once pays for them afterwards.
    private func counting(
        _ completion: @escaping (Result<Receipt, BrokerError>) -> Void, _ user: UserName
    ) -> (Result<Receipt, BrokerError>) -> Void {
        guard let newRooms else { return completion }
        let eventLoop = hub.eventLoop
        return { result in
            if case .success(let receipt) = result, receipt.position.seq == 1, !receipt.isDuplicate {
                newRooms.charge(1, to: user.text, at: eventLoop.now)
            }
            completion(result)
        }
    }
}

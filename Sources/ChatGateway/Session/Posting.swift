import ChatHub
import ChatProtocol
import NIOCore

/// Hands a message to the store: to a room, or to an inbox and the sender's own. On the hub's loop.
struct Posting {
    let hub: LoopHub
    let registry: SessionRegistry
    let retryToll: RetryToll

    /// - Parameter origin: the session that does not want its own message back.
    func post(
        _ post: Post, from user: UserName, exceptFor origin: SessionID?,
        completion: @escaping (Result<Receipt, BrokerError>) -> Void
    ) {
        if post.isRetry, let wait = retryToll.take(of: user, to: post.room) {
            return completion(.failure(.forbidden(.retries(wait: wait))))
        }
        guard let owner = post.room.inboxOwner, owner != user else {
            return append(post, from: user, to: post.room, exceptFor: origin, completion: completion)
        }
        // It stands in two logs, the receiver's inbox and the sender's own, and counts as stored when both have it.
        var first: Result<Receipt, BrokerError>?
        var second: Result<Receipt, BrokerError>?
        func finish() {
            guard let first, let second else { return }
            completion(second.flatMap { _ in first })
        }
        append(post, from: user, to: post.room, exceptFor: origin) {
            first = $0
            finish()
        }
        append(post, from: user, to: RoomName(inboxOf: user), addressee: owner, exceptFor: origin) {
            second = $0
            finish()
        }
    }

    private func append(
        _ post: Post, from user: UserName, to room: RoomName, addressee: UserName? = nil, exceptFor origin: SessionID?,
        completion: @escaping (Result<Receipt, BrokerError>) -> Void
    ) {
        var body = hub.takeDraftMemory()
        defer { hub.draftMemory = body }
        let identityLength = StoredMessage.render(
            room: room, user: user, id: post.id, to: addressee, content: post.content, into: &body)
        registry.metrics.messagesIn += 1
        hub.commands.append(
            Draft(body: body, identityLength: identityLength, isRetry: post.isRetry, exceptFor: origin),
            to: room, known: hub.known(of: room), completion: completion)
    }
}

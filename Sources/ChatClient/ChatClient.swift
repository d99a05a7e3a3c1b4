public import ChatProtocol
import FoundationEssentials
package import NIOCore
import NIOPosix
import Synchronization

/// A client of a Roost cluster: it connects to any node, stays connected, takes up its rooms where they were left and
/// repeats what was not acknowledged, so that each message is stored once and each is delivered once, in order.
///
/// ```swift
/// let client = try ChatClient(.init(urls: ["ws://127.0.0.1:8080/ws"], user: "alice"))
/// let events = client.events
/// try await client.connect()
/// try await client.join("general", history: 20)
/// try await client.send(text: "Hello", to: "general")
/// for await case .message(let message) in events { print(message.user, message.text ?? "") }
/// ```
public final class ChatClient: Sendable {
    private let engine: EngineReference
    private let prefix = "q" + String(UInt64.random(in: 0...UInt64.max), radix: 36) + "-"
    private let numbers = Atomic<Int>(0)

    /// Makes a client that is not connected yet.
    ///
    /// - Throws: ``ChatClientError`` for a URL, a user, a token or a header that cannot be.
    public convenience init(_ configuration: Configuration) throws {
        try self.init(configuration, on: MultiThreadedEventLoopGroup.singleton.any())
    }

    package init(_ configuration: Configuration, on eventLoop: any EventLoop) throws {
        let addresses = try configuration.addresses()
        var options = try configuration.connectionOptions()
        try options.prepareTLS(for: addresses)
        engine = EngineReference(
            ClientEngine(
                configuration: configuration, addresses: addresses, options: options, eventLoop: eventLoop))
    }

    deinit {
        engine.run { $0.close {} }
    }

    /// What happens, kept from the first use of this on; take it before ``connect()`` to miss nothing.
    public var events: ClientEvents {
        engine.run { $0.wantEvents() }
        return ClientEvents(engine: engine)
    }

    // MARK: - Life

    /// Connects, and stays connected until ``close()``. Returns when a node has taken the client in.
    ///
    /// - Throws: ``ChatClientError`` when it cannot work: no identity, wrong URL. A node that is away is waited for.
    public func connect() async throws {
        try await withCheckedThrowingContinuation { (continuation: CheckedContinuation<Void, any Error>) in
            engine.run { $0.connect { continuation.resume(with: $0) } }
        }
    }

    /// Leaves all rooms and says goodbye. What is not acknowledged by then fails with ``ChatClientError/Code/closed``.
    public func close() async {
        await withCheckedContinuation { continuation in
            engine.run { $0.close { continuation.resume() } }
        }
    }

    /// Gives a fresh token of the same user before the old one expires; also used for later connections.
    public func authenticate(token: String) async throws {
        _ = try await request { engine, id, completion in
            engine.setToken(token)
            engine.ask(.init(id: id, message: .auth(id: id, token: token), completion: completion))
        }
    }

    // MARK: - Rooms

    /// Joins a room, and stays in it across connections until ``leave(_:)``.
    ///
    /// - Parameter history: how many of the latest messages come first, 0 to 1000. None come again in a room that the
    ///   client is in.
    /// - Throws: ``ChatClientError``; with ``ChatClientError/Code/left`` when the room was left in the meantime.
    @discardableResult
    public func join(_ room: String, history: Int = 0) async throws -> JoinedRoom {
        let replay: Replay = history > 0 ? .latest(min(history, ClientMessage.historyLimits.upperBound)) : .none
        return try await join(roomName(room), replay)
    }

    /// Joins a room where it was left some time ago: everything after `position` comes first.
    ///
    /// - Parameter limit: when more was missed, only the latest so many come, and `recovered` is false.
    @discardableResult
    public func join(_ room: String, since position: Position, limit: Int? = nil) async throws -> JoinedRoom {
        try await join(roomName(room), .since(position, limit: limit))
    }

    private func join(_ room: RoomName, _ replay: Replay) async throws -> JoinedRoom {
        let answer = try await request { $0.join(room, replay: replay, id: $1, $2) }
        guard case .joined(let joined) = answer else { throw Self.otherAnswer }
        return joined
    }

    public func leave(_ room: String) async throws {
        let room = try roomName(room)
        _ = try await request { $0.leave(room, id: $1, $2) }
    }

    /// Users in a room, sorted by bytes, those after `user` if given.
    public func members(of room: String, after user: String? = nil, limit: Int = 100) async throws -> MemberPage {
        let room = try roomName(room)
        let after = try user.map { try userName($0) }
        let answer = try await request { engine, id, completion in
            engine.ask(
                .init(
                    id: id, message: .members(id: id, room: room, limit: limit, after: after), completion: completion))
        }
        guard case .members(let page) = answer else { throw Self.otherAnswer }
        return page
    }

    /// A page of a room's log: the messages just before or after a position, or the latest.
    public func history(
        of room: String, before: Position? = nil, after: Position? = nil, limit: Int = 50
    ) async throws -> MessagePage {
        let room = try roomName(room)
        let answer = try await request { engine, id, completion in
            engine.ask(
                .init(
                    id: id, message: .history(id: id, room: room, before: before, after: after, limit: limit),
                    completion: completion))
        }
        guard case .history(let page) = answer else { throw Self.otherAnswer }
        return page
    }

    // MARK: - Messages

    /// Sends a message and returns when it is stored, however many connections that takes. `@bob` as the room sends it
    /// to the user bob.
    ///
    /// - Parameter id: the key against duplicates, unique for ever, at most 64 bytes; a UUID where none is given.
    /// - Throws: ``ChatClientError``, of which ``ChatClientError/Code/outboxFull`` asks to wait for earlier sends. A
    ///   task that is cancelled no longer repeats the message, which may be stored nevertheless.
    @discardableResult
    public func send(
        text: String? = nil, data: JSONValue? = nil, to room: String, id: String? = nil
    ) async throws -> Acknowledgement {
        let room = try roomName(room)
        guard let requestID = RequestID(id ?? UUID().uuidString) else {
            throw ChatClientError(code: .invalidName, message: "an id has 1 to 64 bytes")
        }
        let post = Post(
            id: requestID, room: room, content: Content(text: text.map(RawJSON.init(string:)), data: data?.raw))
        return try await perform(requestID) { $0.send(post, id: $1, $2) }
    }

    /// Tells the others in a room that the user types, or no longer does. Dropped where there is no connection.
    public func typing(in room: String, isActive: Bool = true) throws {
        let room = try roomName(room)
        engine.run { $0.say(.typing(id: nil, room: room, active: isActive)) }
    }

    /// Sends something that is never stored. Dropped where there is no connection.
    public func signal(_ data: JSONValue, to room: String) throws {
        let room = try roomName(room)
        engine.run { $0.say(.signal(id: nil, room: room, data: data.raw)) }
    }

    // MARK: - To the engine and back

    private typealias Start<Value> =
        @Sendable (ClientEngine, RequestID, @escaping (Result<Value, any Error>) -> Void) -> Void

    private func request(_ start: @escaping Start<PendingRequests.Answer>) async throws -> PendingRequests.Answer {
        let number = numbers.add(1, ordering: .relaxed).newValue
        guard let id = RequestID(prefix + String(number)) else { throw Self.otherAnswer }
        return try await perform(id, start)
    }

    private func perform<Value: Sendable>(_ id: RequestID, _ start: @escaping Start<Value>) async throws -> Value {
        let isCancelled = Flag()
        return try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { continuation in
                engine.run { engine in
                    if isCancelled.isSet { return continuation.resume(throwing: CancellationError()) }
                    start(engine, id) { continuation.resume(with: $0) }
                }
            }
        } onCancel: {
            isCancelled.set()
            engine.run { $0.cancel(id) }
        }
    }

    private static var otherAnswer: ChatClientError {
        ChatClientError(code: .server, message: "the node answered something else than was asked")
    }

    private func roomName(_ text: String) throws(ChatClientError) -> RoomName {
        guard let room = RoomName(text) else {
            throw ChatClientError(
                code: .invalidName,
                message: "\"\(text)\" is no room: a letter or digit, then up to 127 letters, digits and ._:-, or @USER")
        }
        return room
    }

    private func userName(_ text: String) throws(ChatClientError) -> UserName {
        guard let user = UserName(text) else {
            throw ChatClientError(code: .invalidName, message: "\"\(text)\" is no user")
        }
        return user
    }
}

/// Why something asked of a ``ChatClient`` was not done.
public struct ChatClientError: Error, Sendable, Equatable, CustomStringConvertible {
    public enum Code: Sendable, Hashable {
        /// A URL that is not `ws://…` or `wss://…`.
        case invalidAddress
        /// A user, a room or an `id` that is not formed as the protocol wants.
        case invalidName
        /// Data that is no JSON.
        case invalidJSON
        /// A header that cannot be sent.
        case invalidHeader
        /// Identity missing, wrong, expired or revoked. The client has given up.
        case unauthorized
        /// The server will never take this client as it is configured. The client has given up.
        case refused
        /// The client was closed, or has given up; ``message`` says why.
        case closed
        /// Too much waits to be acknowledged: wait for earlier sends to return.
        case outboxFull
        /// A message with this `id` still waits to be acknowledged.
        case idInUse
        /// More bytes than one frame may have on this server.
        case messageTooLarge
        /// The room was left before a node had answered the join.
        case left
        /// A node's `error` event; ``serverCode`` is its code.
        case server
    }

    public var code: Code
    /// For people: what happened and what to do.
    public var message: String
    /// The code of PROTOCOL.md, where the server gave one.
    public var serverCode: String?
    /// When trying again makes sense.
    public var retryAfter: Duration?

    public init(code: Code, message: String, serverCode: String? = nil, retryAfter: Duration? = nil) {
        self.code = code
        self.message = message
        self.serverCode = serverCode
        self.retryAfter = retryAfter
    }

    public var description: String { message }
}

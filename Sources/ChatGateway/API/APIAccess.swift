import ChatHub
import ChatProtocol
import HTTPTypes
import Hummingbird
import NIOCore
import NIOHTTP1

/// Who may use the HTTP API, and as whom. The checks are those of the handshake, in its order.
struct APIAccess: Sendable {
    /// Who asks.
    struct Caller: Sendable {
        var identity: Identity
        /// Another server, which speaks for its users.
        var isServer: Bool

        var user: UserName { identity.user }
    }

    let door: FrontDoor
    let origins: OriginPolicy
    /// Nil: everybody is who they say.
    let authenticator: Authenticator?
    let clock: @Sendable () -> UInt64

    /// The items of the query.
    func query(of request: Request) throws(HTTPRefusal) -> [String: String] {
        guard let items = QueryItems.parse(HandshakeValidator.split(request.head.path ?? "").query) else {
            throw HTTPRefusal(.badRequest, .badRequest, "the query is not percent-encoded UTF-8")
        }
        return items
    }

    func caller(
        of request: Request, from address: String, query: [String: String]
    ) throws(HTTPRefusal) -> Caller {
        if let refusal = door.refusalForNow { throw refusal }
        guard allowsOrigin(of: request) else {
            throw HTTPRefusal(.forbidden, .originNotAllowed, "pages of this origin may not use this")
        }
        let caller: Caller
        if let authenticator {
            let token = try token(of: request, query: query)
            let isServer = authenticator.isAPIKey(token)
            caller = Caller(
                identity: isServer
                    ? Identity(user: try Self.namedUser(query)) : try identity(of: token, from: address, authenticator),
                isServer: isServer)
        } else {
            caller = Caller(identity: Identity(user: try Self.namedUser(query)), isServer: false)
        }
        try check(caller)
        return caller
    }

    /// - Throws: unless the caller may read in a room.
    func checkReading(_ room: RoomName, by caller: Caller) throws(HTTPRefusal) {
        guard caller.identity.rights.mayRead(room, as: caller.user) else {
            throw HTTPRefusal(
                .forbidden, .forbidden,
                room.isInbox ? "only its owner may read an inbox" : "the token does not allow this room")
        }
        if door.sanctions?.isExcluded(caller.user, from: room) == true {
            throw HTTPRefusal(Refusal(.banned, id: nil, room: room))
        }
    }

    /// - Throws: when the caller may not be here, maybe no longer.
    func check(_ caller: Caller) throws(HTTPRefusal) {
        if let refusal = door.sanctions?.refusal(of: caller.identity) { throw refusal }
    }

    /// - Throws: unless it is another server or an administrator. Without authentication there is nothing here.
    func checkAdministrator(
        _ request: Request, from address: String, query: [String: String]
    ) throws(HTTPRefusal) {
        guard let authenticator else { throw HTTPRefusal(.notFound, .notFound, "there is nothing here") }
        guard allowsOrigin(of: request) else {
            throw HTTPRefusal(.forbidden, .originNotAllowed, "pages of this origin may not use this")
        }
        let token = try token(of: request, query: query)
        if authenticator.isAPIKey(token) { return }
        let identity = try identity(of: token, from: address, authenticator)
        try check(Caller(identity: identity, isServer: false))
        guard identity.rights.isAdmin else {
            throw HTTPRefusal(.forbidden, .forbidden, "an API key or an administrator's token is needed")
        }
    }

    func allowsOrigin(of request: Request) -> Bool {
        origins.allows(request.headers[values: .origin], host: request.head.authority ?? "")
    }

    private func token(of request: Request, query: [String: String]) throws(HTTPRefusal) -> String {
        let credential = Credential.find(
            authorization: request.headers[values: .authorization], query: query["token"])
        guard case .bearer(let token) = credential else { throw .unauthorized("a token or an API key is needed") }
        return token
    }

    private func identity(
        of token: String, from address: String, _ authenticator: Authenticator
    ) throws(HTTPRefusal) -> Identity {
        if let refusal = door.guessing(address) { throw refusal }
        switch authenticator.identify(token, now: clock()) {
        case .success(let identity): return identity
        case .failure:
            door.failures.failed(address, at: .now())
            throw .unauthorized("this token is not valid")
        }
    }

    private static func namedUser(_ query: [String: String]) throws(HTTPRefusal) -> UserName {
        guard let user = query["user"].flatMap({ UserName($0) }) else {
            throw HTTPRefusal(.badRequest, .invalidUser, "name the user with ?user=NAME")
        }
        return user
    }
}

extension HTTPRefusal {
    /// The answer to what a socket would answer with an error.
    init(_ refusal: Refusal) {
        let status: HTTPResponseStatus =
            switch refusal.code {
            case .forbidden, .roomFull: .forbidden
            case .unauthorized: .unauthorized
            case .messageTooLarge: .payloadTooLarge
            case .rateLimited: .tooManyRequests
            case .unavailable: .serviceUnavailable
            case .internal: .internalServerError
            default: .badRequest
            }
        let seconds = refusal.retryAfter.map { max(1, ($0 + 999) / 1000) }
        self.init(
            status, refusal.code, refusal.message, headers: seconds.map { ["Retry-After": "\($0)"] } ?? [:])
    }

    init(_ error: BrokerError, room: RoomName) {
        switch error.code {
        case .forbidden(let prohibition):
            self.init(Refusal(prohibition, id: nil, room: room))
        case .unavailable:
            self.init(
                .serviceUnavailable, .unavailable, "the store cannot be reached, try again",
                headers: ["Retry-After": "1"])
        case .malformed:
            self.init(.internalServerError, .internal, "something is wrong on this node")
        }
    }
}

import ChatHub
import ChatProtocol
import NIOConcurrencyHelpers
import NIOCore
import NIOHTTP1
import Synchronization

/// Decides who may open a session on this node, and makes it.
final class FrontDoor: Doorkeeper {
    /// Somebody who is counted until they leave: a connection of an address, and a session of a user where these are
    /// limited.
    final class Place: Sendable {
        private let isTaken = Atomic(true)
        private let state: NIOLockedValueBox<State>
        private let address: String
        private let user: UserName?

        fileprivate init(_ address: String, _ user: UserName?, countedIn state: NIOLockedValueBox<State>) {
            self.state = state
            self.address = address
            self.user = user
        }

        /// Does nothing the second time.
        func leave() {
            guard isTaken.exchange(false, ordering: .relaxed) else { return }
            state.withLockedValue { $0.leave(address, user) }
        }
    }

    struct Settings: Sendable {
        var origins = OriginPolicy()
        /// 0 for none.
        var maxConnections = 0
        var maxConnectionsPerAddress = 0
        var maxSessionsPerUser = 0
        /// Seconds that a refused client is told to wait.
        var retryAfter = 1
    }

    fileprivate struct State {
        var isDraining = false
        var connections = 0
        var connectionsByAddress: [String: Int] = [:]
        var sessionsByUser: [UserName: Int] = [:]
        var refusals: [ErrorCode: Int] = [:]
        var requestRefusals: [ErrorCode: Int] = [:]

        mutating func enter(_ address: String, _ user: UserName?) {
            connections += 1
            connectionsByAddress[address, default: 0] += 1
            if let user { sessionsByUser[user, default: 0] += 1 }
        }

        mutating func leave(_ address: String, _ user: UserName?) {
            connections -= 1
            let left = (connectionsByAddress[address] ?? 1) - 1
            connectionsByAddress[address] = left > 0 ? left : nil
            guard let user else { return }
            let sessions = (sessionsByUser[user] ?? 1) - 1
            sessionsByUser[user] = sessions > 0 ? sessions : nil
        }
    }

    private let settings: Settings
    /// Tokens that addresses got wrong.
    let failures = FailureLimit()
    /// Nil: everybody is who they say.
    private let authenticator: Authenticator?
    let sanctions: Sanctions?
    private let storeStatus: @Sendable () -> BrokerStatus
    /// Each value is used on its loop only.
    private let environments: [ObjectIdentifier: NIOLoopBound<ChatSession.Environment>]
    /// Taken once per connection and once at its end, never for a message.
    private let state = NIOLockedValueBox(State())

    init(
        settings: Settings, authenticator: Authenticator? = nil, sanctions: Sanctions? = nil,
        environments: [NIOLoopBound<ChatSession.Environment>],
        storeStatus: @escaping @Sendable () -> BrokerStatus
    ) {
        self.settings = settings
        self.authenticator = authenticator
        self.sanctions = sanctions
        self.storeStatus = storeStatus
        self.environments = Dictionary(
            uniqueKeysWithValues: environments.map { (ObjectIdentifier($0.eventLoop), $0) })
    }

    /// From now on nobody is admitted.
    func startDraining() {
        state.withLockedValue { $0.isDraining = true }
    }

    var isDraining: Bool { state.withLockedValue { $0.isDraining } }

    var refusals: [ErrorCode: Int] { state.withLockedValue { $0.refusals } }

    /// Of the HTTP API.
    var requestRefusals: [ErrorCode: Int] { state.withLockedValue { $0.requestRefusals } }

    func refusedRequest(_ code: ErrorCode) {
        state.withLockedValue { $0.requestRefusals[code, default: 0] += 1 }
    }

    func admit(_ request: SocketRequest, on loop: any EventLoop) -> Result<any WebSocketSession, HTTPRefusal> {
        switch request.path {
        case .echo:
            isDraining ? .failure(draining) : .success(EchoSession())
        case .ws:
            wantsEcho(request).flatMap { wantsEcho in
                check(request).flatMap { open($0, wantsEcho: wantsEcho, request: request, on: loop) }
            }.mapError { refusal in
                state.withLockedValue { $0.refusals[refusal.code, default: 0] += 1 }
                return refusal
            }
        }
    }

    /// In the order of the protocol: the node's state, the address, the origin, the identity.
    private func check(_ request: SocketRequest) -> Result<Identity, HTTPRefusal> {
        if let refusal = fullness ?? refusalForNow ?? crowd(request.peerAddress) { return .failure(refusal) }
        guard settings.origins.allows(request.headers["origin"], host: request.host) else {
            return .failure(refusal(.forbidden, .originNotAllowed, "pages of this origin may not connect here"))
        }
        return identify(request).flatMap { identity in
            sanctions?.refusal(of: identity).map { .failure($0) } ?? .success(identity)
        }
    }

    /// Why nobody at all is served just now.
    var refusalForNow: HTTPRefusal? {
        if isDraining { return draining }
        if case .unavailable = storeStatus() {
            return refusal(
                .serviceUnavailable, .unavailable, "the store cannot be reached, try again", isTemporary: true)
        }
        if sanctions?.isKnown == false {
            return refusal(
                .serviceUnavailable, .unavailable, "who may come in is not known yet, try again", isTemporary: true)
        }
        return nil
    }

    private var fullness: HTTPRefusal? {
        state.withLockedValue { state in
            if state.isDraining { return draining }
            guard settings.maxConnections > 0, state.connections >= settings.maxConnections else { return nil }
            return refusal(
                .serviceUnavailable, .full, "this node has no place left, try another one", isTemporary: true)
        }
    }

    private func crowd(_ address: String) -> HTTPRefusal? {
        let present = state.withLockedValue { $0.connectionsByAddress[address] ?? 0 }
        guard settings.maxConnectionsPerAddress > 0, present >= settings.maxConnectionsPerAddress else { return nil }
        return refusal(
            .tooManyRequests, .tooManyConnections, "too many connections from this address", isTemporary: true)
    }

    /// A place for a request that lasts, counted like a connection.
    func place(for address: String) throws(HTTPRefusal) -> Place {
        if let refusal = fullness ?? crowd(address) { throw refusal }
        state.withLockedValue { $0.enter(address, nil) }
        return Place(address, nil, countedIn: state)
    }

    private func identify(_ request: SocketRequest) -> Result<Identity, HTTPRefusal> {
        guard let authenticator else {
            guard let user = request.query["user"].flatMap({ UserName($0) }) else {
                return .failure(
                    refusal(
                        .badRequest, .invalidUser,
                        "name yourself with ?user=NAME: a letter or digit, then up to 127 letters, digits, '.', '_', ':' or '-'"
                    ))
            }
            return .success(Identity(user: user))
        }
        let credential = Credential.find(
            authorization: request.headers["Authorization"], query: request.query["token"],
            protocols: request.offeredProtocols)
        guard case .bearer(let token) = credential else {
            return .failure(
                .unauthorized(
                    credential == .none ? "a token is needed" : "exactly one token is needed"))
        }
        if let refusal = guessing(request.peerAddress) { return .failure(refusal) }
        return authenticator.identify(token, now: WallClock.milliseconds()).mapError { _ in
            failures.failed(request.peerAddress, at: .now())
            return .unauthorized("this token is not valid")
        }
    }

    /// Too many tokens of this address were wrong.
    func guessing(_ address: String) -> HTTPRefusal? {
        failures.wait(of: address, at: .now()).map {
            HTTPRefusal(
                Refusal(code: .rateLimited, message: "too many tokens from here were not valid", retryAfter: $0))
        }
    }

    private func wantsEcho(_ request: SocketRequest) -> Result<Bool, HTTPRefusal> {
        switch request.query["echo"] {
        case nil, "true": .success(true)
        case "false": .success(false)
        case .some: .failure(refusal(.badRequest, .badRequest, "echo must be true or false"))
        }
    }

    private func open(
        _ identity: Identity, wantsEcho: Bool, request: SocketRequest, on loop: any EventLoop
    ) -> Result<any WebSocketSession, HTTPRefusal> {
        guard let environment = environments[ObjectIdentifier(loop)]?.value else {
            return .failure(refusal(.internalServerError, .internal, "something is wrong on this node"))
        }
        guard let place = place(for: request.peerAddress, identity.user) else {
            return .failure(
                refusal(
                    .tooManyRequests, .tooManyConnections, "this user has too many sessions here", isTemporary: true))
        }
        return .success(
            ChatSession(identity: identity, wantsEcho: wantsEcho, environment: environment, place: place))
    }

    /// A connection's, and one of the sessions that its user may have on this node; nil when there is none left.
    private func place(for address: String, _ user: UserName) -> Place? {
        let limit = settings.maxSessionsPerUser
        let counted = limit > 0 ? user : nil
        let isFree = state.withLockedValue { state in
            if let counted, state.sessionsByUser[counted] ?? 0 >= limit { return false }
            state.enter(address, counted)
            return true
        }
        return isFree ? Place(address, counted, countedIn: state) : nil
    }

    private var draining: HTTPRefusal {
        refusal(.serviceUnavailable, .draining, "this node is about to restart, try another one", isTemporary: true)
    }

    private func refusal(
        _ status: HTTPResponseStatus, _ code: ErrorCode, _ message: String, isTemporary: Bool = false
    ) -> HTTPRefusal {
        HTTPRefusal(
            status, code, message, headers: isTemporary ? ["Retry-After": "\(settings.retryAfter)"] : [:])
    }
}

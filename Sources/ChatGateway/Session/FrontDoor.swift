import ChatHub
import ChatProtocol
import NIOConcurrencyHelpers
import NIOCore
import NIOHTTP1

/// Decides who may open a session on this node, and makes it.
final class FrontDoor: Doorkeeper {
    struct Settings: Sendable {
        /// Origins of pages that may connect, as browsers write them; none: only pages of the node's own host and port.
        var allowedOrigins: Set<String> = []
        /// 0 for none.
        var maxConnections = 0
        var maxConnectionsPerAddress = 0
        /// Seconds that a refused client is told to wait.
        var retryAfter = 1
    }

    private struct State {
        var isDraining = false
        var connections = 0
        var connectionsByAddress: [String: Int] = [:]
        var refusals: [ErrorCode: Int] = [:]
    }

    private let settings: Settings
    /// Nil: everybody is who they say.
    private let authenticator: Authenticator?
    private let storeStatus: @Sendable () -> BrokerStatus
    /// Each value is used on its loop only.
    private let environments: [ObjectIdentifier: NIOLoopBound<ChatSession.Environment>]
    /// Taken once per connection and once at its end, never for a message.
    private let state = NIOLockedValueBox(State())

    init(
        settings: Settings, authenticator: Authenticator? = nil,
        environments: [NIOLoopBound<ChatSession.Environment>],
        storeStatus: @escaping @Sendable () -> BrokerStatus
    ) {
        self.settings = settings
        self.authenticator = authenticator
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
        let full = state.withLockedValue { state -> HTTPRefusal? in
            if state.isDraining { return draining }
            if settings.maxConnections > 0, state.connections >= settings.maxConnections {
                return refusal(
                    .serviceUnavailable, .full, "this node has no place left, try another one", isTemporary: true)
            }
            return nil
        }
        if let full { return .failure(full) }
        if case .unavailable = storeStatus() {
            return .failure(
                refusal(.serviceUnavailable, .unavailable, "the store cannot be reached, try again", isTemporary: true))
        }
        let fromAddress = state.withLockedValue { $0.connectionsByAddress[request.peerAddress] ?? 0 }
        if settings.maxConnectionsPerAddress > 0, fromAddress >= settings.maxConnectionsPerAddress {
            return .failure(
                refusal(
                    .tooManyRequests, .tooManyConnections, "too many connections from this address", isTemporary: true))
        }
        guard isOriginAllowed(request) else {
            return .failure(refusal(.forbidden, .originNotAllowed, "pages of this origin may not connect here"))
        }
        return identify(request)
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
        return authenticator.identify(token, now: WallClock.milliseconds())
            .mapError { _ in .unauthorized("this token is not valid") }
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
        let address = request.peerAddress
        state.withLockedValue {
            $0.connections += 1
            $0.connectionsByAddress[address, default: 0] += 1
        }
        return .success(
            ChatSession(identity: identity, wantsEcho: wantsEcho, environment: environment) { [state] in
                state.withLockedValue {
                    $0.connections -= 1
                    let left = ($0.connectionsByAddress[address] ?? 1) - 1
                    $0.connectionsByAddress[address] = left > 0 ? left : nil
                }
            })
    }

    /// Browsers always send an origin, other clients rarely do (RFC 6455, section 10.2).
    private func isOriginAllowed(_ request: SocketRequest) -> Bool {
        let origins = request.headers["origin"]
        guard let origin = origins.first?.lowercased() else { return true }
        guard origins.count == 1 else { return false }
        if !settings.allowedOrigins.isEmpty { return settings.allowedOrigins.contains(origin) }
        let host = request.host.lowercased()
        return [("http://", ":80"), ("https://", ":443")].contains { scheme, port in
            origin == scheme + host || origin + port == scheme + host
        }
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

import ChatProtocol
package import NIOCore

/// An HTTP answer to the handshake that is not an upgrade.
package struct HandshakeRefusal: Error, Sendable, Equatable {
    package var status: Int
    /// `error` of the body, empty where the answer is not a node's.
    package var code: String
    /// `message` of the body, or the status line's words.
    package var message: String
    /// `Retry-After` in seconds.
    package var retryAfter: Int?

    package init(status: Int, code: String, message: String, retryAfter: Int?) {
        self.status = status
        self.code = code
        self.message = message
        self.retryAfter = retryAfter
    }
}

/// Why a connection is no more, or never was.
package enum ConnectionEnding: Sendable, Equatable {
    /// No TCP or TLS connection, or no answer to the handshake in time.
    case unreachable(String)
    /// This machine has no port left to connect from, at the address in use.
    case noLocalPort
    /// The node answered the handshake with something else than an upgrade.
    case refused(HandshakeRefusal)
    /// The node's Close frame.
    case closed(code: UInt16?, reason: String)
    /// Nothing was heard for too long.
    case silent
    /// TCP ended without a Close frame.
    case lost(String)
    /// The node broke RFC 6455 or the protocol.
    case violated(String)
    /// ``ClientConnection/close(code:)``.
    case byClient

    /// What a client does about it.
    package enum Verdict: Sendable, Equatable {
        /// Connect again with back-off, but not before so long.
        case retry(notBefore: TimeAmount?)
        /// It would end the same way again.
        case giveUp(ChatClientError)
    }

    package var verdict: Verdict {
        switch self {
        case .unreachable, .noLocalPort, .silent, .lost, .violated, .byClient:
            return .retry(notBefore: nil)
        case .refused(let refusal):
            let mayPass = [408, 425, 429].contains(refusal.status) || refusal.status >= 500
            if mayPass { return .retry(notBefore: refusal.retryAfter.map { .seconds(Int64($0)) }) }
            let isIdentity = [401, 403].contains(refusal.status)
            return .giveUp(
                ChatClientError(
                    code: isIdentity ? .unauthorized : .refused, message: description, serverCode: refusal.code))
        case .closed(let code, _):
            if CloseCode.shouldReconnect(after: code) { return .retry(notBefore: nil) }
            let isIdentity = code == CloseCode.policyViolation.rawValue
            return .giveUp(ChatClientError(code: isIdentity ? .unauthorized : .refused, message: description))
        }
    }
}

extension ConnectionEnding: CustomStringConvertible {
    package var description: String {
        switch self {
        case .unreachable(let why): "cannot connect: \(why)"
        case .noLocalPort: "cannot connect: no local port is left"
        case .refused(let refusal):
            "refused with \(refusal.status)\(refusal.code.isEmpty ? "" : " \(refusal.code)"): \(refusal.message)"
        case .closed(let code, let reason):
            "closed by the node (\(code.map(String.init) ?? "no code")\(reason.isEmpty ? "" : ", \(reason)"))"
        case .silent: "nothing heard from the node"
        case .lost(let why): "connection lost: \(why)"
        case .violated(let what): "the node sent \(what)"
        case .byClient: "closed"
        }
    }
}

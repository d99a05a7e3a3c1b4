/// Why a WebSocket connection ends (RFC 6455, section 7.4), as this protocol uses the codes.
package enum CloseCode: UInt16, Sendable, Hashable, CaseIterable {
    case normal = 1000
    /// The node goes away, or heard nothing for two heartbeats.
    case goingAway = 1001
    case protocolError = 1002
    /// A binary frame came; only text is spoken here.
    case unsupportedData = 1003
    /// What came is not UTF-8.
    case invalidPayload = 1007
    /// The token expired or was revoked, or the user was kicked.
    case policyViolation = 1008
    case tooBig = 1009
    case internalError = 1011
    /// The node restarts; another one will do.
    case restart = 1012
    /// The node is overloaded, or the client too slow.
    case overloaded = 1013

    /// Whether a client that reads this from the node connects again, with back-off. The others are a client's bug;
    /// after ``policyViolation`` it connects again only with new credentials.
    package var shouldReconnect: Bool {
        switch self {
        case .normal, .goingAway, .internalError, .restart, .overloaded: true
        case .protocolError, .unsupportedData, .invalidPayload, .policyViolation, .tooBig: false
        }
    }

    /// The same for a code as received: nil stands for a connection that was lost without one (1006). Codes that this
    /// protocol does not use come from something in between, which is no reason to stay away.
    package static func shouldReconnect(after code: UInt16?) -> Bool {
        code.flatMap(CloseCode.init(rawValue:))?.shouldReconnect ?? true
    }
}

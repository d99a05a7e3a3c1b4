package import NIOCore

/// What a gateway needs to know. The defaults are those of the product.
package struct GatewayConfiguration: Sendable {
    /// The node's name, as clients and operators see it.
    package var node: String
    /// Where clients connect. Port 0 takes a free one.
    package var host = "127.0.0.1"
    package var port = 8080
    /// Where health and metrics are.
    package var opsHost = "127.0.0.1"
    package var opsPort = 9080
    /// Nil: without TLS.
    package var tls: TLSFiles?
    package var opsTLS: TLSFiles?
    package var isEchoEnabled = false
    /// Whether clients that offer permessage-deflate get it.
    package var isCompressionEnabled = false
    /// Origins of pages that may connect, as browsers write them; none: only pages of the node's own host and port.
    package var allowedOrigins: Set<String> = []
    /// Nil: everybody is who they say.
    package var authentication: AuthenticationConfiguration?
    /// Of one frame's JSON. Four times as many are still answered, with `message_too_large`.
    package var maxMessageBytes = 16 * 1024
    /// Objects and arrays inside one another in it.
    package var maxJSONDepth = 32
    /// Frames that one message may come in.
    package var maxFragments = 1024
    /// Of all header fields of a request, names and values.
    package var maxHeaderBytes = 16 * 1024
    /// 0 for none, as for the next ones.
    package var maxConnections = 0
    package var maxConnectionsPerAddress = 0
    package var maxSessionsPerUser = 0
    package var maxPendingHandshakes = 0
    package var maxPendingHandshakesPerAddress = 0
    /// File descriptors that the process may have; nil when that is not known.
    package var descriptorLimit: Int?
    package var joinsPerSecond = 0
    /// Of one user, with a burst of twenty seconds; those that come to a room in one turn of an event loop count once.
    package var retriesPerSecond = 0
    /// Messages and members that one user may ask for, with a burst of ten seconds.
    package var readsPerSecond = 0
    /// Rooms and inboxes that one user may be the first to write to, with a burst of five minutes.
    package var newRoomsPerSecond = 0
    /// Who may say where a connection comes from.
    package var trustedProxies = ProxyTrust()
    package var maxRoomsPerSession = 0
    package var messagesPerSecond = 0
    package var heartbeat: TimeAmount = .seconds(25)
    package var handshakeTimeout: TimeAmount = .seconds(10)
    /// How long a client may leave its output unread, and how much of it.
    package var stallTimeout: TimeAmount = .seconds(30)
    package var unreadOutputBytes = 4 * 1024 * 1024
    /// How long a session that was lost still counts as present.
    package var presenceGrace: TimeAmount = .seconds(2)
    /// Over how long a draining node spreads its sessions' moves, and how long each may take.
    package var drainTime: TimeAmount = .seconds(10)
    package var drainAllowance: TimeAmount = .seconds(5)

    package init(node: String) {
        self.node = node
    }

    var webSocketLimits: WebSocketLimits {
        var limits = WebSocketLimits()
        limits.maxMessageBytes = 4 * maxMessageBytes
        limits.maxFragments = maxFragments
        limits.headerBytes = maxHeaderBytes
        // What is no message costs the node something, too.
        limits.framesPerSecond = messagesPerSecond == 0 ? 0 : max(1000, 2 * messagesPerSecond)
        // Nor is a long message as cheap as a short one.
        limits.bytesPerSecond = limits.framesPerSecond * maxMessageBytes / 4
        limits.heartbeat = heartbeat
        limits.unreadOutputBytes = unreadOutputBytes
        limits.stallTimeout = stallTimeout
        limits.handshakeTimeout = handshakeTimeout
        return limits
    }
}

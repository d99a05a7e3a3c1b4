package import NIOHTTP1

/// A request to open a WebSocket whose form is in order.
package struct SocketRequest: Sendable, Equatable {
    package enum Path: String, Sendable, CaseIterable {
        case ws = "/ws"
        case echo = "/echo"
    }

    package var path: Path
    /// Percent-decoded once; `+` stands for itself; of a repeated item the first.
    package var query: [String: String]
    package var headers: HTTPHeaders
    /// The one `Host` field.
    package var host: String
    /// The client's IP address as the socket tells it, or a proxy that is trusted; empty for a socket without one.
    package var peerAddress: String
    /// The items of `Sec-WebSocket-Protocol`, in order.
    package var offeredProtocols: [String]

    package init(
        path: Path, query: [String: String], headers: HTTPHeaders, host: String, peerAddress: String,
        offeredProtocols: [String]
    ) {
        self.path = path
        self.query = query
        self.headers = headers
        self.host = host
        self.peerAddress = peerAddress
        self.offeredProtocols = offeredProtocols
    }
}

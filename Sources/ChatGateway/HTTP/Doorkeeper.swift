package import NIOCore

/// Decides who may open a WebSocket, after the checks that need nothing but the request.
package protocol Doorkeeper: Sendable {
    /// Admits a request, with the session that the connection will talk to, or refuses it. Asked on the loop of the
    /// connection, which the session then belongs to. An admitted session always hears ``WebSocketSession/closed(_:)``.
    func admit(_ request: SocketRequest, on loop: any EventLoop) -> Result<any WebSocketSession, HTTPRefusal>
}

package import ChatProtocol
package import NIOCore

/// What a WebSocket connection talks to: whole messages in, and the connection to answer on.
///
/// All of it is called on the connection's event loop, ``opened(_:)`` first and ``closed(_:)`` last. Whatever is sent
/// while ``received(_:)`` runs is flushed after ``receivedAllForNow()``; at any other time the session flushes itself.
package protocol WebSocketSession: AnyObject {
    /// The handshake is answered; frames may be sent from now on.
    func opened(_ connection: WebSocketConnection)

    /// One whole text message, valid UTF-8, at most ``WebSocketLimits/maxMessageBytes`` long.
    func received(_ text: ByteBuffer)

    /// One whole binary message.
    func receivedBinary(_ bytes: ByteBuffer)

    /// Everything that one read brought has been handed over.
    func receivedAllForNow()

    /// The client has sent more frames than it may, and is not read from for a while.
    func paced()

    /// Enough waits unsent that the connection has stopped reading, or that is over. Never called from within
    /// ``WebSocketConnection/send(frames:)`` and ``WebSocketConnection/flush()``.
    func writabilityChanged(to isWritable: Bool)

    /// Nothing more is received, and what is sent goes nowhere. Called exactly once, also for a session that was
    /// admitted but never opened; never from within the connection's own methods.
    func closed(_ ending: Ending)
}

extension WebSocketSession {
    package func paced() {}
}

/// How a WebSocket connection came to its end.
package enum Ending: Sendable, Equatable {
    /// The client said Close first; its code, if it gave one.
    case byPeer(code: UInt16?)
    /// The node said Close first.
    case byNode(CloseCode)
    /// TCP ended without a Close frame from either side.
    case lost
}

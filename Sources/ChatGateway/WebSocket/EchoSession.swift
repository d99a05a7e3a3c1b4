package import NIOCore

/// Sends back what it receives, so that conformance suites can test the pipeline that chat runs through.
package final class EchoSession: WebSocketSession {
    private var connection: WebSocketConnection?

    package init() {}

    package func opened(_ connection: WebSocketConnection) { self.connection = connection }

    package func received(_ text: ByteBuffer) { connection?.send(text: text) }

    package func receivedBinary(_ bytes: ByteBuffer) { connection?.send(binary: bytes) }

    package func receivedAllForNow() { connection?.flush() }

    package func writabilityChanged(to isWritable: Bool) {}

    package func closed(_ ending: Ending) { connection = nil }
}

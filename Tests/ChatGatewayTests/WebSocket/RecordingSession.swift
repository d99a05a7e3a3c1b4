import ChatGateway
import NIOCore

/// Remembers what its connection tells it.
final class RecordingSession: WebSocketSession {
    enum Event: Equatable {
        case opened
        case text(String)
        case binary([UInt8])
        case burstOver
        case paced
        case writable(Bool)
        case closed(Ending)
    }

    private(set) var events: [Event] = []
    var texts: [String] { events.compactMap { if case .text(let text) = $0 { text } else { nil } } }
    private(set) var connection: WebSocketConnection?
    /// Called after an event is remembered, with the connection to act on.
    var then: (Event, WebSocketConnection) -> Void = { _, _ in }

    private func note(_ event: Event) {
        events.append(event)
        if let connection { then(event, connection) }
    }

    func opened(_ connection: WebSocketConnection) {
        self.connection = connection
        note(.opened)
    }

    func received(_ text: ByteBuffer) { note(.text(String(buffer: text))) }
    func receivedBinary(_ bytes: ByteBuffer) { note(.binary(Array(bytes.readableBytesView))) }
    func receivedAllForNow() { note(.burstOver) }
    func paced() { note(.paced) }
    func writabilityChanged(to isWritable: Bool) { note(.writable(isWritable)) }
    func closed(_ ending: Ending) { note(.closed(ending)) }
}

import ChatProtocol

/// One of a client's connections, of which there are several while it moves to another node.
final class ClientLink {
    /// Why a room's messages on this link are dropped for the time being.
    enum Hold: Equatable {
        /// They come again after the `joined` with this `id`.
        case untilJoined(RequestID)
        /// The reader was too slow and messages were left out: what this link brings has no beginning.
        case forGood
    }

    let number: Int
    let connection: ClientConnection
    var welcome: Welcome?
    /// Rooms whose messages are dropped here.
    var holds: [RoomName: Hold] = [:]

    init(number: Int, connection: ClientConnection) {
        self.number = number
        self.connection = connection
    }

    /// Rooms that wait for the answer with an `id`.
    func rooms(waitingFor id: RequestID) -> [RoomName] {
        holds.filter { $0.value == .untilJoined(id) }.map(\.key)
    }

    /// No room waits for an answer.
    var isResumed: Bool {
        !holds.values.contains { if case .untilJoined = $0 { true } else { false } }
    }
}

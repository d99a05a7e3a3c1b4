import ChatProtocol
import NIOCore

/// What was asked and is not answered yet. Requests survive a connection: they are asked again on the next.
struct PendingRequests {
    /// What answers a request.
    enum Answer: Sendable {
        case joined(JoinedRoom)
        case left
        case members(MemberPage)
        case history(MessagePage)
        case authenticated
    }

    typealias Completion = (Result<Answer, any Error>) -> Void

    struct Request {
        var id: RequestID
        var message: ClientMessage
        var sentAt: NIODeadline?
        var completion: Completion

        /// Nil when it is no join.
        var roomToJoin: RoomName? {
            if case .join(_, let room, _) = message { room } else { nil }
        }
    }

    private var requests: [Request] = []

    var isEmpty: Bool { requests.isEmpty }
    /// In the order in which they were made.
    var all: [Request] { requests }

    mutating func add(_ request: Request) {
        requests.append(request)
    }

    mutating func sent(_ id: RequestID, at now: NIODeadline) {
        guard let index = requests.firstIndex(where: { $0.id == id }) else { return }
        requests[index].sentAt = now
    }

    /// The connection is gone: nothing is on its way any more.
    mutating func linkLost() {
        for index in requests.indices { requests[index].sentAt = nil }
    }

    mutating func remove(_ id: RequestID) -> Request? {
        guard let index = requests.firstIndex(where: { $0.id == id }) else { return nil }
        return requests.remove(at: index)
    }

    /// All joins of a room.
    mutating func removeJoins(of room: RoomName) -> [Request] {
        defer { requests.removeAll { $0.roomToJoin == room } }
        return requests.filter { $0.roomToJoin == room }
    }

    mutating func removeAll() -> [Request] {
        defer { requests = [] }
        return requests
    }

    var oldestSent: NIODeadline? { requests.compactMap(\.sentAt).min() }
}

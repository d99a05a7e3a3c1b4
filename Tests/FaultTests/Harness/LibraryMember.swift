import ChatClient
import ChatProtocol
import Synchronization
import TestSupport

/// A member of a room, and perhaps a sender, that uses the client library as an application does.
final class LibraryMember: Sendable {
    let user: String
    let room: String
    private let client: ChatClient
    private let state = Box()
    private let listening: Task<Void, Never>

    private final class Box: Sendable {
        let record = Mutex(Record())
        let sendings = Mutex<[Sending]>([])
        let waiting = Atomic(0)
    }

    /// Connects to the first of the nodes that takes it, and joins.
    init(_ user: String, in room: String, at urls: [String]) async throws {
        self.user = user
        self.room = room
        client = try ChatClient(.init(urls: urls, user: user))
        let (events, state) = (client.events, state)
        listening = Task {
            for await event in events { state.record.withLock { $0.note(event) } }
        }
        try await client.connect()
        try await client.join(room)
    }

    var record: Record { state.record.withLock { $0 } }
    var sendings: [Sending] { state.sendings.withLock { $0 } }
    /// Messages that are not acknowledged yet.
    var waiting: Int { state.waiting.load(ordering: .relaxed) }

    /// Sends one message every `interval` until the task is cancelled; each is repeated by the library until it is
    /// acknowledged.
    func send(every interval: Duration, until isOver: @escaping @Sendable () -> Bool) async throws {
        try await withThrowingDiscardingTaskGroup { group in
            var number = 0
            while !isOver() {
                number += 1
                let id = "\(user)-\(number)"
                state.waiting.add(1, ordering: .relaxed)
                group.addTask { await self.send(id) }
                try await pause(interval)
            }
        }
    }

    private func send(_ id: String) async {
        var sending = Sending(room: room, user: user, id: id)
        do {
            let ack = try await client.send(text: id, to: room, id: id)
            sending.position = ack.position
            sending.at = .now
        } catch {
            let complaint = "the library gave \(id) up: \(error)"
            state.record.withLock { $0.complaints.append(complaint) }
        }
        let done = sending
        state.sendings.withLock { $0.append(done) }
        state.waiting.subtract(1, ordering: .relaxed)
    }

    func leave() async {
        await client.close()
        listening.cancel()
    }
}

extension Record {
    fileprivate mutating func note(_ event: ClientEvent) {
        switch event {
        case .connected(let connected): connections.append(connected.node)
        case .disconnected(let reason, let retryIn):
            endings.append(reason)
            if retryIn == nil { complaints.append("the library gave up: \(reason)") }
        case .joined(let room): note(.joined(head: room.position, recovered: room.recovered))
        case .message(let message):
            note(
                .message(
                    Stored(
                        position: message.position, user: message.user, id: message.id ?? "", text: message.text ?? ""))
            )
        case .gap(_, let after, let before): note(.gap(after: after, before: before))
        case .rewind(_, let position): note(.rewind(to: position))
        case .userLeft(_, let user, _): gone.append(user)
        case .left(_, let error): if let error { complaints.append("put out of the room: \(error)") }
        case .error(let error): complaints.append("\(error)")
        case .userJoined, .count, .typing, .signal, .expiring: break
        }
    }
}

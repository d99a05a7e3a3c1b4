import ChatClient
import ChatProtocol
import Foundation
import Synchronization
import TestSupport
import Testing

/// A user of the client library in one room, who remembers everything that it is told.
final class Witness: Sendable {
    /// What was told so far.
    struct Record: Sendable {
        var nodes: [String] = []
        var messages: [ChatMessage] = []
        var acknowledged: [String] = []
        var left: [String] = []
        var joined: [String] = []
        /// Everything that says that something is lost or went wrong.
        var complaints: [ClientEvent] = []
    }

    let user: String
    private let client: ChatClient
    private let room: String
    private let state: Box
    private let listening: Task<Void, Never>

    private final class Box: Sendable {
        let record = Mutex(Record())
        let isTalking = Atomic(true)
    }

    private init(user: String, client: ChatClient, room: String) {
        self.user = user
        self.client = client
        self.room = room
        let state = Box()
        self.state = state
        let events = client.events
        listening = Task {
            for await event in events { state.record.withLock { $0.note(event) } }
        }
    }

    /// Connects to the first of the nodes that takes it, and joins.
    static func join(_ room: String, as user: String, at urls: [String]) async throws -> Witness {
        let witness = Witness(user: user, client: try ChatClient(.init(urls: urls, user: user)), room: room)
        try await witness.client.connect()
        try await witness.client.join(room)
        return witness
    }

    var record: Record { state.record.withLock { $0 } }

    /// Where it is connected, or was last.
    var node: String? { record.nodes.last }

    /// Sends `count` messages, several at a time, and returns when all are stored.
    func send(_ count: Int, lanes: Int = 4) async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            for lane in 0..<lanes {
                group.addTask {
                    for number in stride(from: lane, to: count, by: lanes) { try await self.send(number: number) }
                }
            }
            try await group.waitForAll()
        }
    }

    /// Sends one message after the other until ``stopTalking()``, and returns when all are stored.
    ///
    /// - Parameter rest: between the `ack` of one and the next.
    func talk(every rest: Duration) async throws {
        var number = 0
        while state.isTalking.load(ordering: .relaxed) {
            try await send(number: number)
            number += 1
            try await pause(rest)
        }
    }

    func stopTalking() { state.isTalking.store(false, ordering: .relaxed) }

    private func send(number: Int) async throws {
        let ack = try await client.send(text: "message \(number)", to: room, id: "\(user)-\(number)")
        state.record.withLock { $0.acknowledged.append(ack.id) }
    }

    /// Waits until the record meets the condition.
    func record(_ what: String, within limit: Duration = .seconds(30), where condition: (Record) -> Bool) async throws {
        try await eventually("\(user): \(what)", within: limit) { condition(self.record) ? true : nil }
    }

    func leave() async {
        await client.close()
        listening.cancel()
    }
}

extension Witness.Record {
    fileprivate mutating func note(_ event: ClientEvent) {
        switch event {
        case .connected(let connected): nodes.append(connected.node)
        case .message(let message): messages.append(message)
        case .userJoined(_, let user, _): joined.append(user)
        case .userLeft(_, let user, _): left.append(user)
        case .gap, .rewind, .error: complaints.append(event)
        case .left(_, let error): if error != nil { complaints.append(event) }
        case .joined(let room): if room.recovered == false { complaints.append(event) }
        case .disconnected, .count, .typing, .signal, .expiring: break
        }
    }

    /// Positions ascend, and within an epoch each is one more than the one before.
    var isWithoutHole: Bool {
        zip(messages, messages.dropFirst()).allSatisfy { earlier, later in
            earlier.position.epoch == later.position.epoch
                ? later.position.seq == earlier.position.seq + 1 : earlier.position < later.position
        }
    }
}

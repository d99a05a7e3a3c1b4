import Foundation
package import NIOCore
import Synchronization

/// An event from a gateway, with the fields that the tests look at.
package struct Event: Decodable, Sendable, Equatable {
    package var type: String
    package var id: String?
    package var room: String?
    package var user: String?
    package var node: String?
    package var to: String?
    package var text: String?
    package var code: String?
    package var message: String?
    package var position: String?
    package var time: Double?
    package var count: Int?
    package var members: [String]?
    package var messages: [Event]?
    package var recovered: Bool?
    package var duplicate: Bool?
    package var active: Bool?
    package var reason: String?
    /// Of `reconnect`: milliseconds.
    package var deadline: Double?
    /// Of `error`: milliseconds.
    package var retryAfter: Double?

    private enum CodingKeys: String, CodingKey {
        case type, id, room, user, node, to, text, code, message, position, time, count, members, messages, recovered
        case duplicate, active, reason, deadline
        case retryAfter = "retry_after"
    }
}

/// A user on one raw connection. Answers pings by itself and remembers every event that it has read.
package final class Guest: Sendable {
    package let user: String
    package let socket: RawWebSocket
    /// From `welcome`.
    package let node: String
    private let read = Mutex<[Event]>([])

    private init(user: String, socket: RawWebSocket, node: String) {
        self.user = user
        self.socket = socket
        self.node = node
    }

    package static func connect(
        _ user: String, port: Int, query: String = "", receiveBuffer: Int? = nil
    ) async throws -> Guest {
        let socket = try await RawWebSocket.open(
            port: port, query: "user=\(user)\(query)", receiveBuffer: receiveBuffer)
        guard case .text(let text) = try await socket.next() else {
            throw Impatience(description: "no welcome for \(user)")
        }
        let welcome = try JSONDecoder().decode(Event.self, from: Data(text.utf8))
        guard welcome.type == "welcome", welcome.user == user, let node = welcome.node else {
            throw Impatience(description: "no welcome for \(user): \(text)")
        }
        return Guest(user: user, socket: socket, node: node)
    }

    /// Connects and joins.
    package static func connect(_ user: String, to node: GatewayProcess, in room: String) async throws -> Guest {
        let guest = try await connect(user, port: node.port)
        try await guest.join(room)
        return guest
    }

    /// Every event read so far but `welcome`.
    package var events: [Event] { read.withLock { $0 } }

    package func send(_ json: String) async throws { try await socket.send(.text(json)) }

    @discardableResult
    package func join(_ room: String, fields: String = "") async throws -> Event {
        try await send(#"{"type":"join","id":"join \#(room)","room":"\#(room)"\#(fields)}"#)
        return try await event("joined in \(room)") { $0.id == "join \(room)" && $0.type == "joined" }
    }

    package func post(_ text: String, to room: String, id: String) async throws {
        try await send(#"{"type":"message","id":"\#(id)","room":"\#(room)","text":"\#(text)"}"#)
    }

    /// Reads until an event meets the condition.
    @discardableResult
    package func event(
        _ what: String, within limit: TimeAmount = .seconds(20), where condition: (Event) -> Bool
    ) async throws -> Event {
        // Whatever else comes meanwhile.
        let deadline = NIODeadline.now() + limit
        while true {
            let incoming: RawWebSocket.Incoming
            do {
                incoming = try await socket.next(within: max(deadline - .now(), .milliseconds(1)))
            } catch {
                throw Impatience(description: "\(user) waited for \(what): \(error); read so far: \(events)")
            }
            switch incoming {
            case .text(let text):
                let event = try JSONDecoder().decode(Event.self, from: Data(text.utf8))
                read.withLock { $0.append(event) }
                if condition(event) { return event }
            case .compressedText:
                throw Impatience(description: "\(user) was sent a compressed frame that it did not agree to")
            case .ping(let payload):
                try await socket.send(.init(firstByte: 0x8A, payload: payload))
            case .pong:
                break
            case .close(let code):
                throw Impatience(
                    description: "\(user) was closed with \(code.map(String.init) ?? "no code"), not sent \(what)")
            case .end:
                throw Impatience(description: "\(user) lost the connection, not sent \(what)")
            }
        }
    }

    /// An event that has been read already, or comes. (An ack may come before or after the message itself.)
    @discardableResult
    package func pastOrNext(_ what: String, where condition: (Event) -> Bool) async throws -> Event {
        if let past = events.first(where: condition) { return past }
        return try await event(what, where: condition)
    }

    /// Reads until the connection is closed, and answers the close frame.
    package func closeCode(within limit: TimeAmount = .seconds(20)) async throws -> UInt16? {
        while true {
            switch try await socket.next(within: limit) {
            case .text(let text):
                let event = try JSONDecoder().decode(Event.self, from: Data(text.utf8))
                read.withLock { $0.append(event) }
            case .compressedText, .ping, .pong:
                break
            case .close(let code):
                // The gateway may have closed TCP already, as RFC 6455 lets it when it failed the connection.
                try? await socket.send(.close(code ?? 1000))
                return code
            case .end:
                return nil
            }
        }
    }

    /// Reads everything that was sent before now.
    package func catchUp() async throws {
        let id = "ping \(UInt64.random(in: 0...UInt64.max))"
        try await send(#"{"type":"ping","id":"\#(id)"}"#)
        try await event("pong") { $0.type == "pong" && $0.id == id }
    }

    /// Says goodbye as a well-behaved client does.
    package func close() async throws {
        try await socket.send(.close(1000))
        _ = try await closeCode()
        await socket.cut()
    }
}

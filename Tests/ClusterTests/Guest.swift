import Foundation
import NIOCore
import Synchronization
import TestSupport
import Testing

/// An event from a gateway, with the fields that the tests look at.
struct Event: Decodable, Sendable, Equatable {
    var type: String
    var id: String?
    var room: String?
    var user: String?
    var node: String?
    var to: String?
    var text: String?
    var code: String?
    var message: String?
    var position: String?
    var count: Int?
    var members: [String]?
    var messages: [Event]?
    var recovered: Bool?
    var duplicate: Bool?
    var active: Bool?
    var reason: String?
    /// Of `reconnect`: milliseconds.
    var deadline: Double?
}

/// A user on one raw connection. Answers pings by itself and remembers every event that it has read.
final class Guest: Sendable {
    let user: String
    let socket: RawWebSocket
    /// From `welcome`.
    let node: String
    private let read = Mutex<[Event]>([])

    private init(user: String, socket: RawWebSocket, node: String) {
        self.user = user
        self.socket = socket
        self.node = node
    }

    static func connect(_ user: String, port: Int, query: String = "") async throws -> Guest {
        let socket = try await RawWebSocket.open(port: port, query: "user=\(user)\(query)")
        guard case .text(let text) = try await socket.next() else {
            throw Impatience(description: "no welcome for \(user)")
        }
        let welcome = try JSONDecoder().decode(Event.self, from: Data(text.utf8))
        try #require(welcome.type == "welcome" && welcome.user == user)
        return Guest(user: user, socket: socket, node: try #require(welcome.node))
    }

    /// Connects and joins.
    static func connect(_ user: String, to node: GatewayProcess, in room: String) async throws -> Guest {
        let guest = try await connect(user, port: node.port)
        try await guest.join(room)
        return guest
    }

    /// Every event read so far but `welcome`.
    var events: [Event] { read.withLock { $0 } }

    func send(_ json: String) async throws { try await socket.send(.text(json)) }

    @discardableResult
    func join(_ room: String, fields: String = "") async throws -> Event {
        try await send(#"{"type":"join","id":"join \#(room)","room":"\#(room)"\#(fields)}"#)
        return try await event("joined in \(room)") { $0.id == "join \(room)" && $0.type == "joined" }
    }

    func post(_ text: String, to room: String, id: String) async throws {
        try await send(#"{"type":"message","id":"\#(id)","room":"\#(room)","text":"\#(text)"}"#)
    }

    /// Reads until an event meets the condition.
    @discardableResult
    func event(
        _ what: String, within limit: TimeAmount = .seconds(20), where condition: (Event) -> Bool
    ) async throws -> Event {
        while true {
            let incoming: RawWebSocket.Incoming
            do {
                incoming = try await socket.next(within: limit)
            } catch {
                throw Impatience(description: "\(user) waited for \(what): \(error); read so far: \(events)")
            }
            switch incoming {
            case .text(let text):
                let event = try JSONDecoder().decode(Event.self, from: Data(text.utf8))
                read.withLock { $0.append(event) }
                if condition(event) { return event }
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
    func pastOrNext(_ what: String, where condition: (Event) -> Bool) async throws -> Event {
        if let past = events.first(where: condition) { return past }
        return try await event(what, where: condition)
    }

    /// Reads until the connection is closed, and answers the close frame.
    func closeCode(within limit: TimeAmount = .seconds(20)) async throws -> UInt16? {
        while true {
            switch try await socket.next(within: limit) {
            case .text(let text):
                let event = try JSONDecoder().decode(Event.self, from: Data(text.utf8))
                read.withLock { $0.append(event) }
            case .ping, .pong:
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
    func catchUp() async throws {
        let id = "ping \(UInt64.random(in: 0...UInt64.max))"
        try await send(#"{"type":"ping","id":"\#(id)"}"#)
        try await event("pong") { $0.type == "pong" && $0.id == id }
    }

    /// Says goodbye as a well-behaved client does.
    func close() async throws {
        try await socket.send(.close(1000))
        _ = try await closeCode()
        await socket.cut()
    }
}

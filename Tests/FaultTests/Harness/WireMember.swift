import ChatProtocol
import Foundation
import NIOCore
import Synchronization
import TestSupport

/// A member of a room, and perhaps a sender, that speaks the protocol by itself: it hides nothing of what gateways say,
/// as the client library does, and measures how soon they answer.
final class WireMember: Sendable {
    let user: String
    let room: String
    private let ports: [Int]
    private let state: Mutex<State>

    fileprivate struct State {
        var record = Record()
        var sendings: [Sending] = []
        var waiting: [String: Waiting] = [:]
        /// In the order of sending.
        var order: [String] = []
        var socket: RawWebSocket?
        var isJoined = false
        var answers = Answers()
        var isOver = false
        var number = 0
    }

    /// A message that is not acknowledged.
    fileprivate struct Waiting {
        /// On the present connection; nil when it is not there yet.
        var sentAt: ContinuousClock.Instant?
        var wasSent = false
        /// The gateway wants it again then.
        var due: ContinuousClock.Instant?
    }

    /// How gateways answered to messages on connections that stood.
    struct Answers: Sendable {
        var slowest = Duration.zero
        /// Refusals by their code.
        var refusals: [String: Int] = [:]
    }

    init(_ user: String, in room: String, at ports: [Int]) {
        self.user = user
        self.room = room
        self.ports = ports
        state = Mutex(State())
    }

    var record: Record { state.withLock { $0.record } }
    var sendings: [Sending] { state.withLock { $0.sendings } }
    var waiting: Int { state.withLock { $0.waiting.count } }
    var answers: Answers { state.withLock { $0.answers } }
    var isJoined: Bool { state.withLock { $0.isJoined } }

    /// Stays connected, to whichever node takes it, until ``leave()``.
    func stay() async {
        var attempt = 0
        while !state.withLock({ $0.isOver }) {
            let reason: String
            do {
                reason = try await live(on: ports[attempt % ports.count])
            } catch let refusal as RefusedHandshake {
                reason = "refused with \(refusal.answer?.status ?? 0)"
            } catch {
                reason = "\(error)"
            }
            state.withLock { state in
                state.socket = nil
                state.isJoined = false
                state.record.endings.append(reason)
            }
            attempt += 1
            try? await pause(.milliseconds(Int.random(in: 50...250)))
        }
    }

    /// One connection, from the handshake to its end, and why it ended.
    private func live(on port: Int) async throws -> String {
        let socket = try await RawWebSocket.open(port: port, query: "user=\(user)")
        defer { Task { await socket.cut() } }
        let since = state.withLock { state in
            state.socket = socket
            for id in state.order { state.waiting[id]?.sentAt = nil }
            return state.record.entries.isEmpty ? nil : state.record.last
        }
        try await join(socket, since: since)
        while true {
            // More than two heartbeats of silence: nobody is there.
            switch try await socket.next(within: .seconds(13)) {
            case .text(let text):
                let event = try WireEvent(text)
                if event.type == "reconnect" {
                    try await pause(event.delay)
                    return "asked to reconnect"
                }
                if event.type == "error", event.id == "join" {
                    try await pause(event.retryAfter ?? .seconds(1))
                    try await join(socket, since: since)
                } else {
                    take(event)
                }
            case .ping(let payload): try await socket.send(.init(firstByte: 0x8A, payload: payload))
            case .compressedText, .pong: break
            case .close(let code): return "closed with \(code.map(String.init) ?? "no code")"
            case .end: return "TCP ended"
            }
        }
    }

    private func join(_ socket: RawWebSocket, since: Position?) async throws {
        let from = since.map { #","since":"\#($0)""# } ?? ""
        try await socket.send(.text(#"{"type":"join","id":"join","room":"\#(room)"\#(from)}"#))
    }

    private func take(_ event: WireEvent) {
        state.withLock { state in
            switch event.type {
            case "welcome": if let node = event.node { state.record.connections.append(node) }
            // Not the user's own inbox, which nobody asked for.
            case "joined" where event.id == "join":
                state.isJoined = true
                state.record.note(.joined(head: event.position("position") ?? .zero, recovered: event.recovered))
            case "message": if let stored = event.stored { state.record.note(.message(stored)) }
            case "gap":
                state.record.note(
                    .gap(after: event.position("after") ?? .zero, before: event.position("before")))
            case "rewind": state.record.note(.rewind(to: event.position("to") ?? .zero))
            case "user_left": state.record.gone.append(event.user ?? "")
            case "ack": state.acknowledged(event, room: room, user: user)
            case "error": state.refused(event)
            default: break
            }
        }
    }

    // MARK: Sending

    /// Sends one message every `interval`, and each again with `retry` when the gateway asks for it or the connection
    /// was lost, until all are acknowledged.
    func send(every interval: Duration, until isOver: @escaping @Sendable () -> Bool) async throws {
        while true {
            let (socket, texts) = state.withLock { state in
                if !isOver() {
                    state.number += 1
                    let id = "\(user)-\(state.number)"
                    state.waiting[id] = Waiting()
                    state.order.append(id)
                }
                return (state.socket, state.isJoined ? state.due(in: room) : [])
            }
            if isOver(), waiting == 0 { return }
            // At once: how soon each is answered counts from here.
            if !texts.isEmpty { try? await socket?.send(texts.map { .text($0) }) }
            try await pause(interval)
        }
    }

    func leave() async {
        let socket = state.withLock { state in
            state.isOver = true
            return state.socket
        }
        try? await socket?.send(.close(1000))
        await socket?.cut()
    }
}

extension WireMember.State {
    /// What is to be sent on this connection now, in order.
    fileprivate mutating func due(in room: String) -> [String] {
        let now = ContinuousClock.now
        var texts: [String] = []
        for id in order {
            guard var message = waiting[id], message.sentAt == nil, message.due.map({ $0 <= now }) ?? true else {
                continue
            }
            let retry = message.wasSent ? #","retry":true"# : ""
            texts.append(#"{"type":"message","id":"\#(id)","room":"\#(room)","text":"\#(id)"\#(retry)}"#)
            message.sentAt = now
            message.wasSent = true
            message.due = nil
            waiting[id] = message
        }
        return texts
    }

    fileprivate mutating func acknowledged(_ event: WireEvent, room: String, user: String) {
        guard let id = event.id, let message = waiting.removeValue(forKey: id) else { return }
        order.removeAll { $0 == id }
        if let sentAt = message.sentAt { answers.slowest = max(answers.slowest, .now - sentAt) }
        sendings.append(
            Sending(room: room, user: user, id: id, position: event.position("position"), at: .now))
    }

    fileprivate mutating func refused(_ event: WireEvent) {
        let code = event.code ?? "?"
        guard let id = event.id, var message = waiting[id], let sentAt = message.sentAt else {
            record.complaints.append("an error for nothing: \(code)")
            return
        }
        answers.slowest = max(answers.slowest, .now - sentAt)
        answers.refusals[code, default: 0] += 1
        if let retryAfter = event.retryAfter {
            message.due = .now + retryAfter
            message.sentAt = nil
            waiting[id] = message
        } else {
            record.complaints.append("\(id) was refused for good: \(code)")
        }
    }
}

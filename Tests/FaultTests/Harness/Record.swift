import ChatProtocol

/// A message, as the log holds it and as members get it.
struct Stored: Sendable, Hashable {
    var position: Position
    var user: String
    var id: String
    var text: String
}

/// What one member of one room was told, in order.
struct Record: Sendable {
    enum Told: Sendable, Equatable {
        /// For the first time, or again on a new connection.
        case joined(head: Position, recovered: Bool?)
        case message(Stored)
        case gap(after: Position, before: Position?)
        case rewind(to: Position)
    }

    struct Entry: Sendable {
        var told: Told
        var at: ContinuousClock.Instant
    }

    var entries: [Entry] = []
    /// The nodes that it was connected to, one after the other.
    var connections: [String] = []
    /// Why connections ended.
    var endings: [String] = []
    /// Users that were said to have gone.
    var gone: [String] = []
    /// What must not happen to anybody: refusals for good.
    var complaints: [String] = []

    mutating func note(_ told: Told) { entries.append(Entry(told: told, at: .now)) }

    /// Where the member stands: all up to here was brought, or was told to be lost.
    var last: Position? {
        switch entries.last?.told {
        case nil: return nil
        case .rewind(let position): return position
        case .gap, .joined, .message: break
        }
        for entry in entries.reversed() {
            switch entry.told {
            case .message(let message): return message.position
            case .rewind(let position): return position
            case .joined(let head, nil): return head
            case .joined, .gap: continue
            }
        }
        return nil
    }

    var messages: Int {
        entries.count { if case .message = $0.told { true } else { false } }
    }

    /// What says that something is lost.
    var losses: [Told] {
        entries.map(\.told).filter {
            switch $0 {
            case .gap, .rewind, .joined(_, recovered: false): true
            case .message, .joined: false
            }
        }
    }
}

/// A message that somebody sent, and what became of it.
struct Sending: Sendable {
    var room: String
    var user: String
    var id: String
    var position: Position?
    /// When it was acknowledged.
    var at: ContinuousClock.Instant?
}

import ChatProtocol

/// One call to Redis for changes of presence: those of one room and kind travel together.
enum PresenceCall: Equatable {
    struct Entrant: Equatable {
        var session: SessionID
        var user: UserName
    }

    case register(RoomName)
    case enter(RoomName, [Entrant])
    case leave(RoomName, [SessionID])
    case unregister(RoomName)

    /// Sessions in one call, so that no script keeps Redis from other work for long.
    static var sessionsAtMost: Int { 500 }

    /// Joins what a turn brought. In a room those who come stand before those who leave: a user who does both with
    /// different sessions was never away.
    static func joined<Waiter: Sendable>(_ operations: [PresenceLedger<Waiter>.Operation]) -> [PresenceCall] {
        var registrations: [PresenceCall] = []
        var unregistrations: [PresenceCall] = []
        var entrants: [RoomName: [Entrant]] = [:]
        var leavers: [RoomName: [SessionID]] = [:]
        var rooms: [RoomName] = []
        for operation in operations {
            switch operation {
            case .register(let room): registrations.append(.register(room))
            case .unregister(let room): unregistrations.append(.unregister(room))
            case .enter(let who, let user):
                if entrants[who.room] == nil, leavers[who.room] == nil { rooms.append(who.room) }
                entrants[who.room, default: []].append(Entrant(session: who.session, user: user))
            case .leave(let who):
                if entrants[who.room] == nil, leavers[who.room] == nil { rooms.append(who.room) }
                leavers[who.room, default: []].append(who.session)
            }
        }
        let changes = rooms.flatMap { room in
            slices(of: entrants[room] ?? []).map { PresenceCall.enter(room, $0) }
                + slices(of: leavers[room] ?? []).map { PresenceCall.leave(room, $0) }
        }
        return registrations + changes + unregistrations
    }

    /// What the call does, one by one.
    func operations<Waiter: Sendable>() -> [PresenceLedger<Waiter>.Operation] {
        switch self {
        case .register(let room): [.register(room)]
        case .unregister(let room): [.unregister(room)]
        case .enter(let room, let entrants):
            entrants.map { .enter(.init(room: room, session: $0.session), user: $0.user) }
        case .leave(let room, let sessions): sessions.map { .leave(.init(room: room, session: $0)) }
        }
    }

    private static func slices<Element>(of all: [Element]) -> [[Element]] {
        stride(from: 0, to: all.count, by: sessionsAtMost).map {
            Array(all[$0..<min($0 + sessionsAtMost, all.count)])
        }
    }
}

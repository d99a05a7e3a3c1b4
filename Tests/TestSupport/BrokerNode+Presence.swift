package import ChatHub
package import ChatProtocol
import NIOCore

extension BrokerNode {
    /// All of them in one turn of the loop.
    package func enter(_ room: RoomName, _ sessions: [(SessionID, UserName)]) async throws -> [Roster] {
        try await loop.flatSubmit { [broker, loop] in
            let commands = broker.commands(on: loop)
            return EventLoopFuture.whenAllSucceed(
                sessions.map { commands.enter(room, session: $0.0, user: $0.1) }, on: loop)
        }.get()
    }

    /// All of them in one turn of the loop.
    package func leave(_ room: RoomName, _ sessions: [SessionID]) async throws {
        try await loop.submit { [broker, loop] in
            let commands = broker.commands(on: loop)
            for session in sessions { commands.leave(room, session: session) }
        }.get()
    }

    package func roster(of room: RoomName, limit: Int) async throws -> Roster {
        try await loop.flatSubmit { [broker, loop] in
            broker.commands(on: loop).roster(of: room, limit: limit)
        }.get()
    }
}

extension BrokerListener {
    /// Waits until the counts of a room that was a crowd are as wanted; all of them.
    package func hearsCounts(
        in room: RoomName, _ isEnough: @escaping @Sendable ([Int]) -> Bool
    ) async throws -> [Int] {
        try await hears("counts of \(room)") { events in
            let counts = Self.counts(in: room, of: events)
            return isEnough(counts) ? counts : nil
        }
    }

    package static func counts(in room: RoomName, of events: [Event]) -> [Int] {
        events.compactMap { if case .received(.count(let count, _), room) = $0 { count } else { nil } }
    }
}

import ChatHub
import ChatProtocol
import RedisBroker
import TestSupport
import Testing

@Suite("Sessions of one user", .timeLimit(.minutes(1)))
struct SeatTests {
    @Test("There are so many on all nodes together, and those of a node that died are given back")
    func seats() async throws {
        try await RedisServer.run { server in
            let brokers = [
                try await TestBroker.start(server, node: "one") { $0.sessionsPerUser = 3 },
                try await TestBroker.start(server, node: "two") { $0.sessionsPerUser = 3 },
            ]
            let alice = try user("alice")
            let inbox = RoomName(inboxOf: alice)
            func enter(_ session: SessionID, at node: Int, _ user: UserName = alice) async throws -> Prohibition? {
                try await brokers[node].node.prohibition {
                    _ = try await brokers[node].node.enter(RoomName(inboxOf: user), session, user)
                }
            }
            let sessions = (0..<4).map { _ in SessionID.random() }
            #expect(try await enter(sessions[0], at: 0) == nil)
            #expect(try await enter(sessions[1], at: 1) == nil)
            #expect(try await enter(sessions[2], at: 1) == nil)
            #expect(try await enter(sessions[3], at: 0) == .seated)
            #expect(try await enter(.random(), at: 0, try user("bob")) == nil)
            // Whoever sits already stays.
            #expect(try await enter(sessions[0], at: 0) == nil)
            try await brokers[0].node.leave(inbox, sessions[0])
            #expect(try await enter(sessions[3], at: 0) == nil)
            // Rooms are not concerned.
            for session in sessions + [.random()] { _ = try await brokers[0].node.enter(try room(), session, alice) }

            try await brokers[1].vanish()
            try await eventually("two seats are free again") {
                try await enter(sessions[0], at: 0) == nil ? true : nil
            }
            try await eventually("the other one, too") { try await enter(.random(), at: 0) == nil ? true : nil }
            #expect(try await enter(.random(), at: 0) == .seated)
            try await brokers[0].shutdown()
        }
    }
}

import ChatProtocol
import TestSupport
import Testing

@testable import RedisBroker

@Suite("Calls for changes of presence")
struct PresenceCallTests {
    private typealias Operation = PresenceLedger<Int>.Operation

    private func who(_ session: UInt64, in room: RoomName) -> PresenceLedger<Int>.Membership {
        .init(room: room, session: SessionID(value: session))
    }

    @Test func whatATurnBringsForARoomTravelsTogetherAndWhoComesBeforeWhoLeaves() throws {
        let (a, b, alice) = (try room("a"), try room("b"), try user("alice"))
        let operations: [Operation] = [
            .leave(who(1, in: a)), .unregister(b), .enter(who(2, in: a), user: alice), .leave(who(4, in: b)),
            .enter(who(3, in: a), user: alice), .register(b),
        ]
        let calls = PresenceCall.joined(operations)
        #expect(
            calls == [
                .register(b),
                .enter(
                    a,
                    [
                        .init(session: SessionID(value: 2), user: alice),
                        .init(session: SessionID(value: 3), user: alice),
                    ]),
                .leave(a, [SessionID(value: 1)]), .leave(b, [SessionID(value: 4)]), .unregister(b),
            ])
        let again: [Operation] = calls.flatMap { $0.operations() }
        #expect(Set(again.map { "\($0)" }) == Set(operations.map { "\($0)" }))
    }

    @Test func tenThousandSessionsOfARoomTakeTwentyCalls() throws {
        let (room, alice) = (try room(), try user("alice"))
        let calls = PresenceCall.joined((0..<10_000).map { Operation.enter(who($0, in: room), user: alice) })
        #expect(calls.count == 20)
        let sessions = calls.flatMap { call -> [Operation] in call.operations() }
        #expect(sessions == (0..<10_000).map { .enter(who($0, in: room), user: alice) })
    }
}

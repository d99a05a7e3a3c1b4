import ChatProtocol
import TestSupport
import Testing

@testable import RedisBroker

@Suite("The presence ledger")
struct PresenceLedgerTests {
    private typealias Ledger = PresenceLedger<Int>
    private let room: RoomName
    private let alice: UserName
    private let one: Ledger.Membership
    private let two: Ledger.Membership

    init() throws {
        room = try require(RoomName("room"), "room")
        alice = try user("alice")
        one = .init(room: room, session: SessionID(value: 1))
        two = .init(room: room, session: SessionID(value: 2))
    }

    private func entered() -> Ledger {
        var ledger = Ledger()
        ledger.enter(one, user: alice, waiter: 1)
        _ = ledger.next(limit: 10)
        _ = ledger.succeeded(.enter(one, user: alice))
        return ledger
    }

    @Test func theFirstSessionOfARoomRegistersItAndTheLastUnregistersIt() {
        var ledger = Ledger()
        ledger.enter(one, user: alice, waiter: 1)
        ledger.enter(two, user: alice, waiter: 2)
        #expect(ledger.next(limit: 10) == [.register(room), .enter(one, user: alice), .enter(two, user: alice)])
        #expect(ledger.succeeded(.enter(one, user: alice)) == [1])
        #expect(ledger.succeeded(.enter(two, user: alice)) == [2])
        #expect(ledger.leave(one).isEmpty)
        #expect(ledger.next(limit: 10) == [.leave(one)])
        _ = ledger.succeeded(.leave(one))
        #expect(ledger.next(limit: 10).isEmpty)
        _ = ledger.leave(two)
        _ = ledger.next(limit: 10)
        _ = ledger.succeeded(.leave(two))
        #expect(ledger.next(limit: 10) == [.unregister(room)])
        #expect(ledger.isEmpty)
    }

    @Test func aSessionThatLeavesWhileItEntersLeavesAfterwards() {
        var ledger = Ledger()
        ledger.enter(one, user: alice, waiter: 1)
        _ = ledger.next(limit: 10)
        _ = ledger.leave(one)
        #expect(ledger.next(limit: 10).isEmpty, "never two commands of one session at a time")
        #expect(ledger.succeeded(.enter(one, user: alice)) == [1])
        #expect(ledger.next(limit: 10) == [.leave(one)])
    }

    @Test func whoLeavesBeforeAnythingWasSaidIsNeverMentioned() {
        var ledger = Ledger()
        ledger.enter(one, user: alice, waiter: 1)
        #expect(ledger.leave(one) == [1], "its waiter is told")
        #expect(ledger.next(limit: 10).isEmpty)
        #expect(ledger.isEmpty)
    }

    @Test func anEntryThatFailedIsUndoneUntilThatTookEffect() {
        var ledger = Ledger()
        ledger.enter(one, user: alice, waiter: 1)
        _ = ledger.next(limit: 10)
        #expect(ledger.failed(.enter(one, user: alice)) == [1])
        #expect(ledger.next(limit: 10).isEmpty, "not at once again")
        ledger.retry()
        #expect(ledger.next(limit: 10) == [.leave(one)], "whether it took effect is not known")
        _ = ledger.failed(.leave(one))
        ledger.retry()
        #expect(ledger.next(limit: 10) == [.leave(one)])
        _ = ledger.succeeded(.leave(one))
        #expect(ledger.next(limit: 10) == [.unregister(room)])
        #expect(ledger.isEmpty)
    }

    @Test func aDepartureIsRepeatedAfterALostConnection() {
        var ledger = entered()
        _ = ledger.leave(one)
        _ = ledger.next(limit: 10)
        _ = ledger.failed(.leave(one))
        ledger.storeMayHaveForgotten()
        #expect(ledger.next(limit: 10) == [.leave(one)])
    }

    @Test func afterALossEverybodyEntersAgainWithoutBeingAsked() {
        var ledger = entered()
        ledger.storeMayHaveForgotten()
        #expect(ledger.next(limit: 10) == [.register(room), .enter(one, user: alice)])
        #expect(ledger.failed(.enter(one, user: alice)).isEmpty)
        ledger.retry()
        #expect(ledger.next(limit: 10) == [.enter(one, user: alice)], "who was in stays wanted")
        ledger.storeMayHaveForgotten()
        #expect(ledger.succeeded(.enter(one, user: alice)).isEmpty)
        #expect(
            ledger.next(limit: 10) == [.register(room), .enter(one, user: alice)],
            "what was answered before the second loss does not count")
    }

    @Test func enteringAgainAnswersAgain() {
        var ledger = entered()
        ledger.enter(one, user: alice, waiter: 2)
        #expect(ledger.next(limit: 10) == [.enter(one, user: alice)])
        #expect(ledger.succeeded(.enter(one, user: alice)) == [2])
        #expect(ledger.next(limit: 10).isEmpty)
    }

    @Test func whoWaitsWhenTheConnectionIsLostIsToldAndNotIn() {
        var ledger = Ledger()
        ledger.enter(one, user: alice, waiter: 1)
        ledger.enter(two, user: alice, waiter: 2)
        #expect(ledger.next(limit: 1) == [.register(room), .enter(one, user: alice)])
        #expect(ledger.failed(.enter(one, user: alice)) == [1])
        #expect(ledger.connectionLost() == [2])
        ledger.storeMayHaveForgotten()
        let operations = ledger.next(limit: 10)
        #expect(!operations.contains(.enter(one, user: alice)) && !operations.contains(.enter(two, user: alice)))
        for operation in operations { _ = ledger.succeeded(operation) }
        _ = ledger.next(limit: 10)
        #expect(ledger.isEmpty)
    }

    @Test func aRegistrationThatFailedIsRepeated() {
        var ledger = entered()
        _ = ledger.failed(.register(room))
        #expect(ledger.next(limit: 10).isEmpty, "not at once again")
        ledger.retry()
        #expect(ledger.next(limit: 10) == [.register(room)])
        #expect(ledger.next(limit: 10).isEmpty)
    }

    @Test func aRoomThatEmptiesWhileRedisIsAwayIsUnregisteredAfterwards() {
        var ledger = entered()
        _ = ledger.leave(one)
        ledger.storeMayHaveForgotten()
        #expect(ledger.next(limit: 10) == [.leave(one)])
        _ = ledger.succeeded(.leave(one))
        #expect(ledger.next(limit: 10) == [.unregister(room)])
        _ = ledger.failed(.unregister(room))
        #expect(ledger.next(limit: 10).isEmpty, "not at once again")
        ledger.retry()
        #expect(ledger.next(limit: 10) == [.unregister(room)])
        ledger.retry()
        #expect(ledger.next(limit: 10).isEmpty)
    }

    @Test func noMoreThanTheLimitIsUnderWay() {
        var ledger = Ledger()
        for number in 1...10 {
            ledger.enter(.init(room: room, session: SessionID(value: UInt64(number))), user: alice, waiter: number)
        }
        #expect(ledger.next(limit: 3).count == 4, "three sessions and the room")
        #expect(ledger.next(limit: 3).isEmpty)
        _ = ledger.succeeded(.enter(one, user: alice))
        #expect(ledger.next(limit: 3).count == 1)
    }

    @Test func everybodyLeavesAtTheEnd() {
        var ledger = entered()
        ledger.enter(two, user: alice, waiter: 2)
        #expect(ledger.leaveAll() == [2])
        #expect(ledger.next(limit: 10) == [.leave(one)])
        _ = ledger.succeeded(.leave(one))
        _ = ledger.next(limit: 10)
        #expect(ledger.isEmpty)
    }
}

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

    /// A ledger whose room is registered.
    private func registered(_ ledger: Ledger = Ledger(), _ enters: (inout Ledger) -> Void) -> Ledger {
        var ledger = ledger
        enters(&ledger)
        #expect(ledger.next(limit: 10) == [.register(room)])
        #expect(ledger.succeeded(.register(room)).isEmpty)
        return ledger
    }

    private func entered() -> Ledger {
        var ledger = registered { $0.enter(one, user: alice, waiter: 1) }
        _ = ledger.next(limit: 10)
        _ = ledger.succeeded(.enter(one, user: alice))
        return ledger
    }

    @Test func theFirstSessionOfARoomRegistersItAndTheLastUnregistersIt() {
        var ledger = Ledger()
        ledger.enter(one, user: alice, waiter: 1)
        ledger.enter(two, user: alice, waiter: 2)
        #expect(ledger.next(limit: 10) == [.register(room)])
        #expect(ledger.next(limit: 10).isEmpty, "nobody enters before the registration took effect")
        #expect(ledger.succeeded(.register(room)).isEmpty)
        #expect(ledger.next(limit: 10) == [.enter(one, user: alice), .enter(two, user: alice)])
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

    @Test func whoIsRefusedIsNotThereAndIsNotTriedAgain() {
        var ledger = entered()
        ledger.storeMayHaveForgotten()
        #expect(ledger.next(limit: 10) == [.register(room)])
        _ = ledger.succeeded(.register(room))
        #expect(ledger.next(limit: 10) == [.enter(one, user: alice)])
        ledger.enter(two, user: alice, waiter: 2)
        #expect(ledger.next(limit: 10) == [.enter(two, user: alice)])
        #expect(ledger.refused(one).isEmpty, "nobody waited for the repetition")
        #expect(ledger.refused(two) == [2])
        #expect(ledger.isEmpty)
        ledger.retry()
        #expect(ledger.next(limit: 10) == [.unregister(room)])
    }

    @Test func aSessionThatLeavesWhileItEntersLeavesAfterwards() {
        var ledger = registered { $0.enter(one, user: alice, waiter: 1) }
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
        var ledger = registered { $0.enter(one, user: alice, waiter: 1) }
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
        #expect(!ledger.isRestored)
        #expect(ledger.next(limit: 10) == [.register(room)])
        _ = ledger.succeeded(.register(room))
        #expect(ledger.next(limit: 10) == [.enter(one, user: alice)])
        #expect(ledger.failed(.enter(one, user: alice)).isEmpty)
        ledger.retry()
        #expect(ledger.next(limit: 10) == [.enter(one, user: alice)], "who was in stays wanted")
        ledger.storeMayHaveForgotten()
        #expect(ledger.succeeded(.enter(one, user: alice)).isEmpty)
        #expect(!ledger.isRestored, "what was answered before the second loss does not count")
        #expect(ledger.next(limit: 10) == [.register(room)])
        ledger.storeMayHaveForgotten()
        _ = ledger.succeeded(.register(room))
        #expect(ledger.next(limit: 10) == [.register(room)], "nor does a registration")
        _ = ledger.succeeded(.register(room))
        #expect(ledger.next(limit: 10) == [.enter(one, user: alice)])
        _ = ledger.succeeded(.enter(one, user: alice))
        #expect(ledger.isRestored)
    }

    @Test func enteringAgainAnswersAgain() {
        var ledger = entered()
        ledger.enter(one, user: alice, waiter: 2)
        #expect(ledger.next(limit: 10) == [.enter(one, user: alice)])
        #expect(ledger.succeeded(.enter(one, user: alice)) == [2])
        #expect(ledger.next(limit: 10).isEmpty)
    }

    @Test func whoWaitsWhenTheConnectionIsLostIsToldAndNotIn() {
        var ledger = registered {
            $0.enter(one, user: alice, waiter: 1)
            $0.enter(two, user: alice, waiter: 2)
        }
        #expect(ledger.next(limit: 1) == [.enter(one, user: alice)])
        #expect(ledger.failed(.enter(one, user: alice)) == [1])
        #expect(ledger.connectionLost() == [2])
        ledger.storeMayHaveForgotten()
        let operations = ledger.next(limit: 10)
        #expect(!operations.contains(.enter(one, user: alice)) && !operations.contains(.enter(two, user: alice)))
        for operation in operations { _ = ledger.succeeded(operation) }
        _ = ledger.next(limit: 10)
        #expect(ledger.isEmpty)
    }

    @Test func whoWaitsForARegistrationThatFailedIsToldAndNotIn() {
        var ledger = Ledger()
        ledger.enter(one, user: alice, waiter: 1)
        #expect(ledger.next(limit: 10) == [.register(room)])
        #expect(ledger.failed(.register(room)) == [1])
        #expect(ledger.next(limit: 10) == [.unregister(room)], "whether it took effect is not known")
        #expect(ledger.isEmpty)
    }

    @Test func aRegistrationThatFailedIsRepeatedForWhoeverIsInTheRoom() {
        var ledger = entered()
        ledger.storeMayHaveForgotten()
        #expect(ledger.next(limit: 10) == [.register(room)])
        #expect(ledger.failed(.register(room)).isEmpty)
        #expect(ledger.next(limit: 10).isEmpty, "not at once again")
        ledger.retry()
        #expect(ledger.next(limit: 10) == [.register(room)])
        _ = ledger.failed(.register(room))
        ledger.enter(two, user: alice, waiter: 2)
        #expect(ledger.next(limit: 10) == [.register(room)], "somebody new need not wait")
        _ = ledger.succeeded(.register(room))
        #expect(Set(ledger.next(limit: 10).map { "\($0)" }).count == 2, "both enter")
        #expect(ledger.next(limit: 10).isEmpty)
    }

    @Test func whoLeavesDoesNotWaitForARegistration() {
        var ledger = entered()
        ledger.storeMayHaveForgotten()
        #expect(ledger.next(limit: 10) == [.register(room)])
        _ = ledger.leave(one)
        #expect(ledger.next(limit: 10) == [.leave(one)])
        _ = ledger.succeeded(.leave(one))
        #expect(ledger.next(limit: 10).isEmpty, "not while it may be registered again behind our back")
        _ = ledger.succeeded(.register(room))
        #expect(ledger.next(limit: 10) == [.unregister(room)])
        #expect(ledger.isEmpty)
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
        var ledger = registered {
            for number in 1...10 {
                $0.enter(.init(room: room, session: SessionID(value: UInt64(number))), user: alice, waiter: number)
            }
        }
        #expect(ledger.next(limit: 3).count == 3)
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

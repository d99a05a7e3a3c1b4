import ChatProtocol
import TestSupport
import Testing

@testable import RedisBroker

@Suite("The subscription ledger")
struct SubscriptionLedgerTests {
    private typealias Batch = SubscriptionLedger.Batch
    private let a: RoomName
    private let b: RoomName

    init() throws {
        a = try room("a")
        b = try room("b")
    }

    @Test func aRoomIsSubscribedOnceConnectedAndStandsWhenConfirmed() {
        var ledger = SubscriptionLedger()
        ledger.subscribe(a)
        #expect(ledger.flush() == Batch(), "not connected yet")
        ledger.connected()
        #expect(ledger.flush() == Batch(subscribe: [a]))
        #expect(ledger.flush() == Batch(), "nothing is said twice")
        #expect(ledger.confirmedSubscribe(a) == true)
        #expect(ledger.confirmedSubscribe(a) == false, "nor heard twice")
    }

    @Test func aRoomThatIsLeftBeforeItWasConfirmedIsUnsubscribedAfterwards() {
        var ledger = SubscriptionLedger()
        ledger.connected()
        ledger.subscribe(a)
        _ = ledger.flush()
        ledger.unsubscribe(a)
        #expect(ledger.flush() == Batch(), "the first command is still under way")
        #expect(ledger.confirmedSubscribe(a) == false, "nobody waits for it")
        #expect(ledger.flush() == Batch(unsubscribe: [a]))
        ledger.confirmedUnsubscribe(a)
        #expect(ledger.flush() == Batch())
        #expect(ledger.wanted.isEmpty)
    }

    @Test func subscribedLeftAndSubscribedAgainStandsOnlyAfterTheLastConfirmation() {
        var ledger = SubscriptionLedger()
        ledger.connected()
        ledger.subscribe(a)
        _ = ledger.flush()
        #expect(ledger.confirmedSubscribe(a) == true)
        ledger.unsubscribe(a)
        #expect(ledger.flush() == Batch(unsubscribe: [a]))
        ledger.subscribe(a)
        #expect(ledger.flush() == Batch(), "it must not overtake the command under way")
        ledger.confirmedUnsubscribe(a)
        #expect(ledger.flush() == Batch(subscribe: [a]))
        #expect(ledger.confirmedSubscribe(a) == true)
    }

    @Test func aSubscriptionThatRedisEndedIsOffUntilItIsAskedForAgain() {
        var ledger = SubscriptionLedger()
        ledger.connected()
        ledger.subscribe(a)
        ledger.subscribe(b)
        _ = ledger.flush()
        #expect(ledger.confirmedSubscribe(a) == true)
        #expect(ledger.revoked(a) == true, "it stood")
        #expect(ledger.revoked(b) == true, "it was refused")
        #expect(ledger.revoked(a) == false, "once")
        #expect(ledger.flush() == Batch())
        ledger.subscribe(a)
        #expect(ledger.flush() == Batch(subscribe: [a]))
        #expect(ledger.confirmedSubscribe(a) == true)
        ledger.unsubscribe(b)
        #expect(ledger.flush() == Batch())
    }

    @Test func aSubscriptionThatRedisEndsWhileItIsLeftIsOver() {
        var ledger = SubscriptionLedger()
        ledger.connected()
        ledger.subscribe(a)
        _ = ledger.flush()
        _ = ledger.confirmedSubscribe(a)
        ledger.unsubscribe(a)
        #expect(ledger.revoked(a) == false, "nobody wants it")
        #expect(ledger.flush() == Batch())
        ledger.subscribe(a)
        _ = ledger.flush()
        _ = ledger.confirmedSubscribe(a)
        ledger.unsubscribe(a)
        _ = ledger.flush()
        ledger.subscribe(a)
        #expect(ledger.revoked(a) == false, "the confirmation of what was asked")
        #expect(ledger.flush() == Batch(subscribe: [a]))
    }

    @Test func leftAndWantedAgainInOneTurnStandsAtOnce() {
        var ledger = SubscriptionLedger()
        ledger.connected()
        ledger.subscribe(a)
        _ = ledger.flush()
        _ = ledger.confirmedSubscribe(a)
        ledger.unsubscribe(a)
        ledger.subscribe(a)
        #expect(ledger.flush() == Batch(standing: [a]))
        #expect(ledger.flush() == Batch())
    }

    @Test func leftAndWantedAgainWhileBeingSubscribedStandsWithTheOneConfirmation() {
        var ledger = SubscriptionLedger()
        ledger.connected()
        ledger.subscribe(a)
        _ = ledger.flush()
        ledger.unsubscribe(a)
        ledger.subscribe(a)
        #expect(ledger.flush() == Batch())
        #expect(ledger.confirmedSubscribe(a) == true)
    }

    @Test func aLostConnectionLosesAllAndANewOneBringsTheWantedOnesBack() {
        var ledger = SubscriptionLedger()
        ledger.connected()
        for room in [a, b] { ledger.subscribe(room) }
        _ = ledger.flush()
        _ = ledger.confirmedSubscribe(a)
        ledger.unsubscribe(b)
        ledger.disconnected()
        #expect(ledger.wanted == [a])
        #expect(!ledger.isWanted(b))
        ledger.connected()
        #expect(ledger.flush() == Batch(subscribe: [a]))
        #expect(ledger.confirmedSubscribe(a) == true)
    }

    @Test func whatIsLeftWhileDisconnectedIsForgotten() {
        var ledger = SubscriptionLedger()
        ledger.subscribe(a)
        ledger.unsubscribe(a)
        ledger.connected()
        #expect(ledger.flush() == Batch())
    }

    @Test func confirmationsThatNobodyAskedForAreIgnored() {
        var ledger = SubscriptionLedger()
        ledger.connected()
        #expect(ledger.confirmedSubscribe(a) == false)
        ledger.confirmedUnsubscribe(a)
        ledger.unsubscribe(a)
        #expect(ledger.flush() == Batch())
    }

    @Test func afterAnyStoryEveryWantedRoomStandsAndEveryOtherIsForgotten() throws {
        var random = SystemRandomNumberGenerator()
        for _ in 0..<300 {
            var ledger = SubscriptionLedger()
            // What Redis does with the commands, in order, each confirmed at some later time.
            var redis: Set<RoomName> = []
            var unconfirmed: [(room: RoomName, isSubscribe: Bool)] = []
            var standing: Set<RoomName> = []
            func send(_ batch: Batch) {
                unconfirmed += batch.subscribe.map { ($0, true) } + batch.unsubscribe.map { ($0, false) }
                redis.formUnion(batch.subscribe)
                redis.subtract(batch.unsubscribe)
                standing.formUnion(batch.standing)
            }
            func confirm() {
                guard !unconfirmed.isEmpty else { return }
                let (room, isSubscribe) = unconfirmed.removeFirst()
                if isSubscribe {
                    if ledger.confirmedSubscribe(room) { standing.insert(room) }
                } else {
                    ledger.confirmedUnsubscribe(room)
                }
            }
            ledger.connected()
            for _ in 0..<60 {
                let room = Bool.random(using: &random) ? a : b
                switch Int.random(in: 0..<9, using: &random) {
                case 0...2:
                    ledger.subscribe(room)
                    standing.remove(room)
                case 3...4:
                    ledger.unsubscribe(room)
                    standing.remove(room)
                case 5...6: send(ledger.flush())
                case 7: confirm()
                default:
                    ledger.disconnected()
                    redis = []
                    unconfirmed = []
                    standing = []
                    ledger.connected()
                }
                #expect(standing.isSubset(of: redis), "never said before it is so")
            }
            while true {
                let batch = ledger.flush()
                send(batch)
                if batch == Batch(), unconfirmed.isEmpty { break }
                confirm()
            }
            #expect(redis == Set(ledger.wanted))
            #expect(standing == Set(ledger.wanted))
        }
    }
}

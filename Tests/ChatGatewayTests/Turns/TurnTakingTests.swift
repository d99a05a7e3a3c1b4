import NIOCore
import Testing

@testable import ChatGateway

@Suite("Taking turns")
struct TurnTakingTests {
    private func at(_ microseconds: Int64) -> NIODeadline {
        .uptimeNanoseconds(1_000_000) + .microseconds(microseconds)
    }

    @Test("Who comes alone is served at once")
    func alone() {
        var turns = TurnTaking<Int>(rest: .asLong)
        #expect(turns.arrived(at: at(0)) == true)
        turns.ended(at: at(100))
        #expect(turns.wakeUp(at: at(100)) == nil)
        #expect(turns.arrived(at: at(200)) == true)
    }

    @Test("Several are served in one slice; who comes when it is used up, waits for as long as they took")
    func rest() {
        var turns = TurnTaking<Int>(rest: .asLong)
        #expect(turns.arrived(at: at(0)) == true)
        #expect(turns.arrived(at: at(50)) == false, "another is served")
        turns.ended(at: at(80))
        #expect(turns.arrived(at: at(90)) == true, "the slice is not used up")
        turns.ended(at: at(260))
        // 250 in all.
        #expect(turns.arrived(at: at(509)) == false)
        turns.waits(1, address: "a")
        turns.waits(2, address: "a")
        #expect(turns.wakeUp(at: at(270)) == at(510))
        #expect(turns.next(at: at(509)) == nil)
        #expect(turns.next(at: at(510)) == 1)
        turns.ended(at: at(609))
        #expect(turns.next(at: at(609)) == 2, "99 are less than a slice")
        turns.ended(at: at(709))
        #expect(turns.arrived(at: at(907)) == false)
        #expect(turns.arrived(at: at(908)) == true)
    }

    @Test("Where a short rest will do, it is short")
    func shortRest() {
        var turns = TurnTaking<Int>(rest: .short)
        #expect(turns.arrived(at: at(0)) == true)
        turns.ended(at: at(300))
        turns.waits(1, address: "a")
        turns.waits(2, address: "b")
        #expect(turns.wakeUp(at: at(300)) == at(320))
        #expect(turns.next(at: at(319)) == nil)
        #expect(turns.next(at: at(320)) == 1)
        turns.ended(at: at(420))
        #expect(turns.next(at: at(421)) == nil)
        #expect(turns.next(at: at(440)) == 2)
    }

    @Test("Nobody overtakes who waits, though the rest is over")
    func order() {
        var turns = TurnTaking<Int>(rest: .asLong)
        #expect(turns.arrived(at: at(0)) == true)
        turns.ended(at: at(10))
        turns.waits(1, address: "a")
        #expect(turns.arrived(at: at(1000)) == false)
        // After a turn that took next to nothing others still come in between.
        #expect(turns.wakeUp(at: at(1000)) == at(1020))
        #expect(turns.next(at: at(1020)) == 1)
        turns.ended(at: at(1021))
        #expect(turns.next(at: at(1021)) == nil)
        #expect(turns.arrived(at: at(1022)) == true)
    }

    @Test("Who rests anyway begins a new slice")
    func restInBetween() {
        var turns = TurnTaking<Int>(rest: .asLong)
        for time in stride(from: Int64(0), to: 3_000, by: 300) {
            #expect(turns.arrived(at: at(time)) == true)
            turns.ended(at: at(time + 150))
        }
    }
}

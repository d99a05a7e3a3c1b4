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
        var turns = TurnTaking<Int>()
        #expect(turns.arrived(at: at(0)) == true)
        turns.ended(at: at(100))
        #expect(turns.wakeUp(at: at(100)) == nil)
        #expect(turns.arrived(at: at(200)) == true)
    }

    @Test("Who comes while another is served, or in the rest after it, waits for as long as that one took")
    func rest() {
        var turns = TurnTaking<Int>()
        #expect(turns.arrived(at: at(0)) == true)
        #expect(turns.arrived(at: at(50)) == false)
        turns.ended(at: at(100))
        #expect(turns.arrived(at: at(199)) == false)
        turns.waits(1, address: "a")
        #expect(turns.wakeUp(at: at(120)) == at(200))
        #expect(turns.next(at: at(205)) == 1)
        turns.ended(at: at(405))
        #expect(turns.arrived(at: at(604)) == false)
        #expect(turns.arrived(at: at(605)) == true)
    }

    @Test("Nobody overtakes who waits, though the rest is over")
    func order() {
        var turns = TurnTaking<Int>()
        #expect(turns.arrived(at: at(0)) == true)
        turns.ended(at: at(10))
        turns.waits(1, address: "a")
        #expect(turns.arrived(at: at(1000)) == false)
        // After a turn that took next to nothing others still come in between.
        #expect(turns.wakeUp(at: at(1000)) == at(1020))
        #expect(turns.next(at: at(1020)) == 1)
        turns.ended(at: at(1021))
        #expect(turns.next(at: at(1021)) == nil)
        turns.ended(at: at(1022))
        #expect(turns.arrived(at: at(1041)) == true)
    }
}

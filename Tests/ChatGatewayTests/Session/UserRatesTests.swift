import ChatHub
import ChatProtocol
import NIOCore
import TestSupport
import Testing

@testable import ChatGateway

@Suite("What one user may cost the store")
struct UserRatesTests {
    private let alice = UserName.of("alice")

    private func at(_ milliseconds: Int64) -> NIODeadline {
        .uptimeNanoseconds(1_000_000_000) + .milliseconds(milliseconds)
    }

    @Test("Who has something left may take more than that, and waits until it is paid for; others do not")
    func debt() {
        let rates = RequestRates(perSecond: 100, burst: 10)
        #expect(rates.take(999, of: "alice", at: at(0)) == nil)
        #expect(rates.take(1000, of: "alice", at: at(0)) == nil)
        #expect(rates.take(of: "alice", at: at(0)) == 10_000)
        #expect(rates.take(of: "bob", at: at(0)) == nil)
        #expect(rates.take(of: "alice", at: at(9_999)) == 1)
        #expect(rates.take(of: "alice", at: at(10_000)) == nil)
    }

    @Test("What is known only afterwards is charged afterwards")
    func charges() {
        let rates = RequestRates(perSecond: 1, burst: 3)
        #expect(rates.wait(of: "alice", at: at(0)) == nil)
        for _ in 0..<5 { rates.charge(1, to: "alice", at: at(0)) }
        #expect(rates.wait(of: "alice", at: at(0)) == 3000)
        #expect(rates.wait(of: "alice", at: at(3000)) == nil)
        #expect(rates.wait(of: "bob", at: at(0)) == nil)
    }

    @Test("A page of members costs as many as the room has, as the store looks at all of them")
    func members() {
        let rates = UserRates(reads: RequestRates(perSecond: 100, burst: 10))
        func ask(_ count: Int) -> Int? {
            let wait = rates.reads.take(count, of: alice.text, at: at(0))
            let roster = Roster(members: [alice], count: 5000, hasMore: true)
            if wait == nil { rates.charge(alice, for: roster, asked: count, at: at(0)) }
            return wait
        }
        #expect(ask(1) == nil)
        #expect(ask(1) == 40_010)
    }

    @Test("Without a limit nothing is counted")
    func unlimited() {
        let rates = RequestRates(perSecond: 0)
        rates.charge(1000, to: "alice", at: at(0))
        #expect(rates.wait(of: "alice", at: at(0)) == nil)
        #expect(rates.take(1000, of: "alice", at: at(0)) == nil)
    }
}

import NIOCore
import Testing

@testable import ChatGateway

@Suite("A budget of frames")
struct FrameBudgetTests {
    private let start = NIODeadline.uptimeNanoseconds(1_000_000_000)

    @Test("Two seconds' worth may come at once, and then as many as are allowed a second")
    func burst() {
        var budget = FrameBudget(framesPerSecond: 100, at: start)
        #expect(budget.spend(200, at: start) == nil)
        #expect(budget.spend(1, at: start) == .milliseconds(10))
        #expect(budget.spend(99, at: start + .milliseconds(500)) == .milliseconds(500))
        #expect(budget.spend(100, at: start + .seconds(3)) == nil)
    }

    @Test("Debt is paid by waiting, however many frames one read has brought")
    func debt() {
        var budget = FrameBudget(framesPerSecond: 100, at: start)
        #expect(budget.spend(1200, at: start) == .seconds(10))
        #expect(budget.spend(0, at: start + .seconds(10)) == nil)
        #expect(budget.spend(1, at: start + .seconds(10)) == .milliseconds(10))
    }

    @Test("Silence saves no more than the burst")
    func silence() {
        var budget = FrameBudget(framesPerSecond: 100, at: start)
        #expect(budget.spend(200, at: start) == nil)
        #expect(budget.spend(201, at: start + .hours(1)) == .milliseconds(10))
    }

    @Test("Bytes count, too: the longest message may come at once, and then as many as are allowed a second")
    func bytes() {
        var budget = FrameBudget(framesPerSecond: 100, bytesPerSecond: 1000, longest: 500, at: start)
        #expect(budget.spend(1, bytes: 500, at: start) == nil)
        #expect(budget.spend(1, bytes: 500, at: start) == .milliseconds(500))
        #expect(budget.spend(0, at: start + .milliseconds(500)) == nil)
        #expect(budget.spend(1, bytes: 501, at: start + .hours(1)) == .milliseconds(1))
        // The longer of two waits counts.
        #expect(budget.spend(1000, bytes: 10, at: start + .hours(1)) == .seconds(8))
    }

    @Test("Without a limit nobody waits, and nobody looks at the clock")
    func none() {
        var budget = FrameBudget(framesPerSecond: 0, at: start)
        func clock() -> NIODeadline {
            Issue.record("the clock was read")
            return start
        }
        #expect(budget.spend(1_000_000, at: clock()) == nil)
    }
}

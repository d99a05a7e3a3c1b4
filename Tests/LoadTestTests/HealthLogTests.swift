import NIOCore
import Testing

@testable import LoadTest

@Suite("How long a fault was felt")
struct HealthLogTests {
    /// Ten looks a second, each as the closure says.
    private func log(
        seconds: Double, _ look: (Double) -> (isComplete: Bool, age: Int64, connects: Int)
    ) -> HealthLog {
        var log = HealthLog()
        for tenth in 1...Int(seconds * 10) {
            let second = Double(tenth) / 10
            let seen = look(second)
            log.look(
                at: second, isComplete: seen.isComplete, oldest: .milliseconds(seen.age), connects: seen.connects)
        }
        return log
    }

    @Test("From the fault until everybody was there and everything arrived for a second")
    func healed() throws {
        // Clients come back after 2 s, and messages hang for another second.
        let log = log(seconds: 20) { ($0 < 5 || $0 >= 7, (5..<8).contains($0) ? 900 : 10, 0) }
        let healed = try #require(log.healed(from: 5, ended: 5.1))
        #expect(abs(healed - 3) < 0.11)
    }

    @Test("A moment of health in between does not count")
    func relapse() throws {
        let log = log(seconds: 20) { ($0 < 5 || (6..<6.5).contains($0) || $0 > 9, 0, 0) }
        let healed = try #require(log.healed(from: 5, ended: 5))
        #expect(healed > 3.9 && healed < 4.3)
    }

    @Test("A fault that nobody felt took no time, also a long one")
    func notFelt() {
        let log = log(seconds: 20) { _ in (true, 20, 0) }
        #expect(log.healed(from: 5, ended: 5) == 0)
        #expect(log.healed(from: 5, ended: 15) == 0)
    }

    @Test("One that is felt only later counts from its beginning, and is not over before it is done")
    func lateAndLong() throws {
        // A paused node: nothing is old at first.
        let paused = log(seconds: 20) { (true, (5.6..<7).contains($0) ? 1000 : 0, 0) }
        #expect(try #require(paused.healed(from: 5, ended: 5)) > 1.9)
        let rolling = log(seconds: 20) { (!(6..<7).contains($0), 0, 0) }
        #expect(try #require(rolling.healed(from: 5, ended: 10)) >= 5)
    }

    @Test("What was never well again is not healed")
    func never() {
        let log = log(seconds: 20) { ($0 < 5, 0, 0) }
        #expect(log.healed(from: 5, ended: 5) == nil)
    }

    @Test("The peak is that of any second, wherever it begins")
    func peak() {
        // 100 connections between 5.5 and 6.4, one a second otherwise.
        let log = log(seconds: 10) { second in
            (true, 0, Int(second) + min(max(Int((second - 5.4) * 100), 0), 100))
        }
        #expect((100...102).contains(log.peakConnects(from: 0)))
        #expect(log.peakConnects(from: 7) <= 2)
    }

    @Test("Where nobody could look for seconds the peak is what came in them, a second")
    func rareLooks() {
        var log = HealthLog()
        log.look(at: 1, isComplete: true, oldest: .zero, connects: 10)
        log.look(at: 4, isComplete: true, oldest: .zero, connects: 40)
        #expect(log.peakConnects(from: 0) == 10)
        #expect(HealthLog().peakConnects(from: 0) == 0)
    }
}

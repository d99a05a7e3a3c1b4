import Foundation
import Testing

@Suite("A cluster whose store and nodes fail in any order")
struct RandomScheduleTests {
    /// `ROOST_SEED=N` replays one schedule; `ROOST_SEEDS=N` runs so many.
    static let seeds: [UInt64] = {
        let environment = ProcessInfo.processInfo.environment
        if let seed = environment["ROOST_SEED"].flatMap({ UInt64($0) }) { return [seed] }
        return Array(0..<(environment["ROOST_SEEDS"].flatMap { UInt64($0) } ?? 80))
    }()

    @Test(arguments: 0..<UInt64(4))
    func everyMemberHasWhatTheLogHasOrWasTold(part: UInt64) throws {
        for seed in Self.seeds where seed % 4 == part {
            let schedule = try RandomSchedule(seed: seed)
            schedule.run(steps: 300)
            schedule.heal()
            if schedule.complaints.isEmpty { continue }
            let story = schedule.trace.enumerated().map { "\($0) \($1)" }.joined(separator: "\n")
            Issue.record("ROOST_SEED=\(seed)\n\(schedule.complaints.joined(separator: "\n"))\n\(story)")
        }
    }
}

import TestSupport
import Testing

@Suite("A cluster whose store and nodes fail in any order")
struct RandomScheduleTests {
    @Test func everyMemberHasWhatTheLogHasOrWasTold() async throws {
        try await RandomSchedules.run(100, and: [4985]) { random in
            let schedule = try RandomSchedule(seed: random.next(), steps: Array(0..<300))
            guard !schedule.complaints.isEmpty else { return }
            throw Misbehaviour(description: try schedule.shortened().story)
        }
    }
}

import Foundation

/// Runs a story with many seeds; `ROOST_SCHEDULES` times as many when it is set. A seed that fails is named in the error,
/// and runs alone when `ROOST_SEED` is set to it.
package enum RandomSchedules {
    package static func run(
        _ count: Int, _ story: (inout SeededGenerator) throws -> Void
    ) throws {
        let environment = ProcessInfo.processInfo.environment
        let only = environment["ROOST_SEED"].flatMap { UInt64($0) }
        let times = environment["ROOST_SCHEDULES"].flatMap { UInt64($0) } ?? 1
        let seeds = only.map { $0...$0 } ?? 1...max(1, UInt64(count) * times)
        for seed in seeds {
            var random = SeededGenerator(seed: seed)
            do {
                try story(&random)
            } catch {
                throw Misbehaviour(description: "with ROOST_SEED=\(seed): \(error)")
            }
        }
    }
}

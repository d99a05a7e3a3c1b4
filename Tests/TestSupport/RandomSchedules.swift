import Foundation

/// Runs a story with many seeds: the first ones, and those with which something was found once. Seeds that fail are named
/// in the error.
///
/// The same in every run, so that a change is judged by what it changes. Who looks for more goes further:
/// `ROOST_SEEDS=7` runs one, `ROOST_SEEDS=1-5000` so many.
package enum RandomSchedules {
    /// - Parameters:
    ///   - count: seeds, from 1 on.
    ///   - known: seeds that run every time.
    package static func run(
        _ count: Int, and known: [UInt64] = [], _ story: (inout SeededGenerator) throws -> Void
    ) async throws {
        var failures: [String] = []
        for seed in chosen ?? known + (1...UInt64(count)) {
            var random = SeededGenerator(seed: seed)
            do {
                try story(&random)
            } catch {
                failures.append("with ROOST_SEEDS=\(seed): \(error)")
            }
            // Other tests run on the same few threads, and some of them have a deadline.
            await Task.yield()
        }
        guard failures.isEmpty else { throw Misbehaviour(description: failures.joined(separator: "\n")) }
    }

    private static let chosen: [UInt64]? = {
        let bounds = ProcessInfo.processInfo.environment["ROOST_SEEDS"]?.split(separator: "-").compactMap { UInt64($0) }
        guard let first = bounds?.first, let last = bounds?.last, first <= last else { return nil }
        return Array(first...last)
    }()
}

import Foundation

/// Runs a story with many seeds: fresh ones in every run, and those with which something was found once. Seeds that fail
/// are named in the error.
///
/// `ROOST_SEEDS=7` runs one, `ROOST_SEEDS=1-5000` so many.
package enum RandomSchedules {
    /// - Parameters:
    ///   - count: fresh seeds.
    ///   - known: seeds that run every time.
    package static func run(
        _ count: Int, and known: [UInt64] = [], _ story: (inout SeededGenerator) throws -> Void
    ) async throws {
        var failures: [String] = []
        for seed in chosen ?? known + fresh(count) {
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

    private static func fresh(_ count: Int) -> [UInt64] {
        let first = UInt64.random(in: 1...1_000_000_000)
        return Array(first..<first + UInt64(count))
    }

    private static let chosen: [UInt64]? = {
        let bounds = ProcessInfo.processInfo.environment["ROOST_SEEDS"]?.split(separator: "-").compactMap { UInt64($0) }
        guard let first = bounds?.first, let last = bounds?.last, first <= last else { return nil }
        return Array(first...last)
    }()
}

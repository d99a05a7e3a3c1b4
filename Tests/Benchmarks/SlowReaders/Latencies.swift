import Synchronization

/// How long messages took to those who read, in milliseconds.
final class Latencies: Sendable {
    private let values = Mutex<[Double]>([])

    func add(_ milliseconds: Double) { values.withLock { $0.append(milliseconds) } }

    /// All since the last call.
    @discardableResult
    func take() -> [Double] {
        values.withLock { values in
            defer { values = [] }
            return values
        }
    }

    static func percentile(_ share: Double, of sorted: [Double]) -> Double {
        sorted.isEmpty ? 0 : sorted[min(sorted.count - 1, Int(Double(sorted.count) * share))]
    }
}

package import Histogram

/// How many deliveries took how long: what a histogram recorded, in a form that can be kept and put together.
package struct LatencySpread: Sendable, Codable, Equatable {
    /// Microseconds, ascending: each stands for what was recorded near it.
    package private(set) var microseconds: [UInt64] = []
    /// How many of each.
    package private(set) var counts: [UInt64] = []

    package init() {}

    package init(_ histogram: Histogram<UInt64>) {
        for recorded in histogram.recordedValues() {
            microseconds.append(recorded.value)
            counts.append(recorded.count)
        }
    }

    /// For a part of a run: to one percent, up to ten minutes.
    static func histogram() -> Histogram<UInt64> {
        Histogram(highestTrackableValue: LoadTally.longest, numberOfSignificantValueDigits: .two)
    }

    package var count: UInt64 { counts.reduce(0, +) }

    /// Milliseconds that so many percent did not exceed; 0 when nothing was recorded.
    package func milliseconds(atPercentile percentile: Double) -> Double {
        let total = count
        guard total > 0 else { return 0 }
        let wanted = max(1, UInt64((Double(total) * min(percentile, 100) / 100).rounded(.up)))
        var sum: UInt64 = 0
        for (value, count) in zip(microseconds, counts) {
            sum += count
            if sum >= wanted { return Double(value) / 1000 }
        }
        return Double(microseconds.last ?? 0) / 1000
    }

    package mutating func add(_ other: LatencySpread) {
        var sums = Dictionary(uniqueKeysWithValues: zip(microseconds, counts))
        sums.merge(zip(other.microseconds, other.counts), uniquingKeysWith: +)
        let sorted = sums.sorted { $0.key < $1.key }
        microseconds = sorted.map(\.key)
        counts = sorted.map(\.value)
    }

    private enum CodingKeys: CodingKey {
        case microseconds, counts
    }

    package init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        microseconds = try container.decode([UInt64].self, forKey: .microseconds)
        counts = try container.decode([UInt64].self, forKey: .counts)
        let isAscending = zip(microseconds, microseconds.dropFirst()).allSatisfy { $0 < $1 }
        guard microseconds.count == counts.count, isAscending, counts.allSatisfy({ $0 < 1 << 50 }) else {
            throw DecodingError.dataCorruptedError(
                forKey: .counts, in: container, debugDescription: "not a count for each ascending latency")
        }
    }
}

/// Latencies in milliseconds, with what they were taken from.
package struct Latency: Sendable, Codable, Equatable {
    package var count: UInt64
    package var p50: Double
    package var p90: Double
    package var p99: Double
    package var p999: Double
    package var max: Double
    package var spread: LatencySpread

    package init(_ spread: LatencySpread) {
        count = spread.count
        p50 = spread.milliseconds(atPercentile: 50)
        p90 = spread.milliseconds(atPercentile: 90)
        p99 = spread.milliseconds(atPercentile: 99)
        p999 = spread.milliseconds(atPercentile: 99.9)
        max = spread.milliseconds(atPercentile: 100)
        self.spread = spread
    }
}

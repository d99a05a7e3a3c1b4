/// What one loop's hub counted. Confined to the loop; read by copying.
package struct HubMetrics: Sendable, Equatable {
    /// Messages written to live members, one per member.
    package var deliveries = 0
    package var deliveredBytes = 0
    /// Times that a member's socket was written to: one for all that a turn of the loop brought it, answers included.
    package var writes = 0
    /// Messages that members got late, from the ring or the log: resumes and slow readers.
    package var caughtUpMessages = 0
    /// The bytes of these.
    package var caughtUpBytes = 0
    /// Reads of logs for members that resumed, asked for history, or were behind the ring.
    package var logReads = 0
    /// How often somebody was served by a read that was made for another.
    package var mergedReads = 0
    /// Resumes that needed no read, because memory reached back far enough.
    package var ringResumes = 0
    /// How often a live member fell behind because its socket took no more.
    package var slowMembers = 0
    /// Signals that members did not get because their sockets took no more.
    package var droppedSignals = 0
    /// From the publishing node's append to the last write on this loop.
    package var latency = LatencyHistogram()

    package init() {}

    package static func + (left: HubMetrics, right: HubMetrics) -> HubMetrics {
        var sum = left
        sum.deliveries += right.deliveries
        sum.deliveredBytes += right.deliveredBytes
        sum.writes += right.writes
        sum.caughtUpMessages += right.caughtUpMessages
        sum.caughtUpBytes += right.caughtUpBytes
        sum.logReads += right.logReads
        sum.mergedReads += right.mergedReads
        sum.ringResumes += right.ringResumes
        sum.slowMembers += right.slowMembers
        sum.droppedSignals += right.droppedSignals
        sum.latency.add(right.latency)
        return sum
    }
}

/// Durations in fixed buckets, as Prometheus wants them.
package struct LatencyHistogram: Sendable, Equatable {
    /// Upper bounds, microseconds.
    package static let bounds: [UInt64] = [
        250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000,
        5_000_000,
    ]

    /// One count per bound, and a last one for what is above all bounds.
    package private(set) var counts = [Int](repeating: 0, count: LatencyHistogram.bounds.count + 1)
    package private(set) var sumMicroseconds: UInt64 = 0

    package init() {}

    package var count: Int { counts.reduce(0, +) }

    package mutating func record(microseconds: UInt64) {
        let index = Self.bounds.firstIndex { microseconds <= $0 } ?? Self.bounds.count
        counts[index] += 1
        sumMicroseconds += microseconds
    }

    package mutating func add(_ other: LatencyHistogram) {
        for index in counts.indices { counts[index] += other.counts[index] }
        sumMicroseconds += other.sumMicroseconds
    }
}

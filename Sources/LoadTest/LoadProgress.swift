import Histogram

/// The state of a load test at one moment, and what was seen since the moment before.
package struct LoadProgress: Sendable, Equatable {
    package enum Phase: String, Sendable {
        case connecting, running, finishing
    }

    package var phase: Phase
    package var seconds: Double
    package var clients: Int
    package var counts: LoadTally.Counts
    /// A second.
    package var sentRate: Double
    package var deliveryRate: Double
    /// Milliseconds; nil where nothing was delivered.
    package var p50: String?
    package var p99: String?

    init(phase: Phase, seconds: Double, clients: Int, tally: LoadTally, before: LoadTally.Counts?, interval: Double) {
        self.phase = phase
        self.seconds = seconds
        self.clients = clients
        counts = tally.counts
        sentRate = Double(counts.sent - (before?.sent ?? 0)) / max(interval, 0.001)
        deliveryRate = Double(counts.delivered - (before?.delivered ?? 0)) / max(interval, 0.001)
        var latency = tally.sameNode
        latency.add(tally.otherNode)
        if latency.totalCount > 0 {
            p50 = Decimals.milliseconds(latency.valueAtPercentile(50))
            p99 = Decimals.milliseconds(latency.valueAtPercentile(99))
        }
    }

    /// One line for people.
    package var line: String {
        var parts = ["\(Decimals.fixed(seconds, digits: 0)) s \(phase.rawValue)"]
        parts.append("\(Decimals.grouped(counts.connected))/\(Decimals.grouped(clients)) clients")
        if phase != .connecting {
            parts.append("sent \(Decimals.grouped(counts.sent)) (\(Decimals.grouped(Int(sentRate)))/s)")
            parts.append("acked \(Decimals.grouped(counts.acknowledged))")
            parts.append("delivered \(Decimals.grouped(counts.delivered)) (\(Decimals.grouped(Int(deliveryRate)))/s)")
            if let p50, let p99 { parts.append("p50 \(p50) ms p99 \(p99) ms") }
        }
        let wrong = counts.doubled + counts.outOfOrder + counts.misplaced + counts.refused
        if wrong > 0 { parts.append("wrong \(wrong)") }
        if counts.lostConnections > 0 { parts.append("lost connections \(counts.lostConnections)") }
        return parts.joined(separator: "  ")
    }
}

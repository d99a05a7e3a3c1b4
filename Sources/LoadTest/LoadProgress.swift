/// What happens in a run, for those who look on.
package enum LoadEvent: Sendable {
    case progress(LoadProgress)
    /// Something that is told once: a fault, a start.
    case note(String)
}

/// The state of a load test at one moment, and what was seen since the moment before.
package struct LoadProgress: Sendable, Equatable {
    package enum Phase: String, Sendable {
        case connecting, running, finishing
    }

    package var phase: Phase
    /// Since the beginning of connecting; from the first message on, since that.
    package var seconds: Double
    /// Of the messages' time, how much is over: 0 to 1.
    package var fraction: Double
    package var clients: Int
    package var counts: LoadCounts
    package var connected: Int
    package var connectedByNode: [String: Int]
    /// A second.
    package var sentRate: Double
    package var deliveryRate: Double
    /// Of what was delivered since the moment before.
    package var latency: LatencySpread

    /// One line for people.
    package var line: String {
        var parts = ["\(Decimals.fixed(seconds, digits: 0)) s \(phase.rawValue)"]
        parts.append("\(Decimals.grouped(connected))/\(Decimals.grouped(clients)) clients")
        if phase != .connecting {
            parts.append("sent \(Decimals.grouped(counts.sent)) (\(Decimals.grouped(Int(sentRate)))/s)")
            parts.append("acked \(Decimals.grouped(counts.acknowledged))")
            let delivered = Decimals.grouped(counts.deliveries.delivered)
            parts.append("delivered \(delivered) (\(Decimals.grouped(Int(deliveryRate)))/s)")
            if let percentiles { parts.append(percentiles) }
        }
        if let troubles { parts.append(troubles) }
        return parts.joined(separator: "  ")
    }

    var percentiles: String? {
        guard latency.count > 0 else { return nil }
        let p50 = Decimals.milliseconds(latency.milliseconds(atPercentile: 50))
        let p99 = Decimals.milliseconds(latency.milliseconds(atPercentile: 99))
        return "p50 \(p50) ms p99 \(p99) ms"
    }

    var troubles: String? {
        let all = counts.deliveries
        let wrong = all.doubled + all.outOfOrder + counts.misplaced + counts.refused + counts.presenceBroken
        var parts: [String] = []
        if wrong > 0 { parts.append("wrong \(wrong)") }
        if counts.lostConnections > 0 { parts.append("lost connections \(counts.lostConnections)") }
        return parts.isEmpty ? nil : parts.joined(separator: "  ")
    }
}

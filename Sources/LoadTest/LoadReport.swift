import ChatClient
import FoundationEssentials
package import Histogram

/// What a load test found.
package struct LoadReport: Sendable, Codable, Equatable {
    /// Milliseconds.
    package struct Latency: Sendable, Codable, Equatable {
        package var count: UInt64
        package var p50: Double
        package var p90: Double
        package var p99: Double
        package var p999: Double
        package var max: Double

        package init(_ histogram: Histogram<UInt64>) {
            func milliseconds(_ percentile: Double) -> Double {
                histogram.totalCount == 0 ? 0 : Double(histogram.valueAtPercentile(percentile)) / 1000
            }
            count = histogram.totalCount
            p50 = milliseconds(50)
            p90 = milliseconds(90)
            p99 = milliseconds(99)
            p999 = milliseconds(99.9)
            max = milliseconds(100)
        }
    }

    package var run: String
    package var clients: Int
    package var rooms: Int
    package var urls: [String]
    package var nodes: [String]
    package var rate: Double
    /// Seconds from the first message to the last.
    package var seconds: Double
    package var counts: LoadTally.Counts
    package var sameNode: Latency
    package var otherNode: Latency
    package var acknowledgement: Latency
    package var offences: [Offence]

    package init(plan: LoadPlan, tally: LoadTally, nodes: [String]) {
        run = plan.run
        clients = plan.clients
        rooms = plan.rooms
        urls = plan.addresses.map(\.description)
        self.nodes = nodes.sorted()
        rate = plan.rate
        seconds = plan.duration.inSeconds
        counts = tally.counts
        sameNode = Latency(tally.sameNode)
        otherNode = Latency(tally.otherNode)
        acknowledgement = Latency(tally.acknowledgement)
        offences = tally.offences
    }

    /// Everything that was sent came to everyone, once and in order.
    package var isClean: Bool {
        counts.missing == 0 && counts.doubled == 0 && counts.outOfOrder == 0 && counts.misplaced == 0
            && counts.refused == 0 && counts.unanswered == 0
    }

    package func json() throws -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        return String(decoding: try encoder.encode(self), as: UTF8.self)
    }

    /// For people, some lines.
    package var table: String {
        let rate = Decimals.fixed(Double(counts.sent) / max(seconds, 0.001), digits: 0)
        let deliveries = Decimals.fixed(Double(counts.delivered) / max(seconds, 0.001), digits: 0)
        var lines = [
            "clients \(Decimals.grouped(clients)) in \(Decimals.grouped(rooms)) rooms on "
                + (nodes.count == 1 ? "1 node" : "\(nodes.count) nodes")
                + (nodes.isEmpty ? "" : " (\(nodes.prefix(8).joined(separator: ", "))\(nodes.count > 8 ? ", …" : ""))"),
            "sent \(Decimals.grouped(counts.sent)) (\(rate)/s), acknowledged \(Decimals.grouped(counts.acknowledged)), "
                + "delivered \(Decimals.grouped(counts.delivered)) (\(deliveries)/s)",
            "",
            Self.row("latency in ms", ["count", "p50", "p90", "p99", "p99.9", "max"]),
            Self.row("to the same node", sameNode), Self.row("to other nodes", otherNode),
            Self.row("acknowledgement", acknowledgement), "",
            "missing \(counts.missing) (acknowledged \(counts.acknowledgedButMissing))  doubled \(counts.doubled)  "
                + "out of order \(counts.outOfOrder)  misplaced \(counts.misplaced)  refused \(counts.refused)  "
                + "unanswered \(counts.unanswered)",
            "lost connections \(counts.lostConnections)  moved \(counts.moved)  "
                + "sent again \(counts.retried)  told losses \(counts.toldLosses)",
        ]
        if !offences.isEmpty { lines.append("first offenders:") }
        for offence in offences {
            let place = [offence.room, offence.position, offence.node].filter { !$0.isEmpty }.joined(separator: " ")
            lines.append("  \(offence.kind.rawValue): \(offence.user) \(place) (\(offence.detail))")
        }
        return lines.joined(separator: "\n")
    }

    private static func row(_ name: String, _ latency: Latency) -> String {
        guard latency.count > 0 else { return row(name, ["0", "-", "-", "-", "-", "-"]) }
        let values = [latency.p50, latency.p90, latency.p99, latency.p999, latency.max]
        return row(
            name, [Decimals.grouped(Int(latency.count))] + values.map { Decimals.milliseconds(UInt64($0 * 1000)) })
    }

    private static func row(_ name: String, _ cells: [String]) -> String {
        func spaces(_ count: Int) -> String { String(repeating: " ", count: max(count, 0)) }
        return name + spaces(18 - name.count) + cells.map { spaces(11 - $0.count) + $0 }.joined()
    }
}

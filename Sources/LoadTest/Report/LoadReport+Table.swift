extension LoadReport {
    /// For people, on a terminal.
    package var table: String {
        var lines = [heading, trafficLine, ""]
        lines += TextTable.lines(
            ["latency in ms", "count", "p50", "p90", "p99", "p99.9", "max"],
            [("to the same node", sameNode), ("to other nodes", otherNode), ("acknowledgement", acknowledgement)]
                .map { name, latency in [name] + Self.cells(latency) })
        lines.append("")
        lines += TextTable.lines(
            ["deliveries", "delivered", "missing", "doubled", "out of order", "told lost"],
            [("to the same node", counts.sameNode), ("to other nodes", counts.otherNode)].map { name, deliveries in
                [name]
                    + [
                        deliveries.delivered, deliveries.missing, deliveries.doubled, deliveries.outOfOrder,
                        deliveries.toldLost,
                    ].map(Decimals.grouped)
            })
        lines += ["", messagesLine, connectionsLine]
        if !faults.isEmpty {
            lines.append("")
            lines += TextTable.lines(
                ["fault", "at s", "lasted s", "healed after s", "connects/s", "presence true after s"],
                faults.map(\.cells))
        }
        if !costCells.isEmpty {
            lines.append("")
            lines += TextTable.lines(
                [
                    "cost", "CPU s", "µs/delivery", "memory", "connections", "B/connection", "µs/connect",
                    "Redis ms/call",
                ],
                costCells)
        }
        lines.append("")
        if !offences.isEmpty {
            lines += ["first offenders:"] + offences.map { "  \($0.line)" }
            if let offendersLine { lines.append(offendersLine) }
            lines.append("")
        }
        lines.append(verdict)
        return lines.joined(separator: "\n")
    }

    /// Who took part.
    package var heading: String {
        let names = nodes.prefix(8).joined(separator: ", ") + (nodes.count > 8 ? ", …" : "")
        return "\(Decimals.grouped(clients)) clients in \(Decimals.grouped(rooms)) "
            + (rooms == 1 ? "room" : "rooms")
            + (memberships == clients ? "" : " (\(Decimals.grouped(memberships)) memberships)")
            + " on " + (nodes.count == 1 ? "1 node" : "\(nodes.count) nodes") + (nodes.isEmpty ? "" : " (\(names))")
    }

    /// One row for each process.
    var costCells: [[String]] {
        costs.map(\.cells) + (redis.map { [$0.cells(deliveries: counts.deliveries.delivered)] } ?? [])
            + generators.map(\.cells)
    }

    private var trafficLine: String {
        let rate = Decimals.fixed(Double(counts.sent) / max(seconds, 0.001), digits: 0)
        let delivered = counts.deliveries.delivered
        let deliveries = Decimals.fixed(Double(delivered) / max(seconds, 0.001), digits: 0)
        return
            "\(traffic), \(payload) bytes, \(Decimals.short(seconds)) s: sent \(Decimals.grouped(counts.sent)) (\(rate)/s), "
            + "acknowledged \(Decimals.grouped(counts.acknowledged)), "
            + "delivered \(Decimals.grouped(delivered)) (\(deliveries)/s)"
    }

    /// Where to look first.
    package var offendersLine: String? {
        guard let counts = offencesByNode, !counts.isEmpty else { return nil }
        let nodes = counts.sorted { ($1.value, $0.key) < ($0.value, $1.key) }
        let all = Decimals.grouped(counts.values.reduce(0, +))
        return "\(all) in all: "
            + nodes.prefix(8).map { "\(Decimals.grouped($0.value)) on \($0.key.isEmpty ? "no node" : $0.key)" }
            .joined(separator: ", ") + (nodes.count > 8 ? ", …" : "")
    }

    private var messagesLine: String {
        "messages: sent again \(counts.retried)  unanswered \(counts.unanswered)  refused \(counts.refused)  "
            + "misplaced \(counts.misplaced)  out of sender's order \(counts.sendersOutOfOrder)\n"
            + "          acknowledged and came to nobody \(counts.neverCame) (told: \(counts.neverCameTold))"
    }

    private var connectionsLine: String {
        var parts = [
            "connections: lost \(counts.lostConnections)  moved \(counts.moved)  cut by the test \(counts.cut)"
        ]
        parts.append("most connects in a second \(peakConnects)")
        if let resumeSuccess {
            parts.append(
                "resumed \(Decimals.grouped(counts.resumes)) rooms, \(Decimals.fixed(resumeSuccess * 100, digits: 2)) % whole"
            )
        }
        if counts.gaps + counts.rewinds > 0 { parts.append("gaps told \(counts.gaps)  rewinds \(counts.rewinds)") }
        // Two to a line: some terminals are narrow.
        return stride(from: 0, to: parts.count, by: 2)
            .map { parts[$0..<min($0 + 2, parts.count)].joined(separator: "  ") }
            .joined(separator: "\n             ")
    }

    /// One sentence: were the promises kept?
    package var verdict: String {
        let all = counts.deliveries
        guard !isClean else {
            let told = all.toldLost + counts.neverCameTold
            return told == 0
                ? "kept: every stored message came to every member, once and in order"
                : "kept: every stored message came to every member, once and in order, or its loss was told "
                    + "(\(Decimals.grouped(all.toldLost)) deliveries)"
        }
        let wrong = [
            (all.missing, "missing"), (all.doubled, "doubled"),
            (all.outOfOrder + counts.sendersOutOfOrder, "out of order"), (counts.misplaced, "misplaced"),
            (counts.neverCame, "acknowledged and come to nobody"), (counts.unanswered, "unanswered"),
            (counts.refused, "refused"), (counts.presenceBroken, "with presence not true in time"),
        ].filter { $0.0 > 0 }
        return "BROKEN: " + wrong.map { "\(Decimals.grouped($0.0)) \($0.1)" }.joined(separator: ", ")
    }

    private static func cells(_ latency: Latency) -> [String] {
        guard latency.count > 0 else { return ["0", "-", "-", "-", "-", "-"] }
        return [Decimals.grouped(Double(latency.count))]
            + [latency.p50, latency.p90, latency.p99, latency.p999, latency.max].map(Decimals.milliseconds)
    }
}

extension LoadReport.FaultOutcome {
    var cells: [String] {
        [
            name, Decimals.fixed(began, digits: 1), Decimals.fixed(ended - began, digits: 1),
            healedAfter.map { $0 == 0 ? "not felt" : Decimals.fixed($0, digits: 1) } ?? "never",
            "\(peakConnects)",
            presence.max().map { "\(Decimals.fixed($0, digits: 1)) (\(presence.count) users)" } ?? "-",
        ]
    }
}

extension NodeCost {
    var cells: [String] {
        [
            node, cpuSeconds.map { Decimals.fixed($0, digits: 2) } ?? "-",
            cpuMicrosecondsPerDelivery.map { Decimals.fixed($0, digits: 2) } ?? "-",
            residentBytes.map(Decimals.bytes) ?? "-", connections.map { Decimals.grouped($0) } ?? "-",
            bytesPerConnection.map { Decimals.grouped($0) } ?? "-",
            cpuMicrosecondsPerConnect.map { Decimals.grouped($0) } ?? "-",
            redisMillisecondsPerCall.map { Decimals.fixed($0, digits: 2) } ?? "-",
        ]
    }
}

extension RedisCost {
    func cells(deliveries: Int) -> [String] {
        [
            "Redis", cpuSeconds.map { Decimals.fixed($0, digits: 2) } ?? "-",
            cpuSeconds.map { deliveries > 0 ? Decimals.fixed($0 * 1e6 / Double(deliveries), digits: 2) : "-" } ?? "-",
            Decimals.bytes(memoryBytes), "-", "-", "-", "-",
        ]
    }
}

extension GeneratorCost {
    var cells: [String] {
        [
            "load test", Decimals.fixed(cpuSeconds, digits: 2),
            cpuMicrosecondsPerDelivery.map { Decimals.fixed($0, digits: 2) } ?? "-", Decimals.bytes(Double(peakBytes)),
            "-", "-", "-", "-",
        ]
    }
}

/// Columns of text: the first to the left, the others to the right.
enum TextTable {
    static func lines(_ head: [String], _ rows: [[String]]) -> [String] {
        let all = [head] + rows
        let widths = head.indices.map { column in all.map { column < $0.count ? $0[column].count : 0 }.max() ?? 0 }
        return all.map { row in
            row.enumerated().map { column, cell in
                let space = String(repeating: " ", count: max(0, widths[column] - cell.count))
                return column == 0 ? cell + space : space + cell
            }.joined(separator: "  ")
        }
    }
}

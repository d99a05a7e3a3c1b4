import FoundationEssentials

/// A report as one page that needs nothing else, for somebody who was not there.
package struct ReportPage {
    private let report: LoadReport

    package init(_ report: LoadReport) {
        self.report = report
    }

    package var html: String {
        """
        <!doctype html>
        <html lang="en">
        <head>
        <meta charset="utf-8">
        <meta name="viewport" content="width=device-width, initial-scale=1">
        <title>Load test: \(HTML.escaped(title))</title>
        <style>\(Self.style)</style>
        </head>
        <body>
        <header>
        <h1>Load test: \(HTML.escaped(title))</h1>
        <p class="when">\(HTML.escaped(when)), run \(HTML.escaped(report.run))</p>
        </header>
        <p class="verdict \(report.isClean ? "kept" : "broken")">\(HTML.escaped(verdict))</p>
        <p>\(HTML.escaped(story))</p>
        <p class="dim">A <em>message</em> is sent by one client to one room; its <em>deliveries</em> are its arrivals at all \
        members of that room, the sender included. <em>p99</em> is the latency that 99 of 100 deliveries did not exceed.</p>
        \(tiles)
        \(offences)
        \(faults)
        \(plots)
        <section><h2>Latency</h2>
        <p>From the moment at which a message was due to its arrival, in milliseconds. A node that stalls is charged for \
        everything that waited, not only for the message that it held.</p>
        \(HTML.table(["", "count", "p50", "p90", "p99", "p99.9", "max"], latencies))
        </section>
        <section><h2>Proof</h2>
        <p>Every message has a sender, a number and a position. Every receiver checked every message. A message that \
        stands in the log, or was acknowledged, and did not come is <em>missing</em>, unless a node has said that it is \
        lost (<code>gap</code>, <code>rewind</code>, <code>recovered:false</code>): then it is <em>told lost</em>.</p>
        \(HTML.table(["deliveries", "delivered", "missing", "doubled", "out of order", "told lost"], proof))
        \(HTML.table(["messages", ""], messages))
        </section>
        \(costs)
        </body>
        </html>

        """
    }

    // MARK: - Words

    private var title: String { report.scenario?.replacing("-", with: " ") ?? report.heading }

    private var when: String {
        Date(timeIntervalSince1970: report.startedAt).formatted(
            .iso8601.year().month().day().dateSeparator(.dash).time(includingFractionalSeconds: false)
                .timeSeparator(.colon).dateTimeSeparator(.space)) + " UTC"
    }

    private var verdict: String {
        let text = report.verdict
        return text.prefix(1).uppercased() + text.dropFirst() + "."
    }

    private var story: String {
        let size = report.payload.contains("-") ? "of \(report.payload) bytes" : "of \(report.payload) bytes each"
        let faults = report.faults.map { fault in
            let what = (try? Fault("0s:\(fault.name)").story) ?? fault.name
            return "after \(Decimals.short((fault.began * 10).rounded() / 10)) s \(what)"
        }
        let meanwhile = faults.isEmpty ? "" : " Meanwhile, " + faults.joined(separator: "; ") + "."
        return "\(report.heading), \(report.traffic) \(size), for \(Decimals.short(report.seconds)) s.\(meanwhile)"
    }

    private var tiles: String {
        let latency = report.latency
        let seconds = max(report.seconds, 0.001)
        let all = report.counts.deliveries
        var tiles = [
            ("messages a second", Decimals.rounded(Double(report.counts.sent) / seconds)),
            ("deliveries a second", Decimals.rounded(Double(all.delivered) / seconds)),
            ("p50", Self.milliseconds(latency.p50)), ("p99", Self.milliseconds(latency.p99)),
            ("p99.9", Self.milliseconds(latency.p999)),
            ("missing", Decimals.grouped(all.missing)), ("doubled", Decimals.grouped(all.doubled)),
            ("out of order", Decimals.grouped(all.outOfOrder + report.counts.sendersOutOfOrder)),
        ]
        if let success = report.resumeSuccess {
            tiles.append(("resumed whole", Decimals.fixed(success * 100, digits: success == 1 ? 0 : 2) + " %"))
            tiles.append(("most connects a second", Decimals.grouped(report.peakConnects)))
        }
        return "<div class=\"tiles\">"
            + tiles.map { "<div><b>\(HTML.escaped($1))</b>\(HTML.escaped($0))</div>" }.joined() + "</div>"
    }

    private var offences: String {
        guard !report.offences.isEmpty else { return "" }
        return "<section><h2>First offenders</h2>"
            + HTML.table(
                ["what", "who", "room", "position", "node", "which"],
                report.offences.map { [$0.kind.rawValue, $0.user, $0.room, $0.position, $0.node, $0.detail] },
                isOfWords: true)
            + (report.offendersLine.map { "<p>\(HTML.escaped($0)).</p>" } ?? "")
            + "</section>"
    }

    private var faults: String {
        guard !report.faults.isEmpty else { return "" }
        return """
            <section><h2>What was done to the cluster</h2>
            <p>Healed: every client was connected again, and every message reached everybody within half a second, for a \
            second on end. Presence: some users were lost with a killed node; until everybody in their rooms was told so.</p>
            \(HTML.table(["fault", "at s", "lasted s", "healed after s", "most connects/s", "presence true after s"], report.faults.map(\.cells)))
            </section>
            """
    }

    private var costs: String {
        guard !report.costCells.isEmpty else { return "" }
        return """
            <section><h2>What it cost</h2>
            <p>By the nodes' own metrics, from the first message to the last, and of the load test itself. Nothing is said of \
            a node that was restarted meanwhile.</p>
            \(HTML.table(["", "CPU s", "µs CPU/delivery", "memory", "connections", "bytes/connection", "µs CPU/connect", "ms/Redis call"], report.costCells))
            </section>
            """
    }

    // MARK: - Numbers

    static func milliseconds(_ value: Double) -> String {
        if value >= 1000 { return Plot.number(value / 1000) + " s" }
        return value < 0.1
            ? "\(Plot.number(value * 1000)) µs"
            : "\(value < 10 ? Decimals.fixed(value, digits: 1) : Decimals.fixed(value, digits: 0)) ms"
    }

    private var latencies: [[String]] {
        [
            ("to the same node", report.sameNode), ("to other nodes", report.otherNode),
            ("acknowledgement", report.acknowledgement),
        ]
        .map { name, latency in
            [name, Decimals.grouped(Double(latency.count))]
                + [latency.p50, latency.p90, latency.p99, latency.p999, latency.max].map {
                    latency.count == 0 ? "-" : Decimals.milliseconds($0)
                }
        }
    }

    private var proof: [[String]] {
        [("to the same node", report.counts.sameNode), ("to other nodes", report.counts.otherNode)].map {
            name, deliveries in
            [name]
                + [
                    deliveries.delivered, deliveries.missing, deliveries.doubled, deliveries.outOfOrder,
                    deliveries.toldLost,
                ].map(Decimals.grouped)
        }
    }

    private var messages: [[String]] {
        let counts = report.counts
        return [
            ("sent", counts.sent), ("acknowledged", counts.acknowledged), ("sent again with retry", counts.retried),
            ("acknowledged, and come to nobody", counts.neverCame), ("of these told lost", counts.neverCameTold),
            ("neither acknowledged nor seen", counts.unanswered), ("refused", counts.refused),
            ("at different positions for different members", counts.misplaced),
            ("before an earlier one of the same sender", counts.sendersOutOfOrder),
            ("connections lost", counts.lostConnections), ("connections moved by draining nodes", counts.moved),
            ("connections cut by the test", counts.cut), ("rooms resumed", counts.resumes),
            ("of these recovered whole", counts.recovered),
        ].map { [$0, Decimals.grouped($1)] }
    }

    // MARK: - Plots

    private var plots: String {
        guard !report.steps.isEmpty else { return "" }
        let seconds = report.steps.last?.second ?? report.seconds
        let marks = report.faults.map { Plot.Mark(second: $0.began, label: $0.name) }
        func plot(
            _ title: String, _ lines: [Plot.Line], isLogarithmic: Bool = false, _ words: @escaping (Double) -> String
        ) -> String {
            let plot = Plot(
                label: title, lines: lines, marks: marks, seconds: seconds, isLogarithmic: isLogarithmic, words: words)
            let legend =
                lines.count < 2
                ? ""
                : "<p class=\"legend\">"
                    + lines.map { "<span class=\"c\($0.colour)\">\(HTML.escaped($0.name))</span>" }.joined() + "</p>"
            return "<section><h2>\(HTML.escaped(title))</h2>\(legend)\(plot.svg)</section>"
        }
        func line(_ name: String, _ colour: Int, isFilled: Bool = false, _ value: (LoadReport.Step) -> Double?)
            -> Plot.Line
        {
            Plot.Line(
                name: name, points: report.steps.map { ($0.second, value($0)) }, colour: colour, isFilled: isFilled)
        }
        func percentile(_ percentile: Double) -> (LoadReport.Step) -> Double? {
            { $0.latency.count == 0 ? nil : $0.latency.milliseconds(atPercentile: percentile) }
        }
        let nodes = report.nodes.prefix(8).enumerated().map { index, node in
            line(node, index % 8 + 1) { Double($0.connected[node] ?? 0) }
        }
        let latency = report.latency
        return plot(
            "Deliveries a second",
            [line("deliveries", 1, isFilled: true) { Double($0.delivered) / max($0.length, 0.001) }], Decimals.rounded)
            + plot(
                "Latency of delivery",
                [line("p50", 1, percentile(50)), line("p99", 2, percentile(99)), line("p99.9", 3, percentile(99.9))],
                isLogarithmic: true, Self.milliseconds)
            + plot("Connections by node", nodes, Decimals.rounded)
            + "<section><h2>How often which latency was seen</h2>"
            + BarPlot(
                spread: latency.spread,
                marks: [(latency.p50, "p50"), (latency.p99, "p99"), (latency.p999, "p99.9")]
            ).svg + "</section>"
    }

    private static let style = """
        :root{color-scheme:light dark;--ink:#1d2733;--dim:#5d6b7a;--line:#dfe5ea;--page:#fff;--card:#f5f7f9;--good:#1a7f4b;--bad:#c0342b;\
        --c1:#2367b8;--c2:#d17a00;--c3:#b8327f;--c4:#2a8a6e;--c5:#7a52c7;--c6:#5f8a14;--c7:#a2522c;--c8:#4a6f86}\
        @media(prefers-color-scheme:dark){:root{--ink:#e6ebf0;--dim:#9aa7b4;--line:#2f3944;--page:#14191f;--card:#1c232b;--good:#4cc38a;--bad:#ff7b72;\
        --c1:#6aa9f0;--c2:#f0a64a;--c3:#e77bb8;--c4:#5cc7a5;--c5:#ae8df0;--c6:#a5cf55;--c7:#dd9470;--c8:#8fb4cb}}\
        *{box-sizing:border-box}body{font:16px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--page);max-width:58rem;margin:0 auto;padding:1.5rem 1rem 4rem}\
        h1{font-size:1.7rem;margin:0;line-height:1.25}h1::first-letter{text-transform:uppercase}h2{font-size:1.1rem;margin:2.2rem 0 .4rem}.when{color:var(--dim);margin:.2rem 0 1.2rem}\
        .verdict{font-weight:600;border-left:.4rem solid;padding:.6rem 1rem;background:var(--card);border-radius:.3rem}.kept{border-color:var(--good)}.broken{border-color:var(--bad);color:var(--bad)}\
        .tiles{display:grid;grid-template-columns:repeat(auto-fill,minmax(9.5rem,1fr));gap:.6rem;margin:1.2rem 0}.tiles div{background:var(--card);border-radius:.4rem;padding:.6rem .8rem;color:var(--dim);font-size:.85rem}\
        .tiles b{display:block;color:var(--ink);font-size:1.35rem;font-variant-numeric:tabular-nums}\
        .wide{overflow-x:auto;margin:.6rem 0}table{border-collapse:collapse;width:100%;font-size:.9rem;font-variant-numeric:tabular-nums}\
        th,td{text-align:right;padding:.3rem .6rem;border-bottom:1px solid var(--line);white-space:nowrap}th{color:var(--dim);font-weight:500}th:first-child,td:first-child{text-align:left;padding-left:0}\
        .words th,.words td{text-align:left;vertical-align:top}.words td:last-child{white-space:normal;min-width:16rem}.dim{color:var(--dim);font-size:.9rem}\
        svg{width:100%;height:auto;display:block}.grid{stroke:var(--line);fill:none}.tick{fill:var(--dim);font-size:12px}.line{fill:none;stroke-width:2;stroke-linejoin:round}.area{opacity:.15;stroke:none}.bar{fill:var(--c1)}\
        .mark{stroke:var(--bad);stroke-dasharray:4 3;fill:none}.marked{fill:var(--bad);font-size:11px}\
        .legend{margin:.2rem 0;font-size:.85rem;color:var(--dim)}.legend span{margin-right:1.2rem}.legend span::before{content:"";display:inline-block;width:.9rem;height:.2rem;margin-right:.4rem;vertical-align:middle;background:currentColor}\
        \((1...8).map { ".line.c\($0){stroke:var(--c\($0))}.area.c\($0){fill:var(--c\($0))}.legend .c\($0)::before{background:var(--c\($0))}" }.joined())
        """
}

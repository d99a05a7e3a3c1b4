import Histogram
import Testing

@testable import LoadTest

@Suite("The page of a load test")
struct ReportPageTests {
    private func report(_ change: (inout LoadReport) -> Void = { _ in }) throws -> LoadReport {
        var tally = LoadTally()
        tally.otherNode.record(1500, count: 1000)
        tally.otherNode.record(80_000, count: 2)
        tally.counts.otherNode.delivered = 1002
        let plan = try LoadPlan(urls: ["ws://h/ws"], run: "k3")
        var report = LoadReport(plan: plan, tally: tally, nodes: ["gateway-1", "<b>"], startedAt: 1_700_000_000)
        report.steps = (1...6).map {
            LoadReport.Step(
                second: Double($0) / 2, length: 0.5, delivered: $0 == 3 ? 0 : 100,
                connected: ["gateway-1": 50, "<b>": 50],
                latency: $0 == 3 ? LatencySpread() : report.otherNode.spread)
        }
        change(&report)
        return report
    }

    @Test("It needs nothing from elsewhere, and what comes from a cluster is text in it")
    func alone() throws {
        let html = try ReportPage(report()).html
        #expect(!html.contains("http://") && !html.contains("https://") && !html.contains("src="))
        #expect(!html.contains("<b>\"") && !html.contains("(<b>") && html.contains("&lt;b&gt;"))
        #expect(html.contains("2023-11-14 22:13:20 UTC"))
    }

    @Test("It says first whether the promises were kept, and who was the first to be wronged")
    func verdict() throws {
        #expect(try ReportPage(report()).html.contains("<p class=\"verdict kept\">Kept: every stored message"))
        let broken = try report {
            $0.counts.otherNode.missing = 3
            $0.offences = [
                Offence(kind: .missing, user: "u1", room: "r1", position: "1-5", node: "gateway-1", detail: "message 4")
            ]
        }
        let html = ReportPage(broken).html
        #expect(html.contains("<p class=\"verdict broken\">BROKEN: 3 missing."))
        #expect(html.contains("<td>1-5</td><td>gateway-1</td><td>message 4</td>"))
    }

    @Test("Faults are marked in every plot over time, and stand in a table")
    func faults() throws {
        let html = try ReportPage(
            report {
                $0.faults = [
                    LoadReport.FaultOutcome(
                        name: "kill=gateway-2", began: 1, ended: 1.1, healedAfter: 0.7, peakConnects: 40,
                        presence: [2.5, 3])
                ]
            }
        ).html
        #expect(html.ranges(of: ">kill=gateway-2</text>").count == 3)
        #expect(html.contains("Meanwhile, after 1 s gateway-2 was killed.</p>"))
        #expect(
            html.contains(
                "<td>kill=gateway-2</td><td>1.0</td><td>0.1</td><td>0.7</td><td>40</td><td>3.0 (2 users)</td>"))
    }

    @Test("A line is broken where there was nothing to measure")
    func brokenLine() {
        let plot = Plot(
            label: "l", lines: [.init(name: "p50", points: [(0, 1), (1, nil), (2, 3), (3, 4)], colour: 1)], marks: [],
            seconds: 4, words: { "\($0)" })
        let path = plot.svg.split(separator: "class=\"line c1\" d=\"").last?.prefix { $0 != "\"" } ?? ""
        #expect(path.count { $0 == "M" } == 2 && path.count { $0 == "L" } == 1)
    }

    @Test("Axes begin and end at round numbers that hold all values")
    func scales() {
        #expect(PlotScale.linear(to: 870).ticks == [0, 200, 400, 600, 800, 1000])
        #expect(PlotScale.linear(to: 3).high >= 3)
        #expect(PlotScale.linear(to: 0).ticks == [0, 1])
        let log = PlotScale.logarithmic(from: 0.4, to: 35)
        #expect(log.ticks.count == 4 && abs(log.low - 0.1) < 1e-9 && abs(log.high - 100) < 1e-9)
        #expect(abs(log.place(1) - 1.0 / 3) < 1e-9 && log.place(0) == 0 && log.place(1e9) == 1)
        #expect(PlotScale.logarithmic(from: 0, to: 0).ticks.count == 3)
    }

    @Test("A run without a single delivery has a page, too")
    func nothing() throws {
        let plan = try LoadPlan(urls: ["ws://h/ws"], run: "k3")
        let empty = LoadReport(plan: plan, tally: LoadTally(), nodes: [], startedAt: 0)
        #expect(ReportPage(empty).html.contains("</html>"))
    }
}

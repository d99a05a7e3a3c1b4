import FoundationEssentials
import Histogram
import Testing

@testable import LoadTest

@Suite("The report of a load test")
struct LoadReportTests {
    private func report(
        run: String = "k3", startedAt: Double = 1000, _ change: (inout LoadTally) -> Void = { _ in }
    ) throws -> LoadReport {
        var tally = LoadTally()
        change(&tally)
        let plan = try LoadPlan(urls: ["ws://h/ws?token=secret"], run: run)
        return LoadReport(plan: plan, tally: tally, nodes: ["gateway-2", "gateway-1"], startedAt: startedAt)
    }

    @Test("A run is clean only when no promise was broken")
    func clean() throws {
        #expect(
            try report {
                $0.counts.lostConnections = 3
                $0.counts.otherNode.toldLost = 2
            }.isClean)
        let paths: [WritableKeyPath<LoadCounts, Int>] = [
            \.sameNode.missing, \.otherNode.missing, \.otherNode.doubled, \.sameNode.outOfOrder, \.sendersOutOfOrder,
            \.misplaced, \.refused, \.unanswered, \.neverCame, \.presenceBroken,
        ]
        for path in paths {
            let report = try report { $0.counts[keyPath: path] = 1 }
            #expect(!report.isClean && report.verdict.hasPrefix("BROKEN: 1 "), "\(path)")
        }
    }

    @Test("The table has latencies in milliseconds and names the first offenders")
    func table() throws {
        let table = try report {
            $0.counts.sent = 12_345
            $0.otherNode.record(1500)
            $0.counts.otherNode.missing = 1
            $0.record(
                Offence(
                    kind: .outOfOrder, user: "load-k3-u1", room: "load-k3-0", position: "1-5", node: "gateway-1",
                    detail: "message 4, came after 1-6"))
        }.table
        #expect(table.contains("sent 12,345"))
        #expect(table.contains("to other nodes        1  1.50  1.50"), "\(table)")
        #expect(table.contains("to the same node      0     -"))
        #expect(table.contains("out of order: load-k3-u1 load-k3-0 1-5 on gateway-1 (message 4, came after 1-6)"))
        #expect(table.contains("gateway-1, gateway-2"))
        #expect(table.hasSuffix("BROKEN: 1 missing"))
    }

    @Test("The JSON holds everything but secrets of the URL, and can be read again")
    func json() throws {
        var report = try report {
            $0.counts.acknowledged = 7
            $0.sameNode.record(1500, count: 3)
        }
        report.steps = [LoadReport.Step(second: 0.5, length: 0.5, sent: 3, connected: ["gateway-1": 5])]
        report.faults = [
            LoadReport.FaultOutcome(
                name: "kill=redis", began: 1, ended: 2, healedAfter: nil, peakConnects: 3, presence: [])
        ]
        let json = try report.json()
        #expect(json.contains(#""acknowledged":7"#))
        #expect(json.contains("ws://h/ws"))
        #expect(!json.contains("secret"))
        #expect(try LoadReport(json: Data(json.utf8)) == report)
    }

    @Test("A file that is no report, or of another version, is refused")
    func otherFiles() throws {
        let json = try report { $0.sameNode.record(1500) }.json()
        for text in [
            "", "{}", "[]", json.replacing("\"version\":1", with: "\"version\":2"),
            json.replacing("\"counts\":[1]", with: "\"counts\":[]"),
            json.replacing("\"counts\":[1]", with: "\"counts\":[18446744073709551615]"),
        ] {
            #expect(throws: (any Error).self) { try LoadReport(json: Data(text.utf8)) }
        }
    }

    @Test("Reports of one time add up, step by step")
    func merge() throws {
        func part(_ run: String, startedAt: Double, latency: UInt64) throws -> LoadReport {
            var part = try report(run: run, startedAt: startedAt) {
                $0.counts.sent = 10
                $0.counts.otherNode.delivered = 100
                $0.otherNode.record(latency, count: 100)
            }
            part.steps = (1...4).map {
                LoadReport.Step(
                    second: Double($0) / 2, length: 0.5, delivered: 25, connected: ["gateway-1": 10],
                    latency: LatencySpread(part.otherNode.spread, scaledTo: 25))
            }
            return part
        }
        let whole = try LoadReport.merge([
            try part("b", startedAt: 1000.6, latency: 9000), try part("a", startedAt: 1000, latency: 1000),
        ])
        #expect(whole.run == "b+a" && whole.startedAt == 1000)
        #expect(whole.clients == 200 && whole.counts.sent == 20 && whole.otherNode.count == 200)
        #expect(abs(whole.otherNode.p50 - 1) < 0.01 && abs(whole.otherNode.p90 - 9) < 0.01)
        #expect(whole.steps.map(\.delivered) == [25, 25, 50, 50, 25, 25])
        #expect(whole.steps.map { $0.connected["gateway-1"] } == [10, 10, 20, 20, 10, 10])
        #expect(whole.nodes == ["gateway-1", "gateway-2"])
    }

    @Test("Reports of different times, the same one twice, and none are not put together")
    func wrongMerge() throws {
        let one = try report()
        #expect(throws: InvalidPlan.self) { try LoadReport.merge([]) }
        #expect(throws: InvalidPlan.self) { try LoadReport.merge([one, one]) }
        let later = try report(run: "k4", startedAt: 2000)
        #expect(throws: InvalidPlan.self) { try LoadReport.merge([one, later]) }
    }

    @Test("The progress line says how far it is, and what is wrong")
    func progress() {
        var counts = LoadCounts()
        counts.sent = 2000
        counts.otherNode.delivered = 20_000
        counts.otherNode.doubled = 2
        var latency = LatencySpread.histogram()
        latency.record(2000)
        let progress = LoadProgress(
            phase: .running, seconds: 3.2, fraction: 0.5, clients: 100, counts: counts, connected: 100,
            connectedByNode: ["b": 40, "a": 60], sentRate: 1000, deliveryRate: 10_000, latency: LatencySpread(latency))
        let line = progress.line
        #expect(line.hasPrefix("3 s running  100/100 clients  sent 2,000 (1,000/s)"))
        #expect(line.contains("delivered 20,000 (10,000/s)"))
        #expect(line.contains("p50 2.0"))
        #expect(line.contains("wrong 2"))
        let lines = LiveView.lines(progress)
        #expect(lines.first?.hasPrefix("███████████████░░░") == true)
        #expect(lines.dropFirst(2).first == "  a \(String(repeating: "█", count: 30)) 60")
        #expect(lines.last == "wrong 2")
    }

    @Test("Percentiles of a spread are those of the histogram that it was taken from")
    func percentiles() {
        var histogram = LatencySpread.histogram()
        for value in 1...1000 as ClosedRange<UInt64> { histogram.record(value * 100) }
        let spread = LatencySpread(histogram)
        for percentile in [0.0, 50, 90, 99, 99.9, 100] {
            let expected = Double(histogram.valueAtPercentile(percentile)) / 1000
            #expect(abs(spread.milliseconds(atPercentile: percentile) - expected) <= expected * 0.02 + 0.001)
        }
        #expect(LatencySpread().milliseconds(atPercentile: 99) == 0)
    }

    @Test("What a node spent, by its metrics; nothing for one that was restarted or not reached")
    func costs() {
        func metrics(cpu: Double, delivered: Int, memory: Int, connections: Int) -> NodeMetrics {
            NodeMetrics(
                """
                # HELP process_cpu_seconds_total Time.
                process_cpu_seconds_total \(cpu)
                process_resident_memory_bytes \(memory)
                roost_connections \(connections)
                roost_messages_delivered_total \(delivered)
                roost_redis_answers_total 10
                roost_redis_answer_seconds_total 0.5
                roost_refused_frames_total{code="a b"} 2
                roost_refused_frames_total{code="c"} 3 1700000000
                nonsense
                """)
        }
        let empty = metrics(cpu: 0, delivered: 0, memory: 10_000, connections: 0)
        let begin = metrics(cpu: 1, delivered: 0, memory: 30_000, connections: 10)
        let end = metrics(cpu: 3, delivered: 1_000_000, memory: 40_000, connections: 10)
        #expect(begin["roost_refused_frames_total"] == 5)
        let cost = NodeCost(node: "n", empty: empty, begin: begin, end: end)
        #expect(cost.cpuMicrosecondsPerDelivery == 2)
        #expect(cost.bytesPerConnection == 2000)
        #expect(cost.redisCalls == 0 && cost.redisMillisecondsPerCall == nil)
        #expect(NodeCost(node: "n", empty: empty, begin: end, end: begin).cpuSeconds == nil)
        let again = NodeMetrics("process_start_time_seconds 5\nprocess_cpu_seconds_total 9")
        #expect(NodeCost(node: "n", empty: empty, begin: begin, end: again).cpuSeconds == nil)
        let absurd = NodeMetrics("roost_connections 1e300\nprocess_resident_memory_bytes 1e300")
        #expect(
            NodeCost(node: "n", empty: nil, begin: absurd, end: absurd).cells.dropFirst(3).prefix(2)
                == ["- GB", "-"])
        #expect(NodeCost(node: "n", empty: nil, begin: nil, end: nil).cells.dropFirst().allSatisfy { $0 == "-" })
    }
}

extension LatencySpread {
    /// So many of the same value.
    fileprivate init(_ spread: LatencySpread, scaledTo count: UInt64) {
        var histogram = Self.histogram()
        histogram.record(spread.microseconds.first ?? 0, count: count)
        self.init(histogram)
    }
}

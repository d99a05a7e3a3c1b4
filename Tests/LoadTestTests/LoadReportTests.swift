import Histogram
import Testing

@testable import LoadTest

@Suite("The report of a load test")
struct LoadReportTests {
    private func report(_ change: (inout LoadTally) -> Void) throws -> LoadReport {
        var tally = LoadTally()
        change(&tally)
        let plan = try LoadPlan(urls: ["ws://h/ws?token=secret"], run: "k3")
        return LoadReport(plan: plan, tally: tally, nodes: ["gateway-2", "gateway-1"])
    }

    @Test("A run is clean only when nothing was missing, doubled, out of order, misplaced, refused or unanswered")
    func clean() throws {
        #expect(try report { $0.counts.lostConnections = 3 }.isClean)
        #expect(try !report { $0.counts.missing = 1 }.isClean)
        #expect(try !report { $0.counts.doubled = 1 }.isClean)
        #expect(try !report { $0.counts.outOfOrder = 1 }.isClean)
        #expect(try !report { $0.counts.misplaced = 1 }.isClean)
        #expect(try !report { $0.counts.refused = 1 }.isClean)
        #expect(try !report { $0.counts.unanswered = 1 }.isClean)
    }

    @Test("The table has latencies in milliseconds and names the first offenders")
    func table() throws {
        let table = try report {
            $0.counts.sent = 12_345
            $0.otherNode.record(1500)
            $0.record(
                Offence(
                    kind: .outOfOrder, user: "load-k3-u1", room: "load-k3-0", position: "1-5", node: "gateway-1",
                    detail: "message 4, came after 1-6"))
        }.table
        #expect(table.contains("sent 12,345"))
        #expect(table.contains("to other nodes              1       1.50       1.50"))
        #expect(table.contains("to the same node            0          -"))
        #expect(table.contains("out of order: load-k3-u1 load-k3-0 1-5 gateway-1 (message 4, came after 1-6)"))
        #expect(table.contains("gateway-1, gateway-2"))
    }

    @Test("The JSON holds everything but secrets of the URL")
    func json() throws {
        let json = try report { $0.counts.acknowledged = 7 }.json()
        #expect(json.contains(#""acknowledged" : 7"#))
        #expect(json.contains("ws://h/ws"))
        #expect(!json.contains("secret"))
    }

    @Test("The progress line says how far it is, and what is wrong")
    func progress() {
        var tally = LoadTally()
        tally.counts.connected = 100
        tally.counts.sent = 2000
        tally.counts.delivered = 20_000
        tally.counts.doubled = 2
        tally.sameNode.record(2000)
        let progress = LoadProgress(
            phase: .running, seconds: 3.2, clients: 100, tally: tally, before: LoadTally.Counts(), interval: 2)
        let line = progress.line
        #expect(line.hasPrefix("3 s running  100/100 clients  sent 2,000 (1,000/s)"))
        #expect(line.contains("delivered 20,000 (10,000/s)"))
        #expect(line.contains("p50 2.00 ms"))
        #expect(line.contains("wrong 2"))
    }
}

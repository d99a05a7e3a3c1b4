import Testing

@testable import LoadTest

/// What the load test finds in a cluster that does not keep its promises.
@Suite("A broken cluster is found out", .timeLimit(.minutes(1)))
struct BrokenPromisesTests {
    private typealias Behaviour = FakeCluster.Behaviour

    /// Ten clients on two nodes, all in one room, 40 messages.
    private func report(
        of behaviour: Behaviour = Behaviour(), nodes: Int = 2, _ change: (inout LoadPlan) -> Void = { _ in }
    ) async throws -> LoadReport {
        try await FakeCluster.run(nodes: nodes, behaviour) { cluster in
            var plan = try LoadPlan(
                urls: cluster.urls, clients: 10, rooms: 1, traffic: .rate(200), duration: .milliseconds(200),
                ramp: .zero, patience: .seconds(3), run: "k3")
            change(&plan)
            return try await LoadRun(plan).run { _ in }
        }
    }

    @Test("A cluster that keeps its promises is found clean, and its deliveries are told apart by node")
    func clean() async throws {
        let report = try await report()
        #expect(report.isClean, "\(report.table)")
        #expect(report.counts.sent == 40 && report.counts.acknowledged == 40)
        #expect(report.counts.sameNode.delivered == 200 && report.counts.otherNode.delivered == 200)
        #expect(report.nodes == ["fake-1", "fake-2"])
        #expect(report.sameNode.count == 200 && report.otherNode.count == 200 && report.acknowledgement.count == 40)
        #expect(report.steps.map(\.delivered).reduce(0, +) == 400)
        #expect(report.offences == [])
    }

    @Test("A message that one member does not get is missing, with who, room, position and node")
    func lost() async throws {
        let report = try await report(of: Behaviour(fate: { $0.client == 3 && $0.seq == 7 ? .lost : .arrives }))
        #expect(!report.isClean)
        #expect(report.counts.deliveries.missing == 1 && report.counts.missingAcknowledged == 1)
        let offence = try #require(report.offences.first)
        #expect(report.offences.count == 1)
        #expect(offence.kind == .missing && offence.user == "load-k3-u3" && offence.room == "load-k3-0")
        #expect(offence.position == "1-7" && offence.node == "fake-2")
        // Whose message came to stand seventh is known only to the run.
        let isSameNode = offence.detail.hasSuffix("on fake-2")
        #expect(offence.detail.hasPrefix("message ") && offence.detail.contains(", from load-k3-u"))
        #expect(report.counts.sameNode.missing == (isSameNode ? 1 : 0))
        #expect(report.counts.otherNode.missing == (isSameNode ? 0 : 1))
    }

    @Test("A loss that the member was told of breaks no promise, and is counted")
    func told() async throws {
        let report = try await report(of: Behaviour(fate: { $0.client == 3 && $0.seq == 7 ? .told : .arrives }))
        #expect(report.isClean, "\(report.table)")
        #expect(report.counts.gaps == 1 && report.counts.deliveries.toldLost == 1)
    }

    @Test("A message that comes twice is doubled")
    func doubled() async throws {
        let report = try await report(of: Behaviour(fate: { $0.client == 2 && $0.seq == 9 ? .doubled : .arrives }))
        #expect(!report.isClean && report.counts.deliveries.doubled == 1)
        #expect(report.offences.map(\.kind) == [.doubled])
        #expect(report.offences.map(\.user) == ["load-k3-u2"] && report.offences.map(\.position) == ["1-9"])
    }

    @Test("A message that comes behind a later one is out of order")
    func outOfOrder() async throws {
        let report = try await report(of: Behaviour(fate: { $0.client == 4 && $0.seq == 9 ? .late : .arrives }))
        #expect(!report.isClean && report.counts.deliveries.outOfOrder == 1)
        #expect(report.offences.map(\.kind) == [.outOfOrder])
        #expect(report.offences.first?.position == "1-9")
        #expect(report.offences.first?.detail.contains("came after 1-10") == true)
    }

    @Test("A message that one member sees at another position is misplaced")
    func elsewhere() async throws {
        let report = try await report(of: Behaviour(fate: { $0.client == 4 && $0.seq == 40 ? .elsewhere : .arrives }))
        #expect(!report.isClean && report.counts.misplaced == 1)
        #expect(report.offences.map(\.kind) == [.misplaced])
        #expect(report.offences.first?.position == "1-1040")
    }

    @Test("A message that was acknowledged and comes to nobody is told as such, once")
    func neverCame() async throws {
        let report = try await report(of: Behaviour(stores: { $0 != 5 }))
        #expect(!report.isClean)
        #expect(report.counts.neverCame == 1)
        #expect(report.counts.deliveries.missing == 10 && report.counts.missingAcknowledged == 10)
        #expect(report.verdict.contains("1 acknowledged and come to nobody"))
    }

    @Test("A message that is neither acknowledged nor delivered is unanswered")
    func unanswered() async throws {
        let report = try await report(of: Behaviour(stores: { $0 != 5 }, acknowledges: { $0 != 5 }))
        #expect(!report.isClean && report.counts.unanswered == 1)
        #expect(report.offences.map(\.kind) == [.unanswered])
    }

    @Test("A message that is refused says that the load was not what was asked for")
    func refused() async throws {
        let report = try await report(of: Behaviour(refuses: { $0 == 5 }))
        #expect(!report.isClean && report.counts.refused == 1)
        #expect(report.offences.first?.detail.contains("rate_limited: too fast") == true)
    }

    @Test("Clients that lose their connections resume, and what a resume leaves out is missing")
    func resumes() async throws {
        let clean = try await report {
            $0.churn = 50
            $0.duration = .milliseconds(400)
        }
        #expect(clean.isClean, "\(clean.table)")
        #expect(clean.counts.cut > 0 && clean.counts.resumes > 0)
        #expect(clean.resumeSuccess == 1)

        let broken = try await report(of: Behaviour(fate: { $0.isReplay ? .lost : .arrives })) {
            $0.churn = 50
            $0.duration = .milliseconds(400)
        }
        #expect(!broken.isClean && broken.counts.deliveries.missing > 0, "\(broken.table)")
        #expect(broken.offences.allSatisfy { $0.kind == .missing })
    }

    @Test("A resume that was not recovered is no silent loss, and spoils the success rate")
    func notRecovered() async throws {
        let report = try await report(
            of: Behaviour(fate: { $0.isReplay ? .lost : .arrives }, recovered: false)
        ) {
            $0.churn = 50
            $0.duration = .milliseconds(400)
        }
        #expect(report.counts.deliveries.missing == 0, "\(report.table)")
        #expect(report.resumeSuccess == 0)
    }

    @Test("When all connections are cut at once the storm is counted, and the time until all is well again")
    func storm() async throws {
        let report = try await report {
            $0.faults = [Fault(at: .milliseconds(100), action: .drop, target: .clients)]
            $0.duration = .milliseconds(400)
        }
        #expect(report.isClean, "\(report.table)")
        #expect(report.counts.cut == 10 && report.counts.lostConnections == 0)
        let fault = try #require(report.faults.first)
        #expect(fault.name == "drop=clients" && fault.peakConnects > 0)
        #expect(fault.healedAfter != nil)
    }

    @Test("A closed loop sends the next message when one is acknowledged and back")
    func window() async throws {
        let report = try await report {
            $0.traffic = .window(3)
            $0.duration = .seconds(1)
        }
        #expect(report.isClean, "\(report.table)")
        // More than the window: it went on.
        #expect(report.counts.sent > 3 && report.counts.acknowledged == report.counts.sent)
    }

    @Test("Rooms of all sizes, clients in several, all on two threads")
    func manyRooms() async throws {
        let report = try await report {
            $0.clients = 12
            $0.rooms = 30
            $0.members = .fixed(3)
            $0.threads = 2
            $0.payload = 64...512
        }
        #expect(report.isClean, "\(report.table)")
        #expect(report.memberships == 90)
        #expect(report.counts.sent == 40 && report.counts.deliveries.delivered == 120)
    }

    @Test("Readers that stall get everything in the end, and their latency is not counted")
    func slow() async throws {
        let report = try await report {
            $0.slowPercent = 20
            $0.slowStall = .milliseconds(100)
        }
        #expect(report.isClean, "\(report.table)")
        #expect(report.counts.deliveries.delivered == 400)
        #expect(report.latency.count == 320 && report.acknowledgement.count == 32)
    }
}

import ChatClient
package import FoundationEssentials

/// What a load test found: all of it, as it is kept in a file and put together with others.
package struct LoadReport: Sendable, Codable, Equatable {
    /// A part of the run, half a second or more.
    package struct Step: Sendable, Codable, Equatable {
        /// From the first message to the end of the step, and how much of it the step is.
        package var second: Double
        package var length: Double
        package var sent = 0
        package var acknowledged = 0
        package var delivered = 0
        package var connects = 0
        /// At its end, by node.
        package var connected: [String: Int] = [:]
        package var latency = LatencySpread()
    }

    /// Something that was done to the cluster, and what came of it.
    package struct FaultOutcome: Sendable, Codable, Equatable {
        package var name: String
        /// Seconds from the first message.
        package var began: Double
        package var ended: Double
        /// Seconds from the beginning until everybody was connected and everything arrived; nil: it never was so.
        package var healedAfter: Double?
        /// The most connections that came to stand in one second.
        package var peakConnects: Int
        /// Seconds until everybody in the room was told that a user was lost, for some users.
        package var presence: [Double]
    }

    /// The version of this form.
    package var version = 1
    package var run: String
    /// Seconds since 1970, at the first message.
    package var startedAt: Double
    /// What was asked for.
    package var clients: Int
    package var rooms: Int
    /// Rooms' members, all together.
    package var memberships: Int
    package var urls: [String]
    package var traffic: String
    package var payload: String
    /// Seconds from the first message to the last.
    package var seconds: Double
    package var scenario: String?
    package var nodes: [String]
    package var counts: LoadCounts
    package var sameNode: Latency
    package var otherNode: Latency
    package var acknowledgement: Latency
    package var steps: [Step]
    package var faults: [FaultOutcome]
    /// The most connections that came to stand in one second, from the first message on.
    package var peakConnects: Int
    package var costs: [NodeCost]
    /// Of a cluster that the test started.
    package var redis: RedisCost?
    package var generators: [GeneratorCost]
    /// The first ones, and not many of one user.
    package var offences: [Offence]
    /// How many there were, by the node that the user was on.
    package var offencesByNode: [String: Int]?

    package init(plan: LoadPlan, tally: LoadTally, nodes: [String], startedAt: Double) {
        run = plan.run
        self.startedAt = startedAt
        clients = plan.clients
        rooms = plan.rooms
        memberships = plan.clients
        urls = plan.addresses.map(\.description)
        switch plan.traffic {
        case .rate(let rate): traffic = "\(Decimals.short(rate)) messages/s"
        case .window(let window): traffic = "\(window) messages under way"
        }
        payload =
            plan.payload.count == 1
            ? "\(plan.payload.lowerBound)" : "\(plan.payload.lowerBound)-\(plan.payload.upperBound)"
        seconds = plan.duration.inSeconds
        self.nodes = nodes.sorted()
        counts = tally.counts
        sameNode = Latency(LatencySpread(tally.sameNode))
        otherNode = Latency(LatencySpread(tally.otherNode))
        acknowledgement = Latency(LatencySpread(tally.acknowledgement))
        steps = []
        faults = []
        peakConnects = 0
        costs = []
        generators = []
        offences = tally.offences
        offencesByNode = tally.offencesByNode
    }

    /// Nothing that was promised was broken.
    package var isClean: Bool { counts.isClean }

    /// Of the rooms that were taken up again after a last position, how many were recovered whole; nil when none was.
    package var resumeSuccess: Double? {
        counts.resumes == 0 ? nil : Double(counts.recovered) / Double(counts.resumes)
    }

    /// Deliveries and latency of all together.
    package var latency: Latency {
        var all = sameNode.spread
        all.add(otherNode.spread)
        return Latency(all)
    }

    package func json() throws -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        return String(decoding: try encoder.encode(self), as: UTF8.self)
    }

    /// - Throws: what the decoder says of a text that ``json()`` has not written.
    package init(json: Data) throws {
        self = try JSONDecoder().decode(LoadReport.self, from: json)
        guard version == 1 else {
            throw InvalidPlan(flag: "json", message: "a report of version \(version), and this program knows 1")
        }
    }
}

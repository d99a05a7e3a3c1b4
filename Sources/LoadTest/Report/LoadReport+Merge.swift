extension LoadReport {
    /// Puts the reports of several processes together that tested one cluster at the same time.
    ///
    /// - Throws: ``InvalidPlan`` when there are none, or they did not run at the same time.
    package static func merge(_ parts: [LoadReport]) throws -> LoadReport {
        guard var whole = parts.min(by: { $0.startedAt < $1.startedAt }) else {
            throw InvalidPlan(flag: "json", message: "there is no report to put together")
        }
        var spreads = (same: LatencySpread(), other: LatencySpread(), acknowledgement: LatencySpread())
        let start = whole.startedAt
        let base = whole
        whole.clear()
        for part in parts.sorted(by: { $0.startedAt < $1.startedAt }) {
            let later = part.startedAt - start
            guard later < base.seconds else {
                throw InvalidPlan(
                    flag: "json",
                    message: "run \(part.run) began when run \(base.run) was over: these are not parts of one test")
            }
            whole.clients += part.clients
            whole.rooms += part.rooms
            whole.memberships += part.memberships
            whole.seconds = max(whole.seconds, later + part.seconds)
            whole.urls += part.urls.filter { !whole.urls.contains($0) }
            whole.nodes += part.nodes.filter { !whole.nodes.contains($0) }
            whole.counts += part.counts
            spreads.same.add(part.sameNode.spread)
            spreads.other.add(part.otherNode.spread)
            spreads.acknowledgement.add(part.acknowledgement.spread)
            whole.add(part.steps, later: later)
            whole.faults += part.faults.map { fault in
                var fault = fault
                fault.began += later
                fault.ended += later
                return fault
            }
            // Their peaks need not be at the same moment.
            whole.peakConnects += part.peakConnects
            // Each part asked the same nodes.
            whole.costs += part.costs.filter { cost in !whole.costs.contains { $0.node == cost.node } }
            whole.generators += part.generators
            whole.offences += part.offences
            whole.offencesByNode = (whole.offencesByNode ?? [:]).merging(
                part.offencesByNode ?? [:], uniquingKeysWith: +)
        }
        let runs = Set(parts.map(\.run))
        guard runs.count == parts.count else {
            throw InvalidPlan(flag: "json", message: "the same report stands there twice")
        }
        whole.run = parts.map(\.run).joined(separator: "+")
        let traffics = Set(parts.map(\.traffic))
        whole.traffic =
            traffics.count == 1 && parts.count > 1
            ? "\(parts.count) times \(base.traffic)" : traffics.sorted().joined(separator: ", ")
        whole.nodes.sort()
        whole.sameNode = Latency(spreads.same)
        whole.otherNode = Latency(spreads.other)
        whole.acknowledgement = Latency(spreads.acknowledgement)
        whole.offences = Array(whole.offences.prefix(LoadTally.kept))
        return whole
    }

    private mutating func clear() {
        clients = 0
        rooms = 0
        memberships = 0
        urls = []
        nodes = []
        counts = LoadCounts()
        steps = []
        faults = []
        peakConnects = 0
        costs = []
        generators = []
        offences = []
        offencesByNode = [:]
    }

    /// Adds another part's steps, each to the one in which it ends.
    private mutating func add(_ others: [Step], later: Double) {
        guard !steps.isEmpty else {
            steps = others.map { step in
                var step = step
                step.second += later
                return step
            }
            return
        }
        var tail: [Step] = []
        var touched: [Int: [String: Int]] = [:]
        for other in others {
            let end = other.second + later
            guard let index = steps.firstIndex(where: { $0.second >= end - 1e-9 }) else {
                // The earlier part was over by then.
                var step = other
                step.second = end
                tail.append(step)
                continue
            }
            steps[index].sent += other.sent
            steps[index].acknowledged += other.acknowledged
            steps[index].delivered += other.delivered
            steps[index].connects += other.connects
            steps[index].latency.add(other.latency)
            // Of several that end within one step the last counts.
            touched[index] = other.connected
        }
        var connected: [String: Int] = [:]
        for index in steps.indices {
            connected = touched[index] ?? connected
            steps[index].connected.merge(connected, uniquingKeysWith: +)
        }
        steps += tail
    }
}

/// The model next to what load tests measured.
package struct CapacityCheck: Sendable {
    /// Something that one test measured, and what the model says of it.
    package struct Point: Sendable, Equatable {
        package var what: String
        package var measured: Double
        package var modelled: Double

        /// How far the model is off: 0.1 when it says a tenth more than there was.
        package var deviation: Double { measured > 0 ? modelled / measured - 1 : 0 }
    }

    package struct Row: Sendable {
        package var name: String
        package var demand: CapacityDemand
        package var points: [Point]
    }

    package private(set) var rows: [Row] = []
    private let coefficients: CapacityCoefficients
    private let cores: Double

    /// - Parameter cores: of the machines that the gateways ran on.
    package init(coefficients: CapacityCoefficients, cores: Double) {
        self.coefficients = coefficients
        self.cores = cores
    }

    /// - Throws: ``InvalidPlan`` when the report says nothing of what nodes spend on messages alone.
    package mutating func add(_ report: LoadReport, named name: String) throws(InvalidPlan) {
        let nodes = report.costs.filter { $0.cpuSeconds != nil }
        guard report.faults.isEmpty, report.counts.cut == 0, !nodes.isEmpty, report.counts.acknowledged > 0 else {
            throw InvalidPlan(
                flag: "check",
                message: "\(name) is no report of a test without faults and churn, with the nodes' metrics")
        }
        let messages = Double(report.counts.acknowledged)
        var demand = CapacityDemand(
            users: Double(report.clients), rooms: Double(report.rooms),
            membersPerRoom: Double(report.counts.deliveries.delivered) / messages,
            rate: messages / report.seconds / Double(report.clients))
        demand.payload = report.meanPayload
        demand.sessionLength = .infinity
        var machines = CapacityMachines()
        machines.gatewayCores = cores
        machines.replicas = 0
        let model = CapacityModel(demand, on: machines, coefficients: coefficients)
        let count = Double(report.costs.count)
        var points: [Point] = []
        let measured = nodes.compactMap(\.cpuSeconds).reduce(0, +) / report.seconds
        points.append(
            Point(
                what: "gateway CPU", measured: measured,
                modelled: model.gatewayUse(count)[0].total / 1e6 * Double(nodes.count) / count))
        if let redis = report.redis?.cpuSeconds {
            points.append(
                Point(
                    what: "Redis CPU", measured: redis / report.seconds,
                    modelled: model.redisUse(gateways: count, shards: 1)[0].total / 1e6))
        }
        rows.append(Row(name: name, demand: demand, points: points))
    }

    /// In the middle, how many times more was measured than the model says: what to give to `--set cpu=…`.
    package var scale: Double? {
        let ratios = rows.flatMap(\.points).filter { $0.modelled > 0 }.map { $0.measured / $0.modelled }.sorted()
        return ratios.isEmpty ? nil : ratios[ratios.count / 2]
    }

    /// For people, on a terminal. CPU in cores.
    package var table: String {
        var lines = TextTable.lines(
            ["test", "nodes' CPU", "model", "", "Redis CPU", "model", ""],
            rows.map { row in
                [row.name]
                    + ["gateway CPU", "Redis CPU"].flatMap { what -> [String] in
                        guard let point = row.points.first(where: { $0.what == what }) else { return ["-", "-", ""] }
                        let percent = Decimals.fixed(point.deviation * 100, digits: 0)
                        return [
                            Decimals.fixed(point.measured, digits: 3), Decimals.fixed(point.modelled, digits: 3),
                            (point.deviation < 0 ? "" : "+") + percent + " %",
                        ]
                    }
            })
        if let scale {
            lines += ["", "in the middle \(Decimals.fixed(scale, digits: 2)) times the model (--set cpu=…)"]
        }
        return lines.joined(separator: "\n")
    }
}

extension LoadReport {
    /// Bytes; of a range the middle.
    var meanPayload: Double {
        let ends = payload.split(separator: "-").compactMap { Double($0) }
        return ends.isEmpty ? 0 : ends.reduce(0, +) / Double(ends.count)
    }
}

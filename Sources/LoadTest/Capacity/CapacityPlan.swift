/// How many machines a load needs, and which of their resources ends first.
package struct CapacityPlan: Sendable {
    /// One resource, on as many machines as are planned.
    package struct Row: Sendable {
        package var resource: CapacityResource
        /// How many machines this resource alone asks for.
        package var needed: Double
        /// Of each machine, 0 to 1, with all of them and without the spare ones.
        package var used: Double
        package var usedWithoutSpares: Double
    }

    package let model: CapacityModel
    /// With the spare ones.
    package let gateways: Int
    package let shards: Int
    package let rows: [Row]

    /// The most that is planned of either.
    private static let most = 1_000_000.0

    /// - Throws: ``InvalidPlan`` when no number of machines is enough.
    package init(_ model: CapacityModel) throws(InvalidPlan) {
        let limit = model.machines.utilisation
        let needed = try Self.fewest("gateways", upTo: limit) { model.gatewayUse($0) }
        let all = needed + model.machines.spareGateways
        // What one Redis has to do for each gateway is the most when all are there.
        let shards = try Self.fewest("shards of such a Redis", upTo: limit) {
            model.redisUse(gateways: all, shards: $0)
        }
        let redis = model.redisUse(gateways: all, shards: shards)
        guard shards <= model.demand.rooms else {
            throw InvalidPlan(
                flag: "rooms",
                message: "\(Decimals.grouped(shards)) shards of Redis would be needed, and a room is on one of them: "
                    + "with \(Decimals.grouped(model.demand.rooms)) rooms that cannot be")
        }
        self.model = model
        gateways = Int(all)
        self.shards = Int(shards)
        let few = model.gatewayUse(needed)
        rows =
            zip(model.gatewayUse(all), few).map { resource, without in
                Row(
                    resource: resource, needed: without.units(upTo: limit), used: resource.utilisation(of: all),
                    usedWithoutSpares: without.utilisation(of: needed))
            }
            + redis.map {
                let used = $0.utilisation(of: shards)
                return Row(resource: $0, needed: $0.units(upTo: limit), used: used, usedWithoutSpares: used)
            }
    }

    /// The fewest that are enough. The more there are the less each has to do, although more gateways hear each room.
    private static func fewest(
        _ what: String, upTo limit: Double, _ use: (Double) -> [CapacityResource]
    ) throws(InvalidPlan) -> Double {
        func areEnough(_ count: Double) -> Bool { use(count).allSatisfy { $0.utilisation(of: count) <= limit } }
        var (low, high) = (0.0, 1.0)
        while !areEnough(high) {
            (low, high) = (high, high * 2)
            guard high <= most else {
                throw InvalidPlan(flag: "utilisation", message: "no number of \(what) is enough")
            }
        }
        while high - low > 1 {
            let middle = ((low + high) / 2).rounded(.down)
            if areEnough(middle) { high = middle } else { low = middle }
        }
        return high
    }

    /// What ends first when the load grows.
    package var first: Row? { rows.max { $0.usedWithoutSpares < $1.usedWithoutSpares } }

    // MARK: - Words

    /// For people, on a terminal.
    package var table: String {
        let (demand, machines) = (model.demand, model.machines)
        var lines = [
            "\(Decimals.grouped(demand.users)) users in \(Decimals.grouped(demand.rooms)) rooms of "
                + "\(Decimals.short(demand.membersPerRoom)), each sends \(Decimals.short(demand.rate)) messages/s of "
                + "\(Decimals.short(demand.payload)) bytes:",
            "\(Decimals.grouped(demand.messages)) messages/s, \(Decimals.grouped(demand.deliveries)) deliveries/s, "
                + "\(Decimals.grouped(demand.connects)) connects/s",
            "",
        ]
        let spares = machines.spareGateways > 0 ? ", \(Decimals.short(machines.spareGateways)) of them to spare" : ""
        lines += [
            "gateways: \(Decimals.grouped(gateways)) of \(Decimals.short(machines.gatewayCores)) cores and "
                + "\(Decimals.bytes(machines.gatewayMemory))\(spares), with "
                + "\(Decimals.grouped(demand.users / Double(gateways))) connections each",
            "Redis: \(Decimals.grouped(shards)) \(shards == 1 ? "server" : "shards") of "
                + Decimals.bytes(machines.redisMemory)
                + (machines.replicas > 0
                    ? ", with \(Decimals.short(machines.replicas)) \(machines.replicas == 1 ? "replica" : "replicas") each"
                    : ""),
        ]
        lines.append("")
        lines += TextTable.lines(
            ["", "needs", "used of each", "without the spare ones"],
            rows.map { row in
                [
                    row.resource.kind.rawValue, Decimals.grouped(row.needed), Self.percent(row.used),
                    Self.percent(row.usedWithoutSpares),
                ]
            })
        if let first {
            let growth = machines.utilisation / first.usedWithoutSpares
            lines += [
                "",
                "Ends first: \(first.resource.kind.rawValue). These machines carry "
                    + "\(Decimals.fixed(growth, digits: 2)) times this load.",
            ]
        }
        return lines.joined(separator: "\n")
    }

    /// The formula with its numbers.
    package var explanation: String {
        let all = Double(gateways)
        let (demand, turn) = (model.demand, Decimals.short(model.coefficients[.turn]))
        let cores = Decimals.short(model.machines.gatewayCores)
        var lines = [
            "messages/s = users × rate = \(Decimals.grouped(demand.messages))",
            "deliveries/s = messages/s × members of a room = \(Decimals.grouped(demand.deliveries))",
            "gateways that hear a room = gateways × (1 - (1 - 1/gateways)^members) = "
                + Decimals.fixed(model.listeners(of: all), digits: 2),
            "writes/s = deliveries/s / messages in a write + messages/s / 2 = " + Decimals.grouped(model.writes),
            "wake-ups/s of a thread = events/s / (1 + events/s × turn), events: messages and publications",
            "messages in a write = 1 + messages/s of a room × turn of \(turn) ms = "
                + Decimals.fixed(model.messagesPerWrite, digits: 2),
            "messages in a call of the script = 1 + messages/s of a room / gateways / \(cores) cores × turn = "
                + Decimals.fixed(model.messagesPerCall(all), digits: 2),
            "comparisons of a room with its log, a second and gateway = messages/s of a room × Σ exp(-messages/s × t), "
                + "t = 0.75, 1.25, 2.25, … s: " + Decimals.fixed(model.auditsPerRoom, digits: 2),
        ]
        for row in rows {
            let resource = row.resource
            lines += ["", "\(resource.kind.rawValue):"]
            lines += TextTable.lines(
                ["", "", "", "", "", "", ""],
                resource.terms.map { term in
                    [
                        "  \(term.what)", Self.amount(term.amount), "×", term.name ?? "",
                        Decimals.short((term.cost * 1000).rounded() / 1000) + " \(term.unit.rawValue)", "=",
                        Self.amount(term.total, of: resource.kind),
                    ]
                }
            ).dropFirst()
            lines.append(
                "  together \(Self.amount(resource.total, of: resource.kind)), each machine has "
                    + Self.amount(resource.unitCapacity, of: resource.kind))
        }
        return lines.joined(separator: "\n")
    }

    private static func percent(_ share: Double) -> String { Decimals.fixed(share * 100, digits: 0) + " %" }

    private static func amount(_ value: Double) -> String {
        value < 100 ? Decimals.fixed(value, digits: 1) : Decimals.grouped(value)
    }

    private static func amount(_ value: Double, of kind: CapacityResource.Kind) -> String {
        switch kind {
        case .gatewayCPU, .redisCPU: Decimals.fixed(value / 1e6, digits: 2) + " cores"
        case .gatewayMemory, .redisMemory: Decimals.bytes(value)
        case .gatewayNetwork, .redisNetwork: Decimals.bytes(value) + "/s"
        }
    }
}

/// What a load costs, resource by resource: sums of how often something happens times what it costs once. Pure.
package struct CapacityModel: Sendable {
    package var demand: CapacityDemand
    package var machines: CapacityMachines
    package var coefficients: CapacityCoefficients

    package init(
        _ demand: CapacityDemand, on machines: CapacityMachines = CapacityMachines(),
        coefficients: CapacityCoefficients = CapacityCoefficients()
    ) {
        self.demand = demand
        self.machines = machines
        self.coefficients = coefficients
    }

    /// Of so many gateways how many have at least one member of a room whose members are anywhere.
    package func listeners(of gateways: Double) -> Double {
        gateways * (1 - Power.of(1 - 1 / gateways, demand.membersPerRoom))
    }

    /// To clients' sockets. About every second acknowledgement leaves together with the sender's own copy.
    package var writes: Double { demand.deliveries / messagesPerWrite + demand.messages / 2 }

    /// Messages of a room that leave a gateway in one write to a member.
    package var messagesPerWrite: Double { 1 + demand.messagesPerRoom * coefficients[.turn] / 1000 }

    /// Messages of a room that one of so many gateways hands to Redis in one call.
    package func messagesPerCall(_ gateways: Double) -> Double {
        1 + demand.messagesPerRoom / gateways / machines.gatewayCores * coefficients[.turn] / 1000
    }

    /// How often a second a gateway compares a room with its log: not while messages come, soon after them, and ever more
    /// rarely when none do. Messages come at random.
    package var auditsPerRoom: Double {
        let rate = demand.messagesPerRoom
        guard rate > 0 else { return 1 / Self.longestPause }
        var (sum, time, pause) = (0.0, 0.25, 0.5)
        while rate * time < 30 {
            time += pause
            sum += Power.exponential(-rate * time)
            pause = time < 1.25 ? 0.5 : time < 10 ? 1 : min(Self.longestPause, time / 4)
        }
        return rate * sum
    }

    /// Seconds between two looks at a room in which nothing happens.
    private static let longestPause = 60.0

    /// How often a second so many threads wake up when so many things happen to them all together: for each of them while
    /// there is little to do, and once in a turn for all that has come when there is much.
    func wakes(_ events: Double, threads: Double) -> Double {
        events / (1 + events / threads * coefficients[.turn] / 1000)
    }

    /// All that so many gateways do and hold, together.
    package func gatewayUse(_ gateways: Double) -> [CapacityResource] {
        let heard = demand.messages / messagesPerCall(gateways) * listeners(of: gateways)
        let bytes = demand.payload + coefficients[.envelope]
        return [
            CapacityResource(
                .gatewayCPU, unitCapacity: machines.gatewayCores * 1e6,
                [
                    term("messages received", demand.messages, .receive),
                    term("publications heard", heard, .hear),
                    term("writes to clients", writes, .write),
                    term("messages delivered", demand.deliveries, .deliver),
                    term("kilobytes delivered", demand.deliveries * bytes / 1000, .kilobyte),
                    term("connections made", demand.connects, .connect),
                    term("quiet rooms compared with their logs", audits(gateways), .audit),
                    term("pings", demand.users / demand.heartbeat, .heartbeat),
                    term(
                        "wake-ups", wakes(demand.messages + heard, threads: gateways * machines.gatewayCores), .wake),
                ]),
            CapacityResource(
                .gatewayMemory, unitCapacity: machines.gatewayMemory,
                [
                    term("gateways", gateways, .gateway),
                    term("connections", demand.users, .connection),
                    term("rooms, on each gateway that has members", demand.rooms * listeners(of: gateways), .room),
                ]),
            CapacityResource(
                .gatewayNetwork, unitCapacity: machines.bandwidth,
                [
                    CapacityResource.Term("messages delivered", demand.deliveries, times: bytes, .bytes),
                    CapacityResource.Term("packets to clients", writes, times: Self.packetHeader, .bytes),
                ]),
        ]
    }

    /// All that so many shards of Redis do and hold for so many gateways, together.
    package func redisUse(gateways: Double, shards: Double) -> [CapacityResource] {
        let calls = demand.messages / messagesPerCall(gateways)
        let heard = calls * listeners(of: gateways)
        let bytes = demand.payload + coefficients[.envelope]
        let joins = demand.connects * demand.memberships / demand.users
        return [
            // It is one thread.
            CapacityResource(
                .redisCPU, unitCapacity: 1e6,
                [
                    term("calls of the script", calls, .redisCall),
                    term("messages stored", demand.messages, .redisAppend),
                    term("publications sent to gateways", heard, .redisPublish),
                    term("joins", joins, .redisJoin),
                    term("quiet rooms compared with their logs", audits(gateways), .redisAudit),
                    term("messages copied to replicas", demand.messages * machines.replicas, .redisReplica),
                    term("wake-ups", wakes(calls, threads: shards), .redisWake),
                ]),
            CapacityResource(
                .redisMemory, unitCapacity: machines.redisMemory,
                [
                    CapacityResource.Term(
                        "messages in the logs", demand.rooms * demand.history,
                        times: demand.payload + coefficients[.redisMessage], .bytes),
                    term("members", demand.memberships, .redisMember),
                ]),
            CapacityResource(
                .redisNetwork, unitCapacity: machines.bandwidth,
                [
                    CapacityResource.Term("publications sent to gateways", heard, times: bytes, .bytes),
                    CapacityResource.Term(
                        "messages copied to replicas", demand.messages * machines.replicas, times: bytes, .bytes),
                ]),
        ]
    }

    private func audits(_ gateways: Double) -> Double {
        demand.rooms * listeners(of: gateways) * auditsPerRoom
    }

    /// Bytes of Ethernet, IP and TCP around a packet.
    static let packetHeader = 78.0

    private func term(_ what: String, _ amount: Double, _ coefficient: CapacityCoefficient) -> CapacityResource.Term {
        CapacityResource.Term(
            what, amount, times: coefficients[coefficient], coefficient.unit, name: coefficient.rawValue)
    }
}

/// One resource and all that uses it.
package struct CapacityResource: Sendable, Equatable {
    package enum Kind: String, Sendable {
        case gatewayCPU = "gateway CPU"
        case gatewayMemory = "gateway memory"
        case gatewayNetwork = "gateway network"
        case redisCPU = "Redis CPU"
        case redisMemory = "Redis memory"
        case redisNetwork = "Redis network"
    }

    /// So many times so much.
    package struct Term: Sendable, Equatable {
        package var what: String
        /// A second, or at a time.
        package var amount: Double
        package var cost: Double
        package var unit: CapacityCoefficient.Unit
        /// Of the coefficient.
        package var name: String?

        init(
            _ what: String, _ amount: Double, times cost: Double, _ unit: CapacityCoefficient.Unit,
            name: String? = nil
        ) {
            self.what = what
            self.amount = amount
            self.cost = cost
            self.unit = unit
            self.name = name
        }

        package var total: Double { amount * cost }
    }

    package let kind: Kind
    package let terms: [Term]
    /// What one machine has of it: microseconds a second, bytes, bytes a second.
    package let unitCapacity: Double

    init(_ kind: Kind, unitCapacity: Double, _ terms: [Term]) {
        self.kind = kind
        self.terms = terms
        self.unitCapacity = unitCapacity
    }

    package var total: Double { terms.map(\.total).reduce(0, +) }

    /// How much of so many machines is in use: 1 is all.
    package func utilisation(of units: Double) -> Double { total / (unitCapacity * units) }

    /// Machines so that each is used up to a part.
    package func units(upTo utilisation: Double) -> Double {
        max(1, (total / (unitCapacity * utilisation)).rounded(.up))
    }
}

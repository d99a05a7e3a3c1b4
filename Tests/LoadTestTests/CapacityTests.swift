import ChatClient
import Testing

@testable import LoadTest

@Suite("The plan of a cluster's size")
struct CapacityTests {
    /// A million users, who send a message every ten seconds to the twenty in their room.
    private let demand = CapacityDemand(users: 1_000_000, rooms: 50_000, rate: 0.1)

    /// Coefficients that are all zero but these.
    private func only(_ values: [CapacityCoefficient: Double]) -> CapacityCoefficients {
        var coefficients = CapacityCoefficients()
        for coefficient in CapacityCoefficient.allCases { coefficients[coefficient] = values[coefficient] ?? 0 }
        return coefficients
    }

    private func use(
        _ kind: CapacityResource.Kind, _ values: [CapacityCoefficient: Double], gateways: Double = 1,
        _ change: (inout CapacityDemand, inout CapacityMachines) -> Void = { _, _ in }
    ) throws -> Double {
        var (demand, machines) = (demand, CapacityMachines())
        change(&demand, &machines)
        let model = CapacityModel(demand, on: machines, coefficients: only(values))
        let all = model.gatewayUse(gateways) + model.redisUse(gateways: gateways, shards: 1)
        return try #require(all.first { $0.kind == kind }).total
    }

    @Test("A load is messages, each for all members of its room")
    func derived() {
        #expect(demand.membersPerRoom == 20)
        #expect(demand.messages == 100_000 && demand.messagesPerRoom == 2)
        #expect(demand.deliveries == 2_000_000)
        #expect(demand.memberships == 1_000_000)
        let several = CapacityDemand(users: 1000, rooms: 5000, membersPerRoom: 2, rate: 2)
        #expect(several.memberships == 10_000 && several.deliveries == 4000)
    }

    @Test("A room is heard by as many gateways as have members of it")
    func listeners() {
        let model = CapacityModel(demand)
        #expect(model.listeners(of: 1) == 1)
        // Twenty members on two gateways: hardly ever all on one.
        #expect(abs(model.listeners(of: 2) - 2) < 0.001)
        // On a million gateways hardly ever two on the same.
        #expect(abs(model.listeners(of: 1_000_000) - 20) < 0.001)
        let alone = CapacityModel(CapacityDemand(users: 10, rooms: 10, rate: 1))
        #expect(abs(alone.listeners(of: 7) - 1) < 0.001)
    }

    @Test("What happens costs what it costs, as often as it happens")
    func costs() throws {
        // Microseconds a second.
        #expect(try use(.gatewayCPU, [.receive: 10]) == 1_000_000)
        #expect(try use(.gatewayCPU, [.hear: 5]) == 500_000)
        // A write for each delivery, and for every second acknowledgement.
        #expect(try use(.gatewayCPU, [.write: 4]) == 8_200_000)
        #expect(try use(.gatewayCPU, [.deliver: 0.5]) == 1_000_000)
        #expect(try use(.gatewayCPU, [.kilobyte: 1, .envelope: 72]) == 400_000)
        #expect(try use(.gatewayCPU, [.connect: 180]) == 100_000)
        #expect(try use(.gatewayCPU, [.heartbeat: 1]) == 40_000)
        #expect(try use(.gatewayMemory, [.connection: 8000]) == 8e9)
        #expect(try use(.gatewayMemory, [.gateway: 1e8], gateways: 3) == 3e8)
        #expect(try use(.gatewayNetwork, [.envelope: 72]) == 2_000_000 * 200 + 2_050_000 * CapacityModel.packetHeader)
        #expect(try use(.redisCPU, [.redisCall: 8]) == 800_000)
        #expect(try use(.redisCPU, [.redisAppend: 3]) == 300_000)
        #expect(try use(.redisCPU, [.redisJoin: 18]) == 10_000)
        #expect(try use(.redisMemory, [.redisMessage: 72]) == 50_000 * 10_000 * 200)
        #expect(try use(.redisMemory, [.redisMember: 100]) { demand, _ in demand.history = 0 } == 1e8)
    }

    @Test("Each gateway that hears a room costs Redis a copy of the publication, and each replica one of the message")
    func copies() throws {
        let one = try use(.redisCPU, [.redisPublish: 2], gateways: 1)
        let three = try use(.redisCPU, [.redisPublish: 2], gateways: 3)
        #expect(one == 200_000)
        #expect(abs(three / one - 3) < 0.01)
        #expect(try use(.redisCPU, [.redisReplica: 3]) { $1.replicas = 2 } == 600_000)
        #expect(try use(.redisNetwork, [.envelope: 72]) { $1.replicas = 2 } == 100_000 * 3 * 200)
    }

    @Test("Messages of a busy room leave together, so that writes and calls grow less than messages do")
    func batches() throws {
        let model = CapacityModel(
            CapacityDemand(users: 1000, rooms: 1, rate: 2), coefficients: only([.turn: 1, .write: 1]))
        // 2,000 a second, two in a millisecond.
        #expect(model.messagesPerWrite == 3)
        #expect(abs(model.gatewayUse(1)[0].total - (2_000_000.0 / 3 + 1000)) < 1)
        // From four gateways with four cores each, which do not wait for each other.
        #expect(model.messagesPerCall(4) == 1.125)
    }

    @Test("Quiet rooms are compared with their logs: hardly ever while messages come, once a minute when none do")
    func audits() {
        func audits(_ rate: Double) -> Double {
            CapacityModel(CapacityDemand(users: 10, rooms: 10, rate: rate)).auditsPerRoom
        }
        #expect(audits(20) < 0.001)
        #expect(audits(0) == 1.0 / 60)
        #expect(abs(audits(0.00001) - 1.0 / 60) < 0.001)
        // Two a second: 2 × (e^-1.5 + e^-2.5 + e^-4.5 + …).
        #expect(abs(audits(2) - 2 * (0.2231 + 0.0821 + 0.0111 + 0.0015 + 0.0002)) < 0.001)
        #expect(audits(0.5) > audits(2) && audits(0.5) > audits(0.05))
    }

    @Test("Who has little to do wakes up for everything, who has much for all that came within a turn")
    func wakes() {
        let model = CapacityModel(demand, coefficients: only([.turn: 1]))
        #expect(abs(model.wakes(10, threads: 1) - 10) < 0.2)
        #expect(model.wakes(1000, threads: 1) == 500)
        #expect(abs(model.wakes(1_000_000, threads: 4) - 4000) < 20)
    }

    @Test("There are as many gateways as suffice when the spare ones are gone, and not one more")
    func fewest() throws {
        for seed in 1...40 {
            // From one user to millions, from silence to a flood.
            let users = Power.of(10, 1 + Double(seed * 7 % 40) / 7)
            var demand = CapacityDemand(
                users: users, rooms: max(1, users / Double(1 + seed * 13 % 90)), rate: Double(seed % 5) / 4)
            demand.history = 100
            var machines = CapacityMachines()
            machines.spareGateways = Double(seed % 3)
            machines.utilisation = 0.3 + Double(seed % 7) / 10
            let model = CapacityModel(demand, on: machines)
            let plan = try CapacityPlan(model)
            let needed = Double(plan.gateways) - machines.spareGateways
            let limit = machines.utilisation + 1e-9
            #expect(plan.rows.allSatisfy { $0.usedWithoutSpares <= limit }, "\(plan.table)")
            if needed > 1 {
                let fewer = model.gatewayUse(needed - 1)
                #expect(fewer.contains { $0.utilisation(of: needed - 1) > machines.utilisation }, "\(plan.table)")
            }
            if plan.shards > 1 {
                let fewer = Double(plan.shards - 1)
                let redis = model.redisUse(gateways: Double(plan.gateways), shards: fewer)
                #expect(redis.contains { $0.utilisation(of: fewer) > machines.utilisation }, "\(plan.table)")
            }
        }
    }

    @Test("The plan names the resource that ends first, and how much more it carries")
    func first() throws {
        var machines = CapacityMachines()
        machines.utilisation = 0.5
        machines.spareGateways = 0
        machines.bandwidth = 1e12
        // 100,000 × 10 µs = one core; of four cores a quarter is in use.
        let model = CapacityModel(demand, on: machines, coefficients: only([.receive: 10]))
        let plan = try CapacityPlan(model)
        #expect(plan.gateways == 1 && plan.first?.resource.kind == .redisMemory)
        var brief = demand
        brief.history = 1
        let second = try CapacityPlan(CapacityModel(brief, on: machines, coefficients: only([.receive: 10])))
        #expect(second.first?.resource.kind == .gatewayCPU)
        #expect(second.table.contains("Ends first: gateway CPU. These machines carry 2.00 times this load."))
        #expect(second.explanation.contains("100,000  ×    receive  10 µs  =  1.00 cores"))
    }

    @Test("A room is on one shard: what needs more than there are rooms cannot be")
    func oneRoom() {
        #expect(throws: InvalidPlan.self) {
            try CapacityPlan(CapacityModel(CapacityDemand(users: 10_000_000, rooms: 1, rate: 1)))
        }
    }

    @Test("A coefficient is set by its name, all of CPU together by a factor, and anything else is refused")
    func set() throws {
        var coefficients = CapacityCoefficients()
        try coefficients.set("write=7.5")
        #expect(coefficients[.write] == 7.5)
        try coefficients.set("cpu=2")
        #expect(coefficients[.write] == 15 && coefficients[.redisCall] == 2 * CapacityCoefficient.redisCall.measured)
        #expect(coefficients[.connection] == CapacityCoefficient.connection.measured)
        for wrong in ["write", "write=", "write=-1", "write=nan", "nothing=1", "=1", "write=1=2"] {
            #expect(throws: InvalidPlan.self, "\(wrong)") { try coefficients.set(wrong) }
        }
    }

    @Test("A report is compared with what the model says of its load; one with faults is not")
    func check() throws {
        var tally = LoadTally()
        tally.counts.acknowledged = 1000
        tally.counts.sameNode.delivered = 10_000
        var report = LoadReport(
            plan: try LoadPlan(urls: ["ws://h/ws"], clients: 100, rooms: 10, duration: .seconds(10)), tally: tally,
            nodes: ["a"], startedAt: 0)
        var cost = NodeCost(node: "a", empty: nil, begin: nil, end: nil)
        cost.cpuSeconds = 0.01
        report.costs = [cost]
        var check = CapacityCheck(coefficients: only([.receive: 12, .redisCall: 10]), cores: 2)
        try check.add(report, named: "small")
        let point = try #require(check.rows.first?.points.first)
        // 100 messages a second of 12 µs, and a thousandth of a core was measured.
        #expect(abs(point.modelled - 0.0012) < 1e-9 && abs(point.measured - 0.001) < 1e-9)
        #expect(abs(point.deviation - 0.2) < 1e-6)
        #expect(check.table.contains("+20 %"))

        report.counts.cut = 1
        #expect(throws: InvalidPlan.self) { try check.add(report, named: "churned") }
    }

    @Test("What Redis spent is known unless it was another one in the end")
    func redis() throws {
        func info(_ run: String, user: Double) -> RedisInfo {
            RedisInfo("# Server\r\nrun_id:\(run)\r\nused_memory:5000\r\nused_cpu_sys:1.5\r\nused_cpu_user:\(user)\r\n")
        }
        let cost = try #require(
            RedisCost(empty: nil, begin: info("a", user: 2), end: info("a", user: 3), messages: 500))
        #expect(cost.cpuSeconds == 1 && cost.memoryBytes == 5000)
        #expect(cost.cpuMicrosecondsPerMessage == 2000)
        let other = try #require(
            RedisCost(empty: nil, begin: info("a", user: 2), end: info("b", user: 3), messages: 500))
        #expect(other.cpuSeconds == nil)
        #expect(RedisCost(empty: nil, begin: info("a", user: 2), end: nil, messages: 500) == nil)
    }
}

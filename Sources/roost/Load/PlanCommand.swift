import ArgumentParser
import FoundationEssentials
import LoadTest

/// `roost plan`: how many machines a load needs.
struct PlanCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "plan",
        abstract: "Say how many gateways and Redis shards a load needs, and which resource ends first.",
        discussion: """
            The answer comes from a model whose numbers were measured with roost load on the machine that the README \
            names. --explain shows the formula with its numbers, --set replaces one of them, and --check compares the \
            model with reports of your own: roost load --local 2 … --json FILE, without faults.
            """)

    @Option(help: "Users who are connected at the same time.")
    var users: Double?

    @Option(help: "Rooms with members.")
    var rooms: Double?

    @Option(help: "Members of each room. By default everybody is in one room: users / rooms.")
    var membersPerRoom: Double?

    @Option(help: "Messages a second of each user: 0.1 is one in ten seconds.")
    var rate: Double?

    @Option(help: "Bytes of a message's text.")
    var payload = 128.0

    @Option(help: "Seconds that a connection lasts.")
    var sessionLength = 1800.0

    @Option(help: "Messages that a room's log keeps (history-messages).")
    var history = 10_000.0

    @Option(help: "Cores of a gateway.")
    var cores = 4.0

    @Option(help: ArgumentHelp("Memory of a gateway.", valueName: "GB"))
    var memory = 8.0

    @Option(help: ArgumentHelp("Memory of one Redis.", valueName: "GB"))
    var redisMemory = 16.0

    @Option(help: ArgumentHelp("What each machine can send.", valueName: "Gbit/s"))
    var bandwidth = 10.0

    @Option(help: "Replicas of each Redis.")
    var replicas = 1.0

    @Option(help: ArgumentHelp("How much of a resource may be used.", valueName: "percent"))
    var utilisation = 60.0

    @Option(help: "Gateways that may fail at a time without the others being used more.")
    var spare = 1.0

    @Option(
        help: ArgumentHelp(
            "Another number for the model, as --explain names it; cpu=1.5 multiplies all that cost CPU. May be repeated.",
            valueName: "name=number"))
    var set: [String] = []

    @Flag(help: "Show the formula with its numbers.")
    var explain = false

    @Option(
        parsing: .upToNextOption,
        help: ArgumentHelp("Compare the model with reports of roost load --json instead.", valueName: "file"))
    var check: [String] = []

    func validate() throws {
        guard check.isEmpty else { return }
        guard users != nil, rooms != nil, rate != nil else {
            throw ValidationError("--users, --rooms and --rate are needed")
        }
        _ = try plan()
    }

    func run() throws {
        guard check.isEmpty else { return try runCheck() }
        let plan = try plan()
        OutputLines.write(plan.table)
        if explain { OutputLines.write("\n" + plan.explanation) }
    }

    private func runCheck() throws {
        do {
            var comparison = CapacityCheck(coefficients: try coefficients(), cores: cores)
            for file in check {
                let report: LoadReport
                do {
                    report = try LoadReport(json: Data(contentsOf: URL(filePath: file)))
                } catch {
                    throw ValidationError("\(file) is no report of roost load --json: \(error)")
                }
                let name = file.split(separator: "/").last.map(String.init) ?? file
                try comparison.add(report, named: name.hasSuffix(".json") ? String(name.dropLast(5)) : name)
            }
            OutputLines.write(comparison.table)
        } catch let error as InvalidPlan {
            throw ValidationError("\(error)")
        }
    }

    private func plan() throws -> CapacityPlan {
        func within(_ flag: String, _ value: Double, _ range: ClosedRange<Double>) throws -> Double {
            guard range.contains(value) else {
                throw ValidationError(
                    "--\(flag): \(Decimals.short(value)) is not within \(Decimals.short(range.lowerBound)) to "
                        + Decimals.short(range.upperBound))
            }
            return value
        }
        let users = try within("users", users ?? 0, 1...1e10)
        let rooms = try within("rooms", rooms ?? 0, 1...1e10)
        var demand = CapacityDemand(
            users: users, rooms: rooms,
            membersPerRoom: try membersPerRoom.map { try within("members-per-room", $0, 1...users) },
            rate: try within("rate", rate ?? 0, 0...1000))
        guard demand.membersPerRoom >= 1 else {
            throw ValidationError("--rooms: with fewer users than rooms say --members-per-room")
        }
        demand.payload = try within("payload", payload, 1...262_144)
        demand.sessionLength = try within("session-length", sessionLength, 1...1e9)
        demand.history = try within("history", history, 1...1e7)
        var machines = CapacityMachines()
        machines.gatewayCores = try within("cores", cores, 1...1024)
        machines.gatewayMemory = try within("memory", memory, 0.1...100_000) * 1e9
        machines.redisMemory = try within("redis-memory", redisMemory, 0.1...100_000) * 1e9
        machines.bandwidth = try within("bandwidth", bandwidth, 0.001...10_000) * 1e9 / 8
        machines.replicas = try within("replicas", replicas, 0...16).rounded()
        machines.utilisation = try within("utilisation", utilisation, 1...100) / 100
        machines.spareGateways = try within("spare", spare, 0...1000).rounded()
        do {
            return try CapacityPlan(CapacityModel(demand, on: machines, coefficients: try coefficients()))
        } catch let error as InvalidPlan {
            throw ValidationError("\(error)")
        }
    }

    private func coefficients() throws -> CapacityCoefficients {
        var coefficients = CapacityCoefficients()
        do {
            for text in set { try coefficients.set(text) }
        } catch {
            throw ValidationError("\(error)")
        }
        return coefficients
    }
}

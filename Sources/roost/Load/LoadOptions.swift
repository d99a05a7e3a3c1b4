import ArgumentParser
import ChatGateway
import Foundation
import LoadTest

/// What a load test is to do.
struct LoadOptions: ParsableArguments {
    @Option(
        help: "A node or load balancer, ws://HOST:PORT/ws; may be repeated. The members of a room are spread over all.")
    var url: [String] = []

    @Option(
        help: ArgumentHelp(
            "Start a cluster for this test: Redis, so many gateways (up to \(LocalCluster.largest)) and HAProxy, which must be installed. The gateways take ROOST_… variables of the environment.",
            valueName: "n"))
    var local: Int?

    @Flag(help: "With --local: no HAProxy, clients connect to the gateways themselves.")
    var noBalancer = false

    @Option(
        help: ArgumentHelp(
            "Something to do so many seconds after the first message; may be repeated. kill, stop, restart, pause or resume =gateway-N, redis or balancer; flush=redis; drop=subscription; roll=all (each needs --local); drop=clients, which cuts all connections.",
            valueName: "10s:kill=gateway-2"))
    var fault: [String] = []

    @Option(
        help: ArgumentHelp(
            "A ready-made test, with --local 3 unless there is a --url; other flags go before what it says. \(Self.scenarios)",
            valueName: "name"))
    var scenario: Scenario?

    private static let scenarios = Scenario.allCases.map { "\($0.rawValue): \($0.summary)." }.joined(separator: " ")

    @Option(help: "How many clients. (default: 100)")
    var clients: Int?

    @Option(help: "How many rooms. (default: 10, or as many as there are clients)")
    var rooms: Int?

    @Option(
        help: ArgumentHelp(
            "Members of each room: a number, or zipf[:EXPONENT[:MEAN]] for a few large rooms and many small ones. By default every client is in one room.",
            valueName: "n"))
    var membersPerRoom: String?

    @Option(help: "Messages a second, all clients together, at a pace that waits for nobody. (default: 100)")
    var rate: Double?

    @Option(
        help:
            "Instead of --rate: so many messages under way at any time, all clients together. Finds how much a cluster can do."
    )
    var window: Int?

    @Option(help: "For how many seconds to send. (default: 10)")
    var duration: Double?

    @Option(help: ArgumentHelp("Bytes of a message's text, or a range: 64-4096. (default: 128)", valueName: "bytes"))
    var payload: String?

    @Option(help: "Over how many seconds to connect; by default 500 clients a second.")
    var ramp: Double?

    @Option(help: "Clients a second that lose their connection without a goodbye, and resume on the next node.")
    var churn = 0.0

    @Option(help: "Of a hundred clients, how many read nothing for 5 of every 6 seconds.")
    var slowPercent: Double?

    @Option(
        help: ArgumentHelp(
            "A private key in PEM form or a JSON Web Key Set with one, which signs a token for each client. Without it ROOST_AUTH_SECRET of the environment does, if it is there.",
            valueName: "file"))
    var tokens: String?

    @Option(
        help: ArgumentHelp(
            "Certificates (PEM) that those of wss nodes are checked against, instead of the system's.",
            valueName: "file"))
    var caFile: String?

    @Option(help: "Threads of the load test; a room's members are on one.")
    var threads = 1

    @Option(help: "How many seconds without anything new to wait for what is missing.")
    var patience = 10.0

    @Option(
        help:
            "A node's metrics, http://HOST:PORT/metrics of its operations port; may be repeated. What a node spent is then reported, too."
    )
    var metrics: [String] = []

    /// How many gateways to start; nil: none.
    var localNodes: Int? { local ?? (scenario != nil && url.isEmpty ? 3 : nil) }

    func plan() throws -> LoadPlan {
        guard url.isEmpty || local == nil else { throw ValidationError("--url and --local exclude each other") }
        guard !url.isEmpty || localNodes != nil else {
            throw ValidationError("--url ws://HOST:PORT/ws is needed, or --local N for a cluster of this machine")
        }
        if let local, !(1...LocalCluster.largest).contains(local) {
            throw ValidationError("--local: \(local) is not within 1 to \(LocalCluster.largest)")
        }
        guard metrics.isEmpty || localNodes == nil else {
            throw ValidationError("--metrics is for clusters that --local did not start; those are asked anyway")
        }
        guard rate == nil || window == nil else { throw ValidationError("--rate and --window exclude each other") }
        // Before they become durations, which trap on what no number of seconds is.
        let preset = scenario?.settings
        let seconds = try Self.check("duration", duration ?? preset?.duration ?? 10, 0.1...86_400)
        let rampSeconds = try ramp.map { try Self.check("ramp", $0, 0...3600) }
        let clients = clients ?? preset?.clients ?? 100
        let traffic = window.map { .window($0) } ?? rate.map { .rate($0) } ?? preset?.traffic ?? .rate(100)
        do {
            let faults = fault.isEmpty ? preset?.faults ?? [] : try fault.map { try Fault($0) }
            try check(faults)
            var plan = try LoadPlan(
                urls: url, clients: clients, rooms: rooms ?? preset?.rooms ?? min(10, max(clients, 1)),
                members: members() ?? preset?.members ?? .even, traffic: traffic, duration: .seconds(seconds),
                payload: payloadBytes() ?? preset?.payload ?? 128...128, ramp: rampSeconds.map { .seconds($0) },
                churn: churn, slowPercent: slowPercent ?? preset?.slowPercent ?? 0, faults: faults, threads: threads,
                patience: .seconds(Self.check("patience", patience, 0.1...3600)))
            plan.caFile = caFile
            return plan
        } catch let error as InvalidPlan {
            throw ValidationError("\(error)")
        }
    }

    /// What makes a client's token; nil where nothing to sign with was given.
    func signing(for plan: LoadPlan) async throws -> (@Sendable (_ user: String) -> String)? {
        let secret = ProcessInfo.processInfo.environment["ROOST_AUTH_SECRET"] ?? ""
        guard tokens != nil || !secret.isEmpty else { return nil }
        let signer = try await TokenKeyOptions.parse(tokens.map { ["--key-file", $0] } ?? []).signer()
        let now = UInt64(Date().timeIntervalSince1970)
        // Longer than the run.
        let expires = now + UInt64((plan.ramp + plan.duration + plan.patience).inSeconds) + 600
        return { user in
            // A key that could be read signs.
            (try? signer.sign(TokenSigner.Request(user: user, issuedAt: now, expires: expires))) ?? ""
        }
    }

    private func check(_ faults: [Fault]) throws {
        for fault in faults {
            if fault.needsLocalCluster, localNodes == nil {
                throw ValidationError("--fault: \(fault.name) needs --local, a cluster of its own")
            }
            if case .gateway(let number) = fault.target, number > localNodes ?? 0 {
                throw ValidationError("--fault: there are \(localNodes ?? 0) gateways, and no \(fault.target)")
            }
            if case .balancer = fault.target, noBalancer {
                throw ValidationError("--fault: there is no balancer with --no-balancer")
            }
        }
    }

    func metricsPages() throws -> [(node: String, page: HTTPGet)] {
        do {
            return try metrics.map { url in
                let page = try HTTPGet(url)
                return (page.authority, page)
            }
        } catch let error as HTTPGetError {
            throw ValidationError("--metrics: \(error)")
        }
    }

    private static func check(_ flag: String, _ value: Double, _ range: ClosedRange<Double>) throws -> Double {
        guard value.isFinite, range.contains(value) else {
            throw ValidationError("--\(flag): \(value) is not within \(range.lowerBound) to \(range.upperBound)")
        }
        return value
    }

    private func members() throws -> MembersPerRoom? {
        guard let membersPerRoom else { return nil }
        guard let members = MembersPerRoom(membersPerRoom) else {
            throw ValidationError(
                "--members-per-room: \"\(membersPerRoom)\" is neither a number nor zipf, zipf:EXPONENT (up to 5) or zipf:EXPONENT:MEAN"
            )
        }
        return members
    }

    private func payloadBytes() throws -> ClosedRange<Int>? {
        guard let payload else { return nil }
        let parts = payload.split(separator: "-", omittingEmptySubsequences: false).map { Int($0) }
        guard (1...2).contains(parts.count), let low = parts[0], let high = parts[parts.count - 1], low <= high else {
            throw ValidationError("--payload: \"\(payload)\" is neither a number of bytes nor a range like 64-4096")
        }
        return low...high
    }
}

extension Scenario: ExpressibleByArgument {}

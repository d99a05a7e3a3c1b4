package import ChatClient
import Foundation
import NIOCore
import NIOPosix

/// A cluster of this machine, for one load test: Redis, gateways and HAProxy, on free ports and in a folder of their
/// own, gone with this process.
package actor LocalCluster: FaultPerformer {
    private struct Gateway {
        var name: String
        var port: Int
        var opsPort: Int
        var process: LocalProcess?
    }

    /// How many gateways the balancer's configuration has places for.
    package static let largest = 9

    private let executable: String
    private let folder: URL
    private let watchdog: Watchdog
    private let redisPort: Int
    private let balancerPort: Int?
    private var redis: LocalProcess?
    private var balancer: LocalProcess?
    private var gateways: [Gateway] = []

    /// Starts everything, and waits until clients can connect.
    ///
    /// - Parameters:
    ///   - nodes: how many gateways, 1 to ``largest``.
    ///   - executable: the `roost` that is to serve.
    ///   - hasBalancer: without one, clients connect to the gateways themselves.
    /// - Throws: ``LoadRunError`` when a program is missing or does not come up, with what it said.
    package static func start(nodes: Int, executable: String, hasBalancer: Bool) async throws -> LocalCluster {
        // Before anything is started.
        _ = try LocalProcess.find("redis-server")
        if hasBalancer { _ = try LocalProcess.find("haproxy") }
        let cluster = try await LocalCluster(nodes: nodes, executable: executable, hasBalancer: hasBalancer)
        do {
            try await cluster.startAll()
        } catch {
            await cluster.stop()
            throw error
        }
        return cluster
    }

    private init(nodes: Int, executable: String, hasBalancer: Bool) async throws {
        self.executable = executable
        folder = FileManager.default.temporaryDirectory.appending(path: "roost-load-\(UUID().uuidString.prefix(8))")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        watchdog = try Watchdog(folder: folder)
        let ports = try await FreePorts.find(2 + 2 * nodes)
        redisPort = ports[0]
        balancerPort = hasBalancer ? ports[1] : nil
        for number in 1...nodes {
            gateways.append(Gateway(name: "gateway-\(number)", port: ports[2 * number], opsPort: ports[2 * number + 1]))
        }
    }

    /// Where clients connect: the balancer, or the gateways.
    package func addresses() throws -> [ServerAddress] {
        try (balancerPort.map { [$0] } ?? gateways.map(\.port)).map { try ServerAddress("ws://127.0.0.1:\($0)/ws") }
    }

    /// By the gateways' names.
    package func metrics() throws -> [(node: String, page: HTTPGet)] {
        try gateways.map { ($0.name, try HTTPGet("http://127.0.0.1:\($0.opsPort)/metrics")) }
    }

    /// What Redis says of itself; nil while it is away.
    package func redisInfo() async -> RedisInfo? {
        (try? await RedisControl.say("INFO", port: redisPort)).map { RedisInfo($0) }
    }

    private func startAll() async throws {
        try await startRedis()
        for index in gateways.indices { try launchGateway(index) }
        for index in gateways.indices { try await gatewayReady(index) }
        try await startBalancer()
    }

    /// Ends all of it.
    package func stop() async {
        let all = gateways.map(\.process) + [redis, balancer]
        for process in all { process?.signal(SIGKILL) }
        for process in all { try? await process?.ended(within: .seconds(5)) }
        try? FileManager.default.removeItem(at: folder)
    }

    // MARK: - Starting

    private func startRedis() async throws {
        let process = try LocalProcess(
            "redis", executable: "redis-server",
            arguments: [
                "--port", "\(redisPort)", "--bind", "127.0.0.1", "--dir", folder.path(), "--appendonly", "yes",
                "--appendfsync", "everysec", "--save", "", "--maxmemory-policy", "noeviction",
            ], folder: folder, watchdog: watchdog)
        redis = process
        try await ready(process) { [redisPort] in
            // While it reads its file it answers with an error.
            (try? await RedisControl.say("PING", port: redisPort)) != nil
        }
    }

    private func launchGateway(_ index: Int) throws {
        let gateway = gateways[index]
        var arguments = [
            "serve", "--node", gateway.name, "--redis", "redis://127.0.0.1:\(redisPort)", "--listen",
            "127.0.0.1:\(gateway.port)", "--ops-listen", "127.0.0.1:\(gateway.opsPort)",
        ]
        let environment = ProcessInfo.processInfo.environment
        // What a test wants, unless somebody wants it otherwise.
        if environment["ROOST_CONFIG"] == nil {
            if environment["ROOST_DRAIN_TIME"] == nil, environment["ROOST_DRAIN_DEADLINE"] == nil {
                arguments += ["--drain-time", "2", "--drain-deadline", "6"]
            }
            if environment["ROOST_MESSAGES_PER_SECOND"] == nil { arguments += ["--messages-per-second", "0"] }
            if environment["ROOST_RETRIES_PER_SECOND"] == nil { arguments += ["--retries-per-second", "0"] }
        }
        gateways[index].process = try LocalProcess(
            gateway.name, executable: executable, arguments: arguments, folder: folder, watchdog: watchdog)
    }

    private func gatewayReady(_ index: Int) async throws {
        guard let process = gateways[index].process else { return }
        let page = try HTTPGet("http://127.0.0.1:\(gateways[index].opsPort)/readyz")
        try await ready(process) { (try? await page.fetch().status) == 200 }
    }

    private func startBalancer() async throws {
        guard let balancerPort else { return }
        let configuration = folder.appending(path: "haproxy.cfg")
        try Data(PackageResources.haproxy_cfg).write(to: configuration)
        var environment = ["BALANCER_LISTEN": "127.0.0.1:\(balancerPort)"]
        for (number, gateway) in zip(1..., gateways) {
            environment["GATEWAY_\(number)"] = "127.0.0.1:\(gateway.port)"
            environment["GATEWAY_\(number)_OPS"] = "\(gateway.opsPort)"
        }
        let process = try LocalProcess(
            "balancer", executable: "haproxy", arguments: ["-db", "-f", configuration.path()],
            environment: environment, folder: folder, watchdog: watchdog)
        balancer = process
        let page = try HTTPGet("http://127.0.0.1:\(balancerPort)/")
        try await ready(process) { (try? await page.fetch().status) == 200 }
    }

    private func ready(_ process: LocalProcess, _ isReady: @escaping @Sendable () async throws -> Bool) async throws {
        do {
            try await Patience.wait(for: "\(process.name) to be ready", within: .seconds(30)) {
                if let how = process.howItEnded {
                    throw LoadRunError(description: "\(process.name) ended with \(how)")
                }
                return try await isReady()
            }
        } catch let error as LoadRunError {
            throw LoadRunError(description: "\(error). Its last lines:\n\(process.lastLines)")
        }
    }

    // MARK: - Faults

    package func perform(_ fault: Fault) async throws {
        switch fault.action {
        case .kill:
            let process = try process(of: fault.target)
            process.signal(SIGKILL)
            try await process.ended()
        case .stop:
            try await end(process(of: fault.target))
        case .restart:
            try await restart(fault.target)
        case .pause:
            try process(of: fault.target).signal(SIGSTOP)
        case .resume:
            try process(of: fault.target).signal(SIGCONT)
        case .flush:
            try await RedisControl.say("FLUSHALL", port: redisPort)
        case .drop:
            try await RedisControl.say("CLIENT KILL TYPE pubsub", port: redisPort)
        case .roll:
            for number in 1...gateways.count { try await restart(.gateway(number)) }
        }
    }

    private func process(of target: Fault.Target) throws -> LocalProcess {
        let process: LocalProcess? =
            switch target {
            case .redis: redis
            case .balancer: balancer
            case .gateway(let number): number <= gateways.count ? gateways[number - 1].process : nil
            case .subscription, .clients, .all: nil
            }
        guard let process else {
            throw LoadRunError(description: "there is no \(target) in this cluster")
        }
        return process
    }

    private func end(_ process: LocalProcess) async throws {
        process.signal(SIGTERM)
        // One that was paused would not hear of it.
        process.signal(SIGCONT)
        try await process.ended()
    }

    private func restart(_ target: Fault.Target) async throws {
        try await end(process(of: target))
        switch target {
        case .redis: try await startRedis()
        case .balancer: try await startBalancer()
        case .gateway(let number):
            try launchGateway(number - 1)
            try await gatewayReady(number - 1)
        case .subscription, .clients, .all: break
        }
    }
}

package import Foundation
import Synchronization

/// HAProxy with the configuration that is deployed, in front of a test's gateways: a master with a worker, so that it
/// can be reloaded.
package final class HAProxy: Sendable {
    package let port: Int
    private let environment: [String: String]
    private let folder: URL
    private let process: Mutex<ChildProcess>

    private init(port: Int, environment: [String: String], folder: URL, process: ChildProcess) {
        self.port = port
        self.environment = environment
        self.folder = folder
        self.process = Mutex(process)
    }

    /// Starts it and waits until it passes requests to a gateway that is ready.
    package static func start(before gateways: [GatewayProcess], folder: URL) async throws -> HAProxy {
        var environment: [String: String] = [:]
        for (number, gateway) in zip(1..., gateways) {
            environment["GATEWAY_\(number)"] = "127.0.0.1:\(gateway.port)"
            environment["GATEWAY_\(number)_OPS"] = "\(gateway.opsPort)"
        }
        var attempts = 1
        while true {
            let port = try FreePort.find()
            environment["BALANCER_LISTEN"] = "127.0.0.1:\(port)"
            let process = try launch(environment, folder)
            do {
                try await passesRequests(process, port: port)
                return HAProxy(port: port, environment: environment, folder: folder, process: process)
            } catch {
                await end(process)
                guard attempts < 3, process.output.contains("cannot bind") else { throw error }
                attempts += 1
            }
        }
    }

    private static func launch(_ environment: [String: String], _ folder: URL) throws -> ChildProcess {
        try ChildProcess(
            "haproxy", executable: "haproxy",
            arguments: ["-W", "-db", "-f", Checkout.url.appending(path: "deploy/haproxy.cfg").path()],
            environment: environment, folder: folder)
    }

    private static func passesRequests(_ process: ChildProcess, port: Int) async throws {
        try await eventually("HAProxy passes requests on") { () -> Bool? in
            if let ending = process.endingSoFar {
                throw Impatience(description: "HAProxy ended with \(ending):\n\(process.output)")
            }
            return try await HTTPProbe.get("/", port: port).status == 200 ? true : nil
        }
    }

    package var url: String { "ws://127.0.0.1:\(port)/ws" }
    package var output: String { current.output }

    /// SIGUSR2: a new worker reads the configuration and takes the new connections; the old one keeps its own.
    package func reload() async throws {
        let before = current.workers
        current.signal(SIGUSR2)
        try await eventually("a new worker of HAProxy") { self.current.workers.isSubset(of: before) ? nil : true }
        try await Self.passesRequests(current, port: port)
    }

    /// SIGKILL to the master and its workers: all connections end.
    package func kill() async { await Self.end(current) }

    /// Starts it again on the same port, after ``kill()``.
    package func restart() async throws {
        let next = try Self.launch(environment, folder)
        process.withLock { $0 = next }
        try await Self.passesRequests(next, port: port)
    }

    package func stop() async { await kill() }

    private var current: ChildProcess { process.withLock { $0 } }

    /// Workers of a master that was killed end by themselves, but not at once.
    private static func end(_ master: ChildProcess) async {
        let workers = master.workers
        await master.killAndWait()
        for worker in workers { _ = Foundation.kill(worker, SIGKILL) }
    }
}

extension ChildProcess {
    /// The processes that it has started itself. Of Linux; empty elsewhere.
    fileprivate var workers: Set<Int32> {
        let children = try? String(contentsOfFile: "/proc/\(pid)/task/\(pid)/children", encoding: .utf8)
        return Set((children ?? "").split(separator: " ").compactMap { Int32($0) })
    }
}

package import Foundation
import Synchronization

/// A `roost serve` of a test's own, as a process of its own.
package final class GatewayProcess: Sendable {
    package let node: String
    package let port: Int
    package let opsPort: Int
    private let arguments: [String]
    private let environment: [String: String]
    private let folder: URL
    private let descriptors: Int?
    private let process: Mutex<ChildProcess>

    private init(
        node: String, port: Int, opsPort: Int, arguments: [String], environment: [String: String], folder: URL,
        descriptors: Int?
    ) throws {
        self.descriptors = descriptors
        self.node = node
        self.port = port
        self.opsPort = opsPort
        self.arguments = arguments
        self.environment = environment
        self.folder = folder
        process = Mutex(
            try Self.launch(
                node: node, port: port, opsPort: opsPort, arguments: arguments, environment: environment,
                folder: folder, descriptors: descriptors))
    }

    /// Starts a gateway on free ports and waits until it answers `/healthz`, which it does before it is ready.
    ///
    /// - Parameters:
    ///   - redis: nil: it keeps its rooms in memory.
    ///   - arguments: More flags of `roost serve`.
    ///   - environment: Added to the test's own.
    ///   - descriptors: How many files it may have open; nil: as many as the test.
    package static func start(
        node: String, redis: String?, arguments: [String] = [], environment: [String: String] = [:], folder: URL,
        descriptors: Int? = nil
    ) async throws -> GatewayProcess {
        let all = (redis.map { ["--redis", $0] } ?? []) + arguments
        var attempts = 1
        while true {
            let gateway = try GatewayProcess(
                node: node, port: FreePort.find(), opsPort: FreePort.find(), arguments: all, environment: environment,
                folder: folder, descriptors: descriptors)
            do {
                try await gateway.listening()
                return gateway
            } catch {
                await gateway.current.killAndWait()
                // Somebody else may have taken the port in between.
                guard attempts < 3, gateway.current.output.contains("in use") else { throw error }
                attempts += 1
            }
        }
    }

    /// Starts a command of the `roost` executable.
    package static func command(
        _ arguments: [String], environment: [String: String] = [:], folder: URL
    ) throws -> ChildProcess {
        try ChildProcess(
            "roost", executable: executable.path(), arguments: arguments, environment: environment, folder: folder)
    }

    package var url: String { "ws://127.0.0.1:\(port)/ws" }
    package var opsURL: String { "http://127.0.0.1:\(opsPort)" }
    package var pid: Int32 { current.pid }
    package var output: String { current.output }

    /// nil while it runs.
    package var ending: ChildProcess.Ending? { current.endingSoFar }

    /// Files and sockets that it has open. Of Linux; 0 elsewhere.
    package var openFiles: Int {
        (try? FileManager.default.contentsOfDirectory(atPath: "/proc/\(pid)/fd").count) ?? 0
    }

    /// Waits until it takes clients.
    package func ready(within limit: Duration = .seconds(20)) async throws {
        try await eventually("\(node) is ready", within: limit) { try await self.answers("/readyz", with: 200) }
    }

    /// Waits until it says that it takes no clients, or does not answer.
    package func unready(within limit: Duration = .seconds(20)) async throws {
        try await eventually("\(node) is not ready", within: limit) {
            let status = try? await self.ops("/readyz").status
            return status == 200 ? nil : true
        }
    }

    /// Asks the operations port.
    package func ops(_ path: String) async throws -> HTTPAnswer {
        try await HTTPProbe.get(path, port: opsPort)
    }

    /// The value of a metric without labels; 0 when it is not there.
    package func metric(_ name: String) async throws -> Int {
        let line = try await ops("/metrics").body.split(separator: "\n").first { $0.hasPrefix("\(name) ") }
        return line.flatMap { Int($0.dropFirst(name.count + 1)) } ?? 0
    }

    /// What it has in memory. Of Linux (proc(5), statm); 0 elsewhere.
    package var residentBytes: Int {
        let text = (try? String(contentsOfFile: "/proc/\(pid)/statm", encoding: .utf8)) ?? ""
        return (text.split(separator: " ").dropFirst().first.flatMap { Int($0) } ?? 0) * sysconf(Int32(_SC_PAGESIZE))
    }

    /// A gateway without Redis for as long as some work takes. What it has printed is shown when that fails.
    package static func run(_ arguments: [String], work: (GatewayProcess) async throws -> Void) async throws {
        let folder = try ScratchFolder("gateway")
        defer { folder.remove() }
        let gateway = try await start(node: "gateway", redis: nil, arguments: arguments, folder: folder.url)
        do {
            try await work(gateway)
            await gateway.kill()
        } catch {
            print(gateway.output)
            await gateway.kill()
            throw error
        }
    }

    /// SIGKILL; returns when it is gone.
    package func kill() async { await current.killAndWait() }

    /// SIGTERM; the drain begins.
    package func terminate() { current.signal(SIGTERM) }

    /// Waits until it has ended.
    package func end(within limit: Duration = .seconds(30)) async throws -> ChildProcess.Ending {
        let current = current
        return try await eventually("\(node) has ended", within: limit) { current.endingSoFar }
    }

    /// SIGSTOP: connected, but deaf and dumb.
    package func pause() { current.signal(SIGSTOP) }

    /// SIGCONT.
    package func resume() { current.signal(SIGCONT) }

    /// Starts it again on the same ports, once it has ended, and waits until it takes clients.
    package func restart() async throws {
        await current.killAndWait()
        let next = try Self.launch(
            node: node, port: port, opsPort: opsPort, arguments: arguments, environment: environment, folder: folder,
            descriptors: descriptors)
        process.withLock { $0 = next }
        try await listening()
        try await ready()
    }

    private var current: ChildProcess { process.withLock { $0 } }

    private func listening() async throws {
        let current = current
        try await eventually("\(node) answers") {
            if let ending = current.endingSoFar {
                throw Impatience(description: "\(self.node) ended with \(ending):\n\(current.output)")
            }
            return try await self.answers("/healthz", with: 200)
        }
    }

    private func answers(_ path: String, with status: Int) async throws -> Bool? {
        try await ops(path).status == status ? true : nil
    }

    private static func launch(
        node: String, port: Int, opsPort: Int, arguments: [String], environment: [String: String], folder: URL,
        descriptors: Int?
    ) throws -> ChildProcess {
        let command =
            [
                executable.path(), "serve", "--listen", "127.0.0.1:\(port)", "--ops-listen", "127.0.0.1:\(opsPort)",
                "--node", node,
            ] + arguments
        guard let descriptors else {
            return try ChildProcess(
                node, executable: command[0], arguments: Array(command.dropFirst()), environment: environment,
                folder: folder)
        }
        return try ChildProcess(
            node, executable: "bash", arguments: ["-c", "ulimit -n \(descriptors) && exec \"$0\" \"$@\""] + command,
            environment: environment, folder: folder)
    }

    /// The build puts the executable beside the tests.
    private static let executable: URL = {
        let bundles = Bundle.allBundles.map(\.bundleURL).filter { $0.pathExtension == "xctest" }
        let tests = bundles.first ?? Bundle.main.executableURL ?? URL(filePath: CommandLine.arguments[0])
        return tests.resolvingSymlinksInPath().deletingLastPathComponent().appending(path: "roost")
    }()
}

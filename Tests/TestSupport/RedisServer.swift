import Foundation
import Synchronization

/// A real redis-server of a test's own: on a free port and a unix socket, in a folder of its own, killed with the tests.
package final class RedisServer: Sendable {
    /// What a server is started with.
    package struct Options: Sendable {
        /// Whether what was acknowledged survives a kill (an append-only file) or nothing does.
        package var isPersistent = true
        package var password: String?
        /// Serves TLS, on the port, with this certificate; the unix socket stays plain.
        package var certificate: TestCertificate?
        /// Where it keeps its data; nil: in the folder that it has for itself anyway.
        package var dataFolder: String?
        /// More flags for redis-server.
        package var arguments: [String] = []

        package init() {}
    }

    package let port: Int
    package let socketPath: String
    private let options: Options
    private let folder: ScratchFolder
    private let process: Mutex<ChildProcess>

    private init(port: Int, options: Options, folder: ScratchFolder, process: ChildProcess) {
        self.port = port
        self.options = options
        self.folder = folder
        self.process = Mutex(process)
        socketPath = Self.socketPath(folder)
    }

    /// Starts a server and waits until it takes connections.
    ///
    /// - Throws: ``MissingProgram`` when redis-server is not installed.
    package static func start(_ options: Options = Options()) async throws -> RedisServer {
        var attempts = 0
        while true {
            let folder = try ScratchFolder("redis")
            let port = try FreePort.find()
            do {
                let process = try await launch(port: port, options: options, folder: folder)
                return RedisServer(port: port, options: options, folder: folder, process: process)
            } catch {
                folder.remove()
                // Somebody else may have taken the port meanwhile.
                attempts += 1
                guard attempts < 3, !(error is MissingProgram) else { throw error }
            }
        }
    }

    /// Starts a server, does `work` with it, and ends it. When `work` throws, the server's log is printed.
    package static func run(_ options: Options = Options(), _ work: (RedisServer) async throws -> Void) async throws {
        let server = try await start(options)
        do {
            try await work(server)
        } catch {
            print("---- redis-server\n\(server.output)")
            await server.stop()
            throw error
        }
        await server.stop()
    }

    /// For `roost serve --redis`; with the password, if there is one.
    package var url: String {
        let login = options.password.map { ":\($0)@" } ?? ""
        return "\(options.certificate == nil ? "redis" : "rediss")://\(login)127.0.0.1:\(port)"
    }

    package var pid: Int32 { process.withLock { $0.pid } }
    package var output: String { process.withLock { $0.output } }
    /// Not killed, though it may be held.
    package var isRunning: Bool { process.withLock { $0.endingSoFar } == nil }

    /// Ends it at once, as a crash would.
    package func kill() async {
        await process.withLock { $0 }.killAndWait()
    }

    /// Starts it again after ``kill()``, on the same port and with what it had stored.
    ///
    /// - Parameter forgetting: It has lost all its data.
    package func restart(forgetting: Bool = false) async throws {
        if forgetting { Self.removeData(options, folder) }
        let again = try await Self.launch(port: port, options: options, folder: folder)
        process.withLock { $0 = again }
    }

    /// What it has stored until now, in a folder of the caller's.
    package func copyData() throws -> ScratchFolder {
        let copy = try ScratchFolder("redis-data")
        try FileManager.default.copyItem(
            at: data.appending(path: Self.appendOnly), to: copy.url.appending(path: Self.appendOnly))
        return copy
    }

    /// Starts it again after ``kill()`` with what ``copyData()`` has copied, as from a backup.
    package func restart(with copy: ScratchFolder) async throws {
        Self.removeData(options, folder)
        try FileManager.default.copyItem(
            at: copy.url.appending(path: Self.appendOnly), to: data.appending(path: Self.appendOnly))
        try await restart()
    }

    private static let appendOnly = "appendonlydir"
    private var data: URL { Self.data(options, folder) }

    /// Holds it: its connections stay open and nothing is answered.
    package func suspend() { process.withLock { $0 }.signal(SIGSTOP) }

    package func resume() { process.withLock { $0 }.signal(SIGCONT) }

    /// Ends it and removes its folder.
    package func stop() async {
        await kill()
        folder.remove()
    }

    /// Runs one command with redis-cli. What it answers, as redis-cli prints it into a pipe.
    @discardableResult
    package func command(_ words: String...) async throws -> String { try await command(words) }

    /// Runs one command with redis-cli, of which the first words may be options of redis-cli.
    @discardableResult
    package func command(_ words: [String]) async throws -> String {
        let login = options.password.map { ["--no-auth-warning", "-a", $0] } ?? []
        return try await RedisCLI.run(["-s", socketPath] + login + words, folder: folder.url)
    }

    private static func socketPath(_ folder: ScratchFolder) -> String {
        folder.url.appending(path: "redis.sock").path()
    }

    private static func data(_ options: Options, _ folder: ScratchFolder) -> URL {
        options.dataFolder.map { URL(filePath: $0) } ?? folder.url
    }

    private static func removeData(_ options: Options, _ folder: ScratchFolder) {
        for name in [appendOnly, "dump.rdb"] {
            try? FileManager.default.removeItem(at: data(options, folder).appending(path: name))
        }
    }

    private static func launch(port: Int, options: Options, folder: ScratchFolder) async throws -> ChildProcess {
        var arguments = ["--bind", "127.0.0.1", "--unixsocket", socketPath(folder)]
        arguments += ["--dir", options.dataFolder ?? folder.url.path()]
        arguments += ["--save", "", "--appendonly", options.isPersistent ? "yes" : "no"]
        if let password = options.password { arguments += ["--requirepass", password] }
        if let certificate = options.certificate {
            arguments += ["--port", "0", "--tls-port", "\(port)", "--tls-auth-clients", "no"]
            arguments += ["--tls-cert-file", certificate.certificate, "--tls-key-file", certificate.key]
            arguments += ["--tls-ca-cert-file", certificate.certificate]
        } else {
            arguments += ["--port", "\(port)"]
        }
        let process = try ChildProcess(
            "redis-server", executable: "redis-server", arguments: arguments + options.arguments, folder: folder.url)
        do {
            try await eventually("redis-server takes connections") { () -> Bool? in
                if process.endingSoFar != nil {
                    throw Impatience(description: "redis-server ended: \(process.output)")
                }
                return process.output.contains("eady to accept connections") ? true : nil
            }
        } catch {
            await process.killAndWait()
            throw error
        }
        return process
    }
}

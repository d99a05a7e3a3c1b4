import Foundation

/// A primary with replicas, watched by three sentinels, all of a test's own.
package final class SentinelTrio: Sendable {
    package struct Options: Sendable {
        package var replicas = 2
        /// After so long without an answer a sentinel holds a server to be down.
        package var downAfterMilliseconds = 1_000
        /// For the servers and in ``SentinelTrio/url``.
        package var password: String?
        /// For the sentinels and in ``SentinelTrio/url``.
        package var sentinelPassword: String?
        /// More flags for each redis-server, such as `--min-replicas-to-write 1`.
        package var arguments: [String] = []
        /// More flags for the first primary.
        package var primaryArguments: [String] = []

        package init() {}
    }

    /// What the sentinels call the primary.
    package static let name = "main"

    /// The first primary, then the first replicas.
    package let servers: [RedisServer]
    package let sentinels: [Sentinel]
    private let options: Options

    private init(servers: [RedisServer], sentinels: [Sentinel], options: Options) {
        self.servers = servers
        self.sentinels = sentinels
        self.options = options
    }

    /// Starts all of it, waits until the sentinels know each other and the replicas, does `work`, and ends all of it.
    /// When `work` throws, what the processes wrote is printed.
    package static func run(_ options: Options = Options(), _ work: (SentinelTrio) async throws -> Void) async throws {
        let folder = try ScratchFolder("sentinel")
        defer { folder.remove() }
        var servers: [RedisServer] = []
        var sentinels: [Sentinel] = []
        do {
            for number in 0...options.replicas {
                var own = RedisServer.Options()
                own.password = options.password
                own.arguments = ["--repl-diskless-sync-delay", "0"] + options.arguments
                if let password = options.password { own.arguments += ["--masterauth", password] }
                own.arguments +=
                    number > 0 ? ["--replicaof", "127.0.0.1 \(servers[0].port)"] : options.primaryArguments
                servers.append(try await RedisServer.start(own))
            }
            for number in 1...3 {
                sentinels.append(
                    try await Sentinel.start(number, primary: servers[0].port, options: options, folder: folder.url))
            }
            let trio = SentinelTrio(servers: servers, sentinels: sentinels, options: options)
            for sentinel in sentinels { try await trio.settled(sentinel) }
            try await work(trio)
        } catch {
            for server in servers { print("---- redis-server \(server.port)\n\(server.output)") }
            for sentinel in sentinels { print("---- sentinel \(sentinel.port)\n\(sentinel.output)") }
            await stop(servers, sentinels)
            throw error
        }
        await stop(servers, sentinels)
    }

    /// For `roost serve --redis`.
    package var url: String {
        let login = options.password.map { ":\($0)@" } ?? ""
        let query = options.sentinelPassword.map { "?sentinel_password=\($0)" } ?? ""
        let hosts = sentinels.map { "127.0.0.1:\($0.port)" }.joined(separator: ",")
        return "redis+sentinel://\(login)\(hosts)/\(Self.name)\(query)"
    }

    /// The server that was the primary at first.
    package var primary: RedisServer { servers[0] }

    /// The servers that were replicas at first.
    package var replicas: [RedisServer] { Array(servers.dropFirst()) }

    /// The server that the sentinels call the primary now: the first of them that answers.
    package func currentPrimary() async throws -> RedisServer {
        var failure: any Error = Impatience(description: "there is no sentinel")
        for sentinel in sentinels {
            do {
                let port = try await sentinel.command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", Self.name)
                    .split(separator: "\n").last.flatMap { Int($0) }
                if let server = servers.first(where: { $0.port == port }) { return server }
            } catch {
                failure = error
            }
        }
        throw failure
    }

    /// Waits until the sentinels call another server the primary than `former`, and that one says so itself; the new one.
    @discardableResult
    package func primary(otherThan former: RedisServer) async throws -> RedisServer {
        try await eventually("another primary than \(former.port)", within: .seconds(30)) {
            let now = try await currentPrimary()
            guard now !== former, try await now.command("ROLE").hasPrefix("master") else { return nil }
            return now
        }
    }

    /// A planned failover: asks a sentinel for it and waits for its end; the new primary.
    @discardableResult
    package func failover() async throws -> RedisServer {
        let former = try await currentPrimary()
        var askedAt: ContinuousClock.Instant?
        return try await eventually("another primary than \(former.port)", within: .seconds(60)) {
            let now = try await currentPrimary()
            if now !== former { return try await now.command("ROLE").hasPrefix("master") ? now : nil }
            // It may have to look at the replicas first (NOGOODSLAVE), and gives up when one is not promoted in time.
            if askedAt.map({ $0.duration(to: .now) > .seconds(10) }) ?? true,
                try await sentinels[0].command("SENTINEL", "FAILOVER", Self.name) == "OK"
            {
                askedAt = .now
            }
            return nil
        }
    }

    /// The sentinel sees the other two and the replicas, and all of them agree.
    private func settled(_ sentinel: Sentinel) async throws {
        try await eventually("sentinel \(sentinel.port) knows all", within: .seconds(30), every: .milliseconds(100)) {
            let lines = try await sentinel.command("SENTINEL", "MASTER", Self.name).split(separator: "\n")
            func value(_ name: String) -> Int? {
                lines.firstIndex { $0 == name }.flatMap { Int(lines[lines.index(after: $0)]) }
            }
            return value("num-other-sentinels") == 2 && value("num-slaves") == options.replicas ? true : nil
        }
    }

    private static func stop(_ servers: [RedisServer], _ sentinels: [Sentinel]) async {
        for sentinel in sentinels { await sentinel.kill() }
        for server in servers { await server.stop() }
    }

    /// One of the three.
    package final class Sentinel: Sendable {
        package let port: Int
        private let password: String?
        private let folder: URL
        private let process: ChildProcess

        private init(port: Int, password: String?, folder: URL, process: ChildProcess) {
            self.port = port
            self.password = password
            self.folder = folder
            self.process = process
        }

        fileprivate static func start(
            _ number: Int, primary: Int, options: Options, folder: URL
        ) async throws -> Sentinel {
            let port = try FreePort.find()
            let own = folder.appending(path: "sentinel-\(number)")
            try FileManager.default.createDirectory(at: own, withIntermediateDirectories: true)
            var lines = [
                "port \(port)", "bind 127.0.0.1", "dir \"\(own.path())\"",
                "sentinel monitor \(SentinelTrio.name) 127.0.0.1 \(primary) 2",
                "sentinel down-after-milliseconds \(SentinelTrio.name) \(options.downAfterMilliseconds)",
                "sentinel failover-timeout \(SentinelTrio.name) 5000", "sentinel parallel-syncs \(SentinelTrio.name) 2",
            ]
            if let password = options.password { lines.append("sentinel auth-pass \(SentinelTrio.name) \(password)") }
            if let password = options.sentinelPassword {
                lines += ["requirepass \(password)", "sentinel sentinel-pass \(password)"]
            }
            let file = own.appending(path: "sentinel.conf")
            try Data((lines.joined(separator: "\n") + "\n").utf8).write(to: file)
            let process = try ChildProcess(
                "sentinel", executable: "redis-server", arguments: [file.path(), "--sentinel"], folder: own)
            let sentinel = Sentinel(port: port, password: options.sentinelPassword, folder: own, process: process)
            do {
                try await eventually("a sentinel answers") {
                    if process.endingSoFar != nil {
                        throw Impatience(description: "a sentinel ended: \(process.output)")
                    }
                    return try await sentinel.command("PING") == "PONG" ? true : nil
                }
            } catch {
                await process.killAndWait()
                throw error
            }
            return sentinel
        }

        package var output: String { process.output }

        package func kill() async { await process.killAndWait() }

        /// Holds it: its connections stay open and nothing is answered.
        package func suspend() { process.signal(SIGSTOP) }

        package func resume() { process.signal(SIGCONT) }

        /// Runs one command with redis-cli. What it answers, as redis-cli prints it into a pipe.
        @discardableResult
        package func command(_ words: String...) async throws -> String {
            let login = password.map { ["--no-auth-warning", "-a", $0] } ?? []
            return try await RedisCLI.run(["-p", "\(port)"] + login + words, folder: folder)
        }
    }
}

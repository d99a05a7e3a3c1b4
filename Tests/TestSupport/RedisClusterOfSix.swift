import Foundation

/// A Redis Cluster of three primaries with a replica each, all of a test's own.
package final class RedisClusterOfSix: Sendable {
    package struct Options: Sendable {
        /// After so long without an answer a node is held to be down.
        package var nodeTimeoutMilliseconds = 2_000
        /// For all nodes and in ``RedisClusterOfSix/url``.
        package var password: String?
        /// More flags for each redis-server.
        package var arguments: [String] = []

        package init() {}
    }

    /// A line of `CLUSTER NODES`.
    package struct Member: Sendable {
        package var id: String
        package var server: RedisServer
        package var isPrimary: Bool
        package var hasFailed: Bool
        package var slots: [ClosedRange<Int>]
    }

    /// The first three were primaries at first.
    package let nodes: [RedisServer]
    private let options: Options
    private let folder: ScratchFolder

    private init(nodes: [RedisServer], options: Options, folder: ScratchFolder) {
        self.nodes = nodes
        self.options = options
        self.folder = folder
    }

    /// Starts the six, joins them, waits until all agree, does `work`, and ends all of it. When `work` throws, what the
    /// processes wrote is printed.
    package static func run(
        _ options: Options = Options(), _ work: (RedisClusterOfSix) async throws -> Void
    ) async throws {
        let folder = try ScratchFolder("redis-cluster")
        defer { folder.remove() }
        var nodes: [RedisServer] = []
        do {
            var buses: [Int] = []
            for _ in 0..<6 {
                let bus = try FreePort.find()
                var own = RedisServer.Options()
                own.password = options.password
                own.arguments = [
                    "--cluster-enabled", "yes", "--cluster-port", "\(bus)", "--cluster-node-timeout",
                    "\(options.nodeTimeoutMilliseconds)", "--cluster-require-full-coverage", "no",
                    "--repl-diskless-sync-delay", "0",
                ]
                if let password = options.password { own.arguments += ["--masterauth", password] }
                own.arguments += options.arguments
                nodes.append(try await RedisServer.start(own))
                buses.append(bus)
            }
            let cluster = RedisClusterOfSix(nodes: nodes, options: options, folder: folder)
            let addresses = zip(nodes, buses).map { "127.0.0.1:\($0.port)@\($1)" }
            _ = try await RedisCLI.run(
                cluster.login + ["--cluster", "create"] + addresses + ["--cluster-replicas", "1", "--cluster-yes"],
                folder: folder.url)
            try await cluster.settled()
            try await work(cluster)
        } catch {
            for node in nodes { print("---- redis-server \(node.port)\n\(node.output)") }
            for node in nodes { await node.stop() }
            throw error
        }
        for node in nodes { await node.stop() }
    }

    /// For `roost serve --redis`; names three of the six.
    package var url: String {
        let login = options.password.map { ":\($0)@" } ?? ""
        return "redis+cluster://\(login)" + nodes.prefix(3).map { "127.0.0.1:\($0.port)" }.joined(separator: ",")
    }

    /// What the first node that answers knows of all.
    package func members() async throws -> [Member] {
        var failure: any Error = Impatience(description: "there is no node")
        for node in nodes where node.isRunning {
            do {
                return try await members(seenBy: node)
            } catch {
                failure = error
            }
        }
        throw failure
    }

    /// The primary that serves a slot.
    package func primary(of slot: Int) async throws -> RedisServer {
        let members = try await members()
        guard let owner = members.first(where: { member in member.slots.contains { $0.contains(slot) } }) else {
            throw ProgramFailure(description: "nobody serves slot \(slot)")
        }
        return owner.server
    }

    /// Waits until a slot is served by another primary than `former`; the new one.
    @discardableResult
    package func primary(of slot: Int, otherThan former: RedisServer) async throws -> RedisServer {
        try await eventually("slot \(slot) is served by another node than \(former.port)", within: .seconds(30)) {
            for node in nodes where node !== former && node.isRunning {
                let owner = try await members(seenBy: node).first { member in
                    member.slots.contains { $0.contains(slot) }
                }
                guard let owner, owner.server !== former, !owner.hasFailed else { return nil }
            }
            return try await primary(of: slot)
        }
    }

    /// The slot of a key or channel, as Redis counts it.
    package func slot(of key: String) async throws -> Int {
        let answer = try await nodes.first { $0.isRunning }?.command("CLUSTER", "KEYSLOT", key)
        guard let slot = answer.flatMap({ Int($0) }) else {
            throw ProgramFailure(description: "no slot for \(key)")
        }
        return slot
    }

    /// A step in the migration of a slot, at which a test may do something.
    package enum Step: Sendable {
        /// Both sides know of the migration, all keys are at the source.
        case begun
        /// All keys are at the target, the slot still belongs to the source.
        case keysMoved
    }

    /// Moves a slot to another primary, key by key, as `redis-cli --cluster reshard` does.
    package func migrate(
        slot: Int, to target: RedisServer, at step: (Step) async throws -> Void = { _ in }
    ) async throws {
        let members = try await members()
        guard let from = members.first(where: { member in member.slots.contains { $0.contains(slot) } }),
            let to = members.first(where: { $0.server === target })
        else { throw ProgramFailure(description: "nobody serves slot \(slot)") }
        guard from.server !== target else { return }
        let number = "\(slot)"
        try await does(target, "CLUSTER", "SETSLOT", number, "IMPORTING", from.id)
        try await does(from.server, "CLUSTER", "SETSLOT", number, "MIGRATING", to.id)
        try await step(.begun)
        let login = options.password.map { ["AUTH", $0] } ?? []
        while true {
            let keys = try await from.server.command("CLUSTER", "GETKEYSINSLOT", number, "100")
                .split(separator: "\n").map(String.init)
            if keys.isEmpty { break }
            let moved = try await from.server.command(
                ["MIGRATE", "127.0.0.1", "\(target.port)", "", "0", "5000"] + login + ["KEYS"] + keys)
            guard ["OK", "NOKEY"].contains(moved) else { throw ProgramFailure(description: "MIGRATE: \(moved)") }
        }
        try await step(.keysMoved)
        // The target first, so that the slot is never nobody's.
        try await does(target, "CLUSTER", "SETSLOT", number, "NODE", to.id)
        try await does(from.server, "CLUSTER", "SETSLOT", number, "NODE", to.id)
        for other in members where other.isPrimary && other.server !== target && other.server !== from.server {
            try await does(other.server, "CLUSTER", "SETSLOT", number, "NODE", to.id)
        }
    }

    private func does(_ server: RedisServer, _ words: String...) async throws {
        let answer = try await server.command(words)
        guard answer == "OK" else { throw ProgramFailure(description: "\(words.joined(separator: " ")): \(answer)") }
    }

    /// A planned failover of the shard that serves a slot, asked of its replica; the new primary.
    @discardableResult
    package func failover(slot: Int) async throws -> RedisServer {
        let former = try await primary(of: slot)
        let successor = try await eventually("a replica of \(former.port)") { try await replica(of: former) }
        try await eventually("the replica begins the failover") {
            try await successor.command("CLUSTER", "FAILOVER") == "OK" ? true : nil
        }
        return try await primary(of: slot, otherThan: former)
    }

    /// A replica of this primary, if it has one that is connected.
    package func replica(of primary: RedisServer) async throws -> RedisServer? {
        for node in nodes where node !== primary && node.isRunning {
            let role = try await node.command("ROLE").split(separator: "\n")
            if role.first == "slave", role.contains("\(primary.port)"), role.contains("connected") { return node }
        }
        return nil
    }

    private var login: [String] { options.password.map { ["--no-auth-warning", "-a", $0] } ?? [] }

    /// All nodes know all, and the replicas have caught up.
    private func settled() async throws {
        for node in nodes {
            try await eventually("node \(node.port) knows all", within: .seconds(30), every: .milliseconds(100)) {
                let members = try await members(seenBy: node)
                let served = members.reduce(0) { $0 + $1.slots.reduce(0) { $0 + $1.count } }
                let state = try await node.command("CLUSTER", "INFO")
                let role = try await node.command("ROLE")
                return members.count == 6 && served == 16_384 && members.count(where: \.isPrimary) == 3
                    && state.contains("cluster_state:ok") && (role.hasPrefix("master") || role.contains("connected"))
                    ? true : nil
            }
        }
    }

    private func members(seenBy node: RedisServer) async throws -> [Member] {
        try await node.command("CLUSTER", "NODES").split(separator: "\n").compactMap { line in
            // ID HOST:PORT@BUS FLAGS PRIMARY PING PONG EPOCH STATE SLOTS…
            let words = line.split(separator: " ")
            guard words.count >= 8, let colon = words[1].lastIndex(of: ":"),
                let port = Int(words[1][words[1].index(after: colon)...].prefix { $0 != "@" && $0 != "," }),
                let server = nodes.first(where: { $0.port == port })
            else { return nil }
            let flags = words[2].split(separator: ",")
            let slots = words.dropFirst(8).compactMap { word -> ClosedRange<Int>? in
                let ends = word.split(separator: "-").compactMap { Int($0) }
                guard let first = ends.first, let last = ends.last, !word.hasPrefix("[") else { return nil }
                return first...last
            }
            return Member(
                id: String(words[0]), server: server, isPrimary: flags.contains("master"),
                hasFailed: flags.contains("fail"), slots: slots)
        }
    }
}

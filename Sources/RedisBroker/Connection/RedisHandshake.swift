import Hiredis
import NIOCore

/// What is said first on every connection, in one write, and what the answers mean.
struct RedisHandshake {
    enum Step: Equatable {
        case authenticate, select(Int), kill(RedisClientIdentity), name, identify, role, generation, policy, ping
        case load(Script)
    }

    enum Verdict: Equatable {
        case more
        /// Logged in, and Redis answers. The names of the loaded scripts, in the order of ``Step/load(_:)``; nil for
        /// one that Redis did not want to load, which then travels whole.
        case done([String?])
        case refused(String)
        /// It works, but may throw away what it was given: it is not to be used before somebody has changed it.
        case unsuitable(String)
    }

    /// What the other side is to us.
    enum Peer: Sendable, Equatable {
        /// It holds our data: it must be a primary that keeps what it was given.
        case store
        /// A sentinel or a node of a cluster that is only asked where the data is.
        case guide
    }

    private let url: RedisURL
    private let clientName: String
    private let steps: [Step]
    private var answered = 0
    private var digests: [String?] = []
    /// This connection, as Redis calls it; nil when Redis does not say.
    private(set) var identity: RedisClientIdentity?
    /// Which life of which store this is; nil when Redis does not say.
    private(set) var generation: String?
    /// Redis does not let us see whether it may throw away what it was given.
    private(set) var hidesPolicy = false

    /// - Parameter previous: the connection that this one replaces. What it sent and Redis has not read yet must not
    ///   take effect after what this one says.
    init(
        url: RedisURL, clientName: String, scripts: [Script], peer: Peer = .store, previous: RedisClientIdentity? = nil
    ) {
        self.url = url
        self.clientName = clientName
        var steps: [Step] = []
        if url.password != nil { steps.append(.authenticate) }
        if url.database != 0 { steps.append(.select(url.database)) }
        if let previous { steps.append(.kill(previous)) }
        // PING finds out what the others do not: that a login is needed, that Redis is loading or busy.
        switch peer {
        case .store: steps += [.name, .identify, .role, .generation, .policy, .ping]
        case .guide: steps += [.name, .ping]
        }
        self.steps = steps + scripts.map { .load($0) }
    }

    var commands: [[Argument]] {
        steps.map { step in
            switch step {
            case .authenticate:
                if let user = url.user {
                    ["AUTH", .text(user), .text(url.password ?? "")]
                } else {
                    ["AUTH", .text(url.password ?? "")]
                }
            case .select(let database): ["SELECT", .integer(database)]
            case .name: ["CLIENT", "SETNAME", .text(clientName)]
            case .kill(let previous): previous.killCommand
            case .identify: ["CLIENT", "INFO"]
            case .role: ["ROLE"]
            case .generation: ["INFO", "replication"]
            // A pattern: before Redis 7 only one name is taken.
            case .policy: ["CONFIG", "GET", "maxmemory*"]
            case .ping: ["PING"]
            case .load(let script): ["SCRIPT", "LOAD", .text(script.source)]
            }
        }
    }

    mutating func received(_ reply: Reply) -> Verdict {
        guard answered < steps.count else { return .refused("Redis answered what was not asked") }
        let step = steps[answered]
        answered += 1
        if let refusal = judge(reply, to: step) { return .refused(refusal) }
        if step == .policy, let reason = judgePolicy(reply) { return .unsuitable(reason) }
        return answered == steps.count ? .done(digests) : .more
    }

    private mutating func judge(_ reply: Reply, to step: Step) -> String? {
        switch (step, reply) {
        case (.authenticate, .error(let text)):
            if text.hasPrefix("WRONGPASS") || text.hasPrefix("ERR invalid password") {
                return "Redis refuses the user name or password (WRONGPASS): correct the Redis URL"
            }
            if text.hasPrefix("ERR AUTH <password> called without any password") {
                return "Redis has no password: take it out of the Redis URL"
            }
            // No more than the first word: some servers and proxies repeat what they were sent.
            return "Redis refuses the login (\(RedisError.code(of: text)))"
        case (.select(let database), .error(let text)):
            return "Redis refuses database \(database): \(RedisError.trimmed(text))"
        case (.ping, .error(let text)) where text.hasPrefix("NOAUTH"):
            return "Redis wants a password (NOAUTH): put it into the Redis URL, redis://:PASSWORD@host"
        case (.ping, .error(let text)) where RedisError.isPassing(text):
            return "Redis is not ready: \(RedisError.trimmed(text))"
        case (.role, .array(let parts)):
            guard case .bulk(let role)? = parts.first, String(buffer: role) != "master" else { return nil }
            return "this Redis is a \(String(buffer: role)), not a primary: it takes no writes"
        case (.identify, _):
            identity = RedisClientIdentity(reply)
            return nil
        case (.generation, .bulk(let info)):
            generation = StoreGeneration.read(String(buffer: info))
            return nil
        case (.load, .bulk(let digest)):
            digests.append(String(buffer: digest))
            return nil
        case (.load, _):
            digests.append(nil)
            return nil
        case (.authenticate, _), (.select, _), (.kill, _), (.name, _), (.role, _), (.generation, _), (.policy, _),
            (.ping, _):
            // A user whose rights do not include CLIENT, ROLE, INFO or CONFIG can work all the same.
            return nil
        }
    }

    /// Why a Redis of these settings must not hold logs: they carry a time to live, so that `volatile-…` takes them too.
    private mutating func judgePolicy(_ reply: Reply) -> String? {
        guard case .array(let parts) = reply else {
            hidesPolicy = true
            return nil
        }
        func value(_ name: String) -> String? {
            stride(from: 0, to: parts.count - 1, by: 2).lazy
                .first { parts[$0].bytes.map { String(buffer: $0) } == name }
                .flatMap { parts[$0 + 1].bytes.map { String(buffer: $0) } }
        }
        guard let policy = value("maxmemory-policy"), let limit = value("maxmemory") else {
            hidesPolicy = true
            return nil
        }
        guard limit != "0", policy != "noeviction" else { return nil }
        return """
            Redis would throw away messages in silence when its memory is full (maxmemory \(limit) with \
            maxmemory-policy \(policy)): set its maxmemory-policy to noeviction
            """
    }
}

/// Where Redis is and how to log in, read from a URL.
///
/// Accepted: `redis://[USER[:PASSWORD]@]HOST[:PORT][/DB]` and `unix://[USER[:PASSWORD]@]/PATH[?db=N]` for one server,
/// `redis+sentinel://[USER[:PASSWORD]@]HOST[:PORT],…/NAME[/DB]` for whichever server the sentinels call the primary of
/// that name, `redis+cluster://[USER[:PASSWORD]@]HOST[:PORT],…` for a Redis Cluster; `rediss` in place of `redis` for
/// TLS. User and password are those of the servers that hold data; sentinels that want a login get it by
/// `?sentinel_user=…&sentinel_password=…`. Everything is percent-decoded; `redis://:SECRET@HOST` is a password alone.
/// The host of a single server defaults to `127.0.0.1`, the port to 6379, that of a sentinel to 26379.
package struct RedisURL: Sendable, Equatable {
    package enum Endpoint: Sendable, Hashable {
        case tcp(host: String, port: Int)
        case unixSocket(path: String)
    }

    package enum Topology: Sendable, Equatable {
        case single(Endpoint)
        /// Whichever server these sentinels call the primary called `name`.
        case sentinel(name: String, sentinels: [Endpoint])
        /// The cluster that these servers belong to.
        case cluster(seeds: [Endpoint])
    }

    package var topology: Topology
    package var usesTLS: Bool
    package var user: String?
    package var password: String?
    package var database: Int
    package var sentinelUser: String?
    package var sentinelPassword: String?

    package init(
        _ topology: Topology, usesTLS: Bool = false, user: String? = nil, password: String? = nil, database: Int = 0,
        sentinelUser: String? = nil, sentinelPassword: String? = nil
    ) {
        self.topology = topology
        self.usesTLS = usesTLS
        self.user = user
        self.password = password
        self.database = database
        self.sentinelUser = sentinelUser
        self.sentinelPassword = sentinelPassword
    }

    package init(
        endpoint: Endpoint, usesTLS: Bool = false, user: String? = nil, password: String? = nil, database: Int = 0
    ) {
        self.init(.single(endpoint), usesTLS: usesTLS, user: user, password: password, database: database)
    }

    package static let acceptedForms = """
        redis://[user:password@]host[:port][/db], unix:///path/to/redis.sock[?db=N], \
        redis+sentinel://[user:password@]host[:port],…/name[/db], redis+cluster://[user:password@]host[:port],…; \
        rediss… for TLS
        """

    package init(_ text: String) throws(RedisURLError) {
        guard let separator = text.firstRange(of: "://") else {
            throw RedisURLError("it has no scheme")
        }
        let scheme = text[..<separator.lowerBound].lowercased()
        let rest = text[separator.upperBound...]
        switch scheme {
        case "redis": self = try Self.network(rest)
        case "unix", "redis+unix": self = try Self.unixSocket(rest)
        case "redis+sentinel": self = try Self.sentinel(rest)
        case "redis+cluster": self = try Self.cluster(rest)
        case "rediss": self = try Self.network(rest)
        case "rediss+sentinel": self = try Self.sentinel(rest)
        case "rediss+cluster": self = try Self.cluster(rest)
        default: throw RedisURLError("its scheme \"\(scheme)\" is not known")
        }
        usesTLS = scheme.hasPrefix("rediss")
    }

    /// What sentinels are logged in to with.
    var ofSentinels: RedisURL {
        RedisURL(topology, usesTLS: usesTLS, user: sentinelUser, password: sentinelPassword)
    }

    private static func network(_ text: Substring) throws(RedisURLError) -> RedisURL {
        guard !text.contains(where: { $0 == "?" || $0 == "#" }) else {
            throw RedisURLError("nothing may follow the database number (write ? and # in a password as %3F and %23)")
        }
        var (authority, path) = split(text)
        let (user, password) = try credentials(from: &authority)
        var url = RedisURL(endpoint: try hostAndPort(authority), user: user, password: password)
        if !path.isEmpty { url.database = try databaseNumber(path) }
        return url
    }

    private static func sentinel(_ text: Substring) throws(RedisURLError) -> RedisURL {
        guard !text.contains("#") else { throw RedisURLError("it holds a # (write # in a password as %23)") }
        let mark = text.firstIndex(of: "?")
        var (authority, path) = split(mark.map { text[..<$0] } ?? text)
        let (user, password) = try credentials(from: &authority)
        let sentinels = try hosts(authority, port: 26379, "sentinels: redis+sentinel://host:port,host:port/name")
        let slash = path.firstIndex(of: "/")
        let name = try percentDecoded(slash.map { path[..<$0] } ?? path, what: "the primary's name")
        guard !name.isEmpty else {
            throw RedisURLError("it lacks the name that the sentinels have for the primary, after a /")
        }
        var url = RedisURL(.sentinel(name: name, sentinels: sentinels), user: user, password: password)
        if let slash, path.index(after: slash) != path.endIndex {
            url.database = try databaseNumber(path[path.index(after: slash)...])
        }
        guard let mark else { return url }
        for item in text[text.index(after: mark)...].split(separator: "&", omittingEmptySubsequences: false) {
            if item.hasPrefix("sentinel_user=") {
                url.sentinelUser = try percentDecoded(item.dropFirst(14), what: "sentinel_user")
            } else if item.hasPrefix("sentinel_password=") {
                url.sentinelPassword = try percentDecoded(item.dropFirst(18), what: "sentinel_password")
            } else {
                throw RedisURLError(
                    "after the ? only sentinel_user=… and sentinel_password=… may stand (write ? in a password as %3F)")
            }
        }
        guard url.sentinelPassword?.isEmpty != true else { throw RedisURLError("its sentinel_password is empty") }
        guard url.sentinelUser == nil || url.sentinelPassword != nil else {
            throw RedisURLError("it has a sentinel_user without a sentinel_password")
        }
        return url
    }

    private static func cluster(_ text: Substring) throws(RedisURLError) -> RedisURL {
        guard !text.contains(where: { $0 == "?" || $0 == "#" }) else {
            throw RedisURLError("nothing may follow its hosts (write ? and # in a password as %3F and %23)")
        }
        var (authority, path) = split(text)
        let (user, password) = try credentials(from: &authority)
        guard path.isEmpty || path == "0" else {
            throw RedisURLError("a cluster has no databases: nothing may follow its hosts")
        }
        let seeds = try hosts(authority, port: 6379, "nodes of the cluster: redis+cluster://host:port,host:port")
        return RedisURL(.cluster(seeds: seeds), user: user, password: password)
    }

    /// What is before the first slash and what is after it.
    private static func split(_ text: Substring) -> (authority: Substring, path: Substring) {
        guard let slash = text.firstIndex(of: "/") else { return (text, "") }
        return (text[..<slash], text[text.index(after: slash)...])
    }

    private static func hosts(
        _ text: Substring, port: Int, _ what: String
    ) throws(RedisURLError) -> [Endpoint] {
        var endpoints: [Endpoint] = []
        for one in text.split(separator: ",", omittingEmptySubsequences: false) {
            guard !one.isEmpty, !one.hasPrefix(":") else { throw RedisURLError("it lacks a host: name the \(what)") }
            endpoints.append(try hostAndPort(one, defaultPort: port))
        }
        return endpoints
    }

    private static func unixSocket(_ text: Substring) throws(RedisURLError) -> RedisURL {
        var rest = text
        var database = 0
        if let mark = rest.firstIndex(of: "?") {
            let query = rest[rest.index(after: mark)...]
            guard query.hasPrefix("db=") else {
                throw RedisURLError("after the socket's path only ?db=N may follow")
            }
            database = try databaseNumber(query.dropFirst(3))
            rest = rest[..<mark]
        }
        guard let slash = rest.firstIndex(of: "/") else {
            throw RedisURLError("a unix socket needs an absolute path (three slashes: unix:///path)")
        }
        var authority = rest[..<slash]
        let (user, password) = try credentials(from: &authority)
        guard authority.isEmpty else {
            throw RedisURLError("a unix socket needs an absolute path (three slashes: unix:///path)")
        }
        let path = try percentDecoded(rest[slash...], what: "the socket's path")
        guard path.utf8.count > 1 else { throw RedisURLError("the socket's path is empty") }
        // sockaddr_un holds 108 bytes on Linux and 104 on macOS, with the closing zero.
        guard path.utf8.count < 104 else {
            throw RedisURLError("the socket's path is longer than the 103 bytes that systems allow")
        }
        return RedisURL(endpoint: .unixSocket(path: path), user: user, password: password, database: database)
    }

    private static func credentials(
        from authority: inout Substring
    ) throws(RedisURLError) -> (user: String?, password: String?) {
        // The last @: a password that was not encoded may hold one, a host may not.
        guard let at = authority.lastIndex(of: "@") else { return (nil, nil) }
        let login = authority[..<at]
        authority = authority[authority.index(after: at)...]
        guard let colon = login.firstIndex(of: ":") else {
            guard !login.isEmpty else { return (nil, nil) }
            throw RedisURLError("it has a user without a password (for a password alone write redis://:PASSWORD@host)")
        }
        let user = try percentDecoded(login[..<colon], what: "the user")
        let password = try percentDecoded(login[login.index(after: colon)...], what: "the password")
        guard !password.isEmpty else { throw RedisURLError("its password is empty") }
        return (user.isEmpty ? nil : user, password)
    }

    private static func hostAndPort(_ text: Substring, defaultPort: Int = 6379) throws(RedisURLError) -> Endpoint {
        let host: Substring
        var port: Substring?
        if text.hasPrefix("[") {
            guard let end = text.firstIndex(of: "]") else { throw RedisURLError("the [ before its host is not closed") }
            host = text[text.index(after: text.startIndex)..<end]
            let rest = text[text.index(after: end)...]
            guard rest.isEmpty || rest.hasPrefix(":") else {
                throw RedisURLError("only a port may follow the ] of its host")
            }
            port = rest.isEmpty ? nil : rest.dropFirst()
        } else if let colon = text.firstIndex(of: ":") {
            host = text[..<colon]
            port = text[text.index(after: colon)...]
            guard port?.contains(":") != true else {
                throw RedisURLError("an IPv6 address stands in brackets: redis://[::1]:6379")
            }
        } else {
            host = text
        }
        let name = try percentDecoded(host, what: "the host")
        guard name.utf8.allSatisfy({ $0 > 0x20 && $0 != 0x7f }) else {
            throw RedisURLError("its host holds white space or control characters")
        }
        guard let port else { return .tcp(host: name.isEmpty ? "127.0.0.1" : name, port: defaultPort) }
        guard let number = decimal(port), (1...65535).contains(number) else {
            throw RedisURLError("its port is not a number from 1 to 65535")
        }
        return .tcp(host: name.isEmpty ? "127.0.0.1" : name, port: number)
    }

    private static func databaseNumber(_ text: Substring) throws(RedisURLError) -> Int {
        guard let number = decimal(text), number <= 1_000_000 else {
            throw RedisURLError("its database is not a number")
        }
        return number
    }

    private static func decimal(_ text: Substring) -> Int? {
        guard !text.isEmpty, text.utf8.allSatisfy({ (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }) else {
            return nil
        }
        return Int(text)
    }

    private static func percentDecoded(_ text: Substring, what: String) throws(RedisURLError) -> String {
        var bytes: [UInt8] = []
        var rest = text.utf8
        while let byte = rest.popFirst() {
            guard byte == UInt8(ascii: "%") else {
                bytes.append(byte)
                continue
            }
            guard let high = rest.popFirst().flatMap(hexadecimal), let low = rest.popFirst().flatMap(hexadecimal)
            else { throw RedisURLError("a % in \(what) is not followed by two hexadecimal digits (% itself is %25)") }
            bytes.append(high << 4 | low)
        }
        guard let decoded = String(validating: bytes, as: UTF8.self), !bytes.contains(0) else {
            throw RedisURLError("\(what) is not UTF-8 after percent-decoding")
        }
        return decoded
    }

    private static func hexadecimal(_ byte: UInt8) -> UInt8? {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): byte - UInt8(ascii: "0")
        case UInt8(ascii: "a")...UInt8(ascii: "f"): byte - UInt8(ascii: "a") + 10
        case UInt8(ascii: "A")...UInt8(ascii: "F"): byte - UInt8(ascii: "A") + 10
        default: nil
        }
    }
}

extension RedisURL: CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
    /// The URL without the passwords, for logs and messages.
    package var description: String {
        let scheme = usesTLS ? "rediss" : "redis"
        let login = password == nil ? "" : "\(user ?? ""):…@"
        switch topology {
        case .single(.tcp(let host, let port)):
            return "\(scheme)://\(login)\(Endpoint.tcp(host: host, port: port))/\(database)"
        case .single(.unixSocket(let path)):
            return "unix://\(login)\(path)\(database == 0 ? "" : "?db=\(database)")"
        case .sentinel(let name, let sentinels):
            return "\(scheme)+sentinel://\(login)\(Self.list(sentinels))/\(name)/\(database)"
        case .cluster(let seeds):
            return "\(scheme)+cluster://\(login)\(Self.list(seeds))"
        }
    }

    private static func list(_ endpoints: [Endpoint]) -> String {
        endpoints.map(\.description).joined(separator: ",")
    }

    package var debugDescription: String { description }

    /// `dump` and string interpolation of whatever holds a URL must not show the password either.
    package var customMirror: Mirror { Mirror(self, children: ["url": description]) }
}

extension RedisURL.Endpoint: CustomStringConvertible {
    package var description: String {
        switch self {
        case .tcp(let host, let port): host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)"
        case .unixSocket(let path): path
        }
    }
}

/// What is wrong with a Redis URL. Never holds the URL itself, which may hold a password.
package struct RedisURLError: Error, Equatable, CustomStringConvertible {
    package var reason: String

    package init(_ reason: String) { self.reason = reason }

    package var description: String {
        "The Redis URL cannot be used: \(reason). Accepted forms: \(RedisURL.acceptedForms)"
    }
}

import Foundation
import Logging

/// Everything that `roost serve` can be told, checked. The values here are the defaults; `Setting.all` names each one
/// and says which values it takes.
struct ServeConfiguration: Sendable, Equatable {
    /// Where clients connect.
    var listen = ListenAddress(host: "127.0.0.1", port: 8080)
    /// Where operators look: health and metrics.
    var opsListen = ListenAddress(host: "127.0.0.1", port: 9080)
    /// Empty, as the next two: without TLS.
    var tlsCert = ""
    var tlsKey = ""
    var opsClientCA = ""
    /// This gateway's name in the cluster; empty: see ``nodeName``.
    var node = ""
    /// Event loops, one thread each.
    var loops = ProcessInfo.processInfo.activeProcessorCount

    /// `redis://`, `rediss://` or `unix://`; empty: rooms live in the memory of this process.
    var redis = ""
    var redisCAFile = ""
    var redisServerName = ""
    var redisPrefix = "roost"
    var redisConnectTimeout = Duration.seconds(2)
    var redisCommandTimeout = Duration.seconds(2)
    var ackReplicas = 0

    var historyMessages = 10_000
    var historyAge = Duration.seconds(86_400)

    /// Empty, as the next ones: none.
    var authSecret = ""
    var authSecretAlgorithm = SecretAlgorithm.hs256
    var authKeysFile = ""
    var authIssuer = ""
    var authAudience = ""
    var authLeeway = 5
    var apiKeyHashes: [String] = []
    var insecureNoAuth = false

    var allowedOrigins: [String] = []
    /// 0: as many as there are file descriptors.
    var maxConnections = 0
    /// 0: no limit.
    var maxConnectionsPerAddress = 0
    var trustedProxies: [String] = []
    /// 0: no limit, as for the next two.
    var maxSessionsPerUser = 0
    var maxPendingHandshakes = 4096
    var maxPendingHandshakesPerAddress = 1024
    var joinsPerSecond = 100
    var maxRoomsPerSession = 256
    /// 0: no limit.
    var messagesPerSecond = 500
    /// 0: no limit.
    var roomMessagesPerSecond = 0
    /// 0: no limit.
    var retriesPerSecond = 10
    /// 0: no limit, as for the next.
    var readsPerSecond = 10_000
    var newRoomsPerSecond = 1
    var maxMessageBytes = 16_384
    var maxJSONDepth = 32
    var maxFragments = 1024
    var maxHeaderBytes = 16_384
    var maxUnreadBytes = 4 << 20
    var stallTimeout = Duration.seconds(30)
    var handshakeTimeout = Duration.seconds(10)
    var heartbeat = Duration.seconds(25)
    var compression = false
    var enableEcho = false

    /// Over how long the `reconnect` frames of a drain are spread.
    var drainTime = Duration.seconds(10)
    /// When the process ends, whoever is still connected.
    var drainDeadline = Duration.seconds(20)

    var logLevel = Logger.Level.info
    var logFormat = LogFormat.text

    /// ``node``, or one made of the host's name and what tells this process from others there: its port, else its number.
    var nodeName: String {
        guard node.isEmpty else { return node }
        let process = ProcessInfo.processInfo
        let suffix = "-" + String(listen.port == 0 ? Int(process.processIdentifier) : listen.port)
        let host = process.hostName.unicodeScalars.map { scalar in
            scalar.isASCII && (scalar.properties.isAlphabetic || scalar.properties.numericType != nil || scalar == ".")
                ? Character(scalar) : "-"
        }
        let name = String(host.drop { $0 == "-" || $0 == "." }.prefix(64 - suffix.utf8.count))
        return (name.isEmpty ? "gateway" : name) + suffix
    }
}

/// `HOST:PORT`; an IPv6 host stands in brackets.
struct ListenAddress: Sendable, Equatable, CustomStringConvertible {
    var host: String
    /// 0: a free one.
    var port: Int

    init(host: String, port: Int) {
        self.host = host
        self.port = port
    }

    init?(_ text: String) {
        guard let colon = text.lastIndex(of: ":"), let port = UInt16(text[text.index(after: colon)...]) else {
            return nil
        }
        var host = text[..<colon]
        if host.first == "[", host.last == "]" {
            host = host.dropFirst().dropLast()
        } else if host.contains(":") {
            return nil
        }
        guard !host.isEmpty, host.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F }) else { return nil }
        self.init(host: String(host), port: Int(port))
    }

    /// Only programs of this machine can connect.
    var isLoopback: Bool {
        host.lowercased() == "localhost" || host == "::1" || host.wholeMatch(of: /127(\.[0-9]{1,3}){3}/) != nil
    }

    var description: String { host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)" }
}

/// What a shared secret for tokens is used with.
enum SecretAlgorithm: String, Sendable, CaseIterable {
    case hs256 = "HS256"
    case hs384 = "HS384"
    case hs512 = "HS512"
}

/// How the log is written.
enum LogFormat: String, Sendable, CaseIterable {
    /// For a person at a terminal.
    case text
    /// One object per line, for a collector.
    case json
}

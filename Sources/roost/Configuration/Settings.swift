import ChatGateway
import Logging
import RedisBroker

extension Setting {
    /// Every setting of `roost serve`, in the order of the help and of the README's table.
    static let all: [Setting] = [
        .address("listen", \.listen, flag: \.listen, "where clients connect"),
        .address(
            "ops-listen", \.opsListen, flag: \.opsListen,
            "where /healthz, /readyz and /metrics are; not for the public"),
        .text(
            "tls-cert", \.tlsCert, flag: \.tlsCert, accepted: "a path", default: "none: without TLS",
            "the certificate (PEM), with those that vouch for it, for TLS 1.2 and 1.3; read again when it changes",
            where: isFilled),
        .text(
            "tls-key", \.tlsKey, flag: \.tlsKey, accepted: "a path", default: "none",
            "the certificate's private key (PEM)",
            where: isFilled),
        .text(
            "ops-client-ca", \.opsClientCA, flag: \.opsClientCA, accepted: "a path", default: "none: without TLS",
            "certificates (PEM) of which one must vouch for each client of ops-listen, which then speaks TLS, too",
            where: isFilled),
        .text(
            "node", \.node, flag: \.node,
            accepted: "a letter or digit and up to 63 letters, digits, '.', '_', ':' or '-'",
            default: "host name and port", "this gateway's name, unique in the cluster", where: isNodeName),
        .integer("loops", \.loops, flag: \.loops, 1...1024, default: "one per core", "event loops, one thread each"),

        .text(
            "redis", \.redis, flag: \.redis, isSecret: true, accepted: RedisURL.acceptedForms,
            default: "none: one node, in memory",
            "the Redis that joins the gateways; a password is safer in the environment or the file than in a flag",
            where: { (try? RedisURL($0)) != nil }),
        .text(
            "redis-ca-file", \.redisCAFile, flag: \.redisCAFile, accepted: "a path", default: "the system's",
            "certificates (PEM) that a rediss:// server is checked against", where: isFilled),
        .text(
            "redis-server-name", \.redisServerName, flag: \.redisServerName, accepted: "a host name",
            default: "the URL's host", "the name that a rediss:// server's certificate must bear", where: isFilled),
        .text(
            "redis-prefix", \.redisPrefix, flag: \.redisPrefix,
            accepted: "a letter or digit and up to 63 letters, digits, '.', '_', ':' or '-'",
            "how all keys and channels in Redis begin", where: isNodeName),
        .seconds(
            "redis-connect-timeout", \.redisConnectTimeout, flag: \.redisConnectTimeout, 0.1...60,
            "how long a connection to Redis may take to stand"),
        .seconds(
            "redis-command-timeout", \.redisCommandTimeout, flag: \.redisCommandTimeout, 0.1...2.4,
            "how long Redis may take to answer before clients are told 'unavailable'"),
        .integer(
            "ack-replicas", \.ackReplicas, flag: \.ackReplicas, 0...16,
            "replicas of Redis that must have a message before it is acknowledged"),

        .integer(
            "history-messages", \.historyMessages, flag: \.historyMessages, 1...10_000_000,
            "messages that a room's log keeps, about"),
        .seconds(
            "history-age", \.historyAge, flag: \.historyAge, 60...315_360_000,
            "how long a room's log outlives the room's last use"),

        .text(
            "auth-secret", \.authSecret, flag: \.authSecret, isSecret: true,
            accepted: "a text of at least as many bytes as the algorithm's hash has: 32 for HS256",
            default: "none",
            "the secret that clients' tokens (JWT) are signed with; safer in the environment or the file than in a flag",
            where: { $0.utf8.count >= 32 }),
        .choice(
            "auth-secret-algorithm", \.authSecretAlgorithm, flag: \.authSecretAlgorithm,
            "what the secret is used with"),
        .text(
            "auth-keys-file", \.authKeysFile, flag: \.authKeysFile, accepted: "a path", default: "none",
            "the keys that tokens are signed with: a JSON Web Key Set, or one key in PEM form; read again when it changes",
            where: isFilled),
        .text(
            "auth-issuer", \.authIssuer, flag: \.authIssuer, accepted: "a text", default: "any",
            "the `iss` that tokens must have", where: isFilled),
        .text(
            "auth-audience", \.authAudience, flag: \.authAudience, accepted: "a text",
            default: "none: tokens with an `aud` are refused", "the `aud` that tokens must have", where: isFilled),
        .integer(
            "auth-leeway", \.authLeeway, flag: \.authLeeway, 0...30,
            "seconds that the clock of who signs tokens may differ"),
        .list(
            "api-key-hashes", \.apiKeyHashes, flag: \.apiKeyHashes,
            accepted: "64 hexadecimal digits each, separated by commas", default: "none",
            "SHA-256 of each key with which other servers use the HTTP API; may be repeated", where: isHash),
        .toggle(
            "insecure-no-auth", \.insecureNoAuth, flag: \.insecureNoAuth,
            "let everybody in under any name although `listen` is not a loopback address"),

        .list(
            "allowed-origins", \.allowedOrigins, flag: \.allowedOrigins,
            accepted: "origins like https://chat.example.org, separated by commas",
            default: "the node's own host and port",
            "the web pages that may connect; may be repeated", where: isOrigin),
        .integer(
            "max-connections", \.maxConnections, flag: \.maxConnections, 0...10_000_000,
            "connections at a time; 0: no limit but that of open files"),
        .integer(
            "max-connections-per-address", \.maxConnectionsPerAddress, flag: \.maxConnectionsPerAddress, 0...10_000_000,
            "connections at a time from one address; 0: no limit (behind a balancer: see trusted-proxies)"),
        .list(
            "trusted-proxies", \.trustedProxies, flag: \.trustedProxies,
            accepted: "addresses or ranges like 10.0.0.0/8, separated by commas", default: "none",
            "the balancers whose X-Forwarded-For tells where a connection comes from; may be repeated",
            where: { ProxyTrust([$0]) != nil }),
        .integer(
            "max-sessions-per-user", \.maxSessionsPerUser, flag: \.maxSessionsPerUser, 0...1_000_000,
            "sockets of one user, on all gateways together; 0: no limit"),
        .integer(
            "max-pending-handshakes", \.maxPendingHandshakes, flag: \.maxPendingHandshakes, 0...10_000_000,
            "connections that have not said what they want, or what they want next; 0: no limit"),
        .integer(
            "max-pending-handshakes-per-address", \.maxPendingHandshakesPerAddress,
            flag: \.maxPendingHandshakesPerAddress, 0...10_000_000,
            "those from one address that is no trusted proxy; 0: no limit"),
        .integer(
            "joins-per-second", \.joinsPerSecond, flag: \.joinsPerSecond, 0...1_000_000,
            "joins of one connection, with a burst of two seconds and of max-rooms-per-session; 0: no limit"),
        .integer(
            "max-rooms-per-session", \.maxRoomsPerSession, flag: \.maxRoomsPerSession, 1...100_000,
            "rooms that one connection may be in"),
        .integer(
            "messages-per-second", \.messagesPerSecond, flag: \.messagesPerSecond, 0...1_000_000,
            "messages, typing and signals of one connection, with a burst of two seconds; 0: no limit"),
        .integer(
            "room-messages-per-second", \.roomMessagesPerSecond, flag: \.roomMessagesPerSecond, 0...1_000_000,
            "messages of one room, over all gateways, with a burst of two seconds, where its settings say nothing; 0: no limit"
        ),
        .integer(
            "retries-per-second", \.retriesPerSecond, flag: \.retriesPerSecond, 0...1_000_000,
            "messages of one user that are marked as retries, with a burst of twenty seconds; those that come together count once; 0: no limit"
        ),
        .integer(
            "reads-per-second", \.readsPerSecond, flag: \.readsPerSecond, 0...1_000_000,
            "messages of the past and members that one user may ask for, with a burst of ten seconds; 0: no limit"),
        .integer(
            "new-rooms-per-second", \.newRoomsPerSecond, flag: \.newRoomsPerSecond, 0...1_000_000,
            "rooms and inboxes that one user may be the first to write to, with a burst of five minutes; 0: no limit"),
        .integer(
            "max-message-bytes", \.maxMessageBytes, flag: \.maxMessageBytes, 256...262_144,
            "the JSON of one frame from a client"),
        .integer(
            "max-json-depth", \.maxJSONDepth, flag: \.maxJSONDepth, 4...48,
            "objects and arrays inside one another in the JSON of a frame"),
        .integer(
            "max-fragments", \.maxFragments, flag: \.maxFragments, 1...65_536,
            "WebSocket frames that one message may come in"),
        .integer(
            "max-header-bytes", \.maxHeaderBytes, flag: \.maxHeaderBytes, 4096...65_536,
            "all header fields of a request"),
        .integer(
            "max-unread-bytes", \.maxUnreadBytes, flag: \.maxUnreadBytes, 1_048_576...1_073_741_824,
            "output that waits for one connection before it is closed as too slow"),
        .seconds(
            "stall-timeout", \.stallTimeout, flag: \.stallTimeout, 0.1...3600,
            "how long a connection may read nothing of what waits for it"),
        .seconds(
            "handshake-timeout", \.handshakeTimeout, flag: \.handshakeTimeout, 0.1...120,
            "how long a new connection may take for its request"),
        .seconds(
            "heartbeat", \.heartbeat, flag: \.heartbeat, 0.1...3600,
            "between two pings; a connection that misses two is dropped"),
        .toggle(
            "compression", \.compression, flag: \.compression,
            "compress long messages for clients that offer permessage-deflate, as browsers do"),
        .toggle(
            "enable-echo", \.enableEcho, flag: \.enableEcho,
            "serve /echo, which sends every frame back, for conformance suites"),

        .seconds(
            "drain-time", \.drainTime, flag: \.drainTime, 0...3600,
            "over how long clients are asked to go elsewhere after SIGTERM"),
        .seconds(
            "drain-deadline", \.drainDeadline, flag: \.drainDeadline, 0...3600,
            "after how long a drain ends, whoever is left; not less than drain-time"),

        .choice("log-level", \.logLevel, flag: \.logLevel, "what is logged to standard error"),
        .choice("log-format", \.logFormat, flag: \.logFormat, "how it is logged: for a terminal, or one object a line"),
    ]

    /// - Precondition: there is one; the names in the program are constants.
    static func named(_ name: String) -> Setting {
        guard let setting = all.first(where: { $0.name == name }) else {
            preconditionFailure("no setting is called \(name)")
        }
        return setting
    }
}

@Sendable private func isFilled(_ text: String) -> Bool { !text.isEmpty }

/// The same alphabet as for users and rooms, so that a name is harmless in keys, URLs and logs.
@Sendable private func isNodeName(_ text: String) -> Bool {
    text.wholeMatch(of: /[A-Za-z0-9][A-Za-z0-9._:\-]{0,63}/) != nil
}

@Sendable private func isHash(_ text: String) -> Bool { text.wholeMatch(of: /[0-9A-Fa-f]{64}/) != nil }

/// Scheme, host, and port if not the scheme's own, as browsers send them.
@Sendable private func isOrigin(_ text: String) -> Bool {
    text.wholeMatch(of: /[a-z][a-z0-9+.\-]*:\/\/[^\/?#@,\s]+/) != nil
}

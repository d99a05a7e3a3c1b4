import ArgumentParser
import Foundation

/// The flags of `roost serve`. They are kept as texts: `ServeConfiguration` checks them together with what the
/// environment and the file say.
struct ServeOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "A JSON object with settings by the names of these flags. [ROOST_CONFIG]", valueName: "file"))
    var config: String?

    @Option(help: .setting("listen")) var listen: String?
    @Option(help: .setting("ops-listen")) var opsListen: String?
    @Option(help: .setting("tls-cert")) var tlsCert: String?
    @Option(help: .setting("tls-key")) var tlsKey: String?
    @Option(help: .setting("ops-client-ca")) var opsClientCA: String?
    @Option(help: .setting("node")) var node: String?
    @Option(help: .setting("loops")) var loops: String?

    @Option(help: .setting("redis")) var redis: String?
    @Option(help: .setting("redis-ca-file")) var redisCAFile: String?
    @Option(help: .setting("redis-server-name")) var redisServerName: String?
    @Option(help: .setting("redis-prefix")) var redisPrefix: String?
    @Option(help: .setting("redis-connect-timeout")) var redisConnectTimeout: String?
    @Option(help: .setting("redis-command-timeout")) var redisCommandTimeout: String?
    @Option(help: .setting("ack-replicas")) var ackReplicas: String?

    @Option(help: .setting("history-messages")) var historyMessages: String?
    @Option(help: .setting("history-age")) var historyAge: String?

    @Option(help: .setting("auth-secret")) var authSecret: String?
    @Option(help: .setting("auth-secret-algorithm")) var authSecretAlgorithm: String?
    @Option(help: .setting("auth-keys-file")) var authKeysFile: String?
    @Option(help: .setting("auth-issuer")) var authIssuer: String?
    @Option(help: .setting("auth-audience")) var authAudience: String?
    @Option(help: .setting("auth-leeway")) var authLeeway: String?
    @Option(help: .setting("api-key-hashes")) var apiKeyHashes: [String] = []
    @Flag(inversion: .prefixedNo, help: .setting("insecure-no-auth")) var insecureNoAuth: Bool?

    @Option(help: .setting("allowed-origins")) var allowedOrigins: [String] = []
    @Option(help: .setting("max-connections")) var maxConnections: String?
    @Option(help: .setting("max-connections-per-address")) var maxConnectionsPerAddress: String?
    @Option(help: .setting("trusted-proxies")) var trustedProxies: [String] = []
    @Option(help: .setting("max-sessions-per-user")) var maxSessionsPerUser: String?
    @Option(help: .setting("max-pending-handshakes")) var maxPendingHandshakes: String?
    @Option(help: .setting("max-pending-handshakes-per-address")) var maxPendingHandshakesPerAddress: String?
    @Option(help: .setting("joins-per-second")) var joinsPerSecond: String?
    @Option(help: .setting("max-rooms-per-session")) var maxRoomsPerSession: String?
    @Option(help: .setting("messages-per-second")) var messagesPerSecond: String?
    @Option(help: .setting("room-messages-per-second")) var roomMessagesPerSecond: String?
    @Option(help: .setting("retries-per-second")) var retriesPerSecond: String?
    @Option(help: .setting("reads-per-second")) var readsPerSecond: String?
    @Option(help: .setting("new-rooms-per-second")) var newRoomsPerSecond: String?
    @Option(help: .setting("max-message-bytes")) var maxMessageBytes: String?
    @Option(help: .setting("max-json-depth")) var maxJSONDepth: String?
    @Option(help: .setting("max-fragments")) var maxFragments: String?
    @Option(help: .setting("max-header-bytes")) var maxHeaderBytes: String?
    @Option(help: .setting("max-unread-bytes")) var maxUnreadBytes: String?
    @Option(help: .setting("stall-timeout")) var stallTimeout: String?
    @Option(help: .setting("handshake-timeout")) var handshakeTimeout: String?
    @Option(help: .setting("heartbeat")) var heartbeat: String?
    @Flag(inversion: .prefixedNo, help: .setting("compression")) var compression: Bool?
    @Flag(inversion: .prefixedNo, help: .setting("enable-echo")) var enableEcho: Bool?

    @Option(help: .setting("drain-time")) var drainTime: String?
    @Option(help: .setting("drain-deadline")) var drainDeadline: String?

    @Option(help: .setting("log-level")) var logLevel: String?
    @Option(help: .setting("log-format")) var logFormat: String?

    /// What flags, environment and file say together.
    ///
    /// - Throws: `ValidationError`, which ends the command with code 64, naming every wrong value.
    func configuration(
        environment: [String: String] = ProcessInfo.processInfo.environment
    ) throws -> ServeConfiguration {
        do {
            return try ServeConfiguration.load(from: self, environment: environment)
        } catch {
            throw ValidationError(error.description)
        }
    }

    /// The flag's text; nil when it was not given.
    func text(of flag: Setting.Flag) -> String? {
        switch flag {
        case .value(let path): self[keyPath: path]
        case .values(let path): self[keyPath: path].isEmpty ? nil : self[keyPath: path].joined(separator: ",")
        case .toggle(let path): self[keyPath: path].map { "\($0)" }
        }
    }
}

extension ArgumentHelp {
    static func setting(_ name: String) -> ArgumentHelp {
        let setting = Setting.named(name)
        let valueName =
            switch setting.fileForm {
            case .string where setting.accepted.hasPrefix("HOST:PORT"): "host:port"
            case .string, .strings, .boolean: String(name.split(separator: "-").last ?? "value")
            case .integer: "n"
            case .number: "seconds"
            }
        return ArgumentHelp(
            """
            \(setting.summary.prefix(1).uppercased())\(setting.summary.dropFirst()). \
            Must be \(setting.accepted). Default: \(setting.defaultText). [\(setting.environmentName)]
            """,
            valueName: valueName)
    }
}

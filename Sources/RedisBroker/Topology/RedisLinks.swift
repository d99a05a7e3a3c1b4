import ChatProtocol
import Logging
import NIOCore

/// Makes the links of one broker.
struct RedisLinks {
    /// While a failover runs, attempts follow each other quickly: the mean pause is half of this.
    private static let longestPause = Duration.milliseconds(500)

    let configuration: RedisBrokerConfiguration
    let connector: RedisConnector
    /// What the connections' names begin with.
    let name: String
    let logger: Logger

    /// Carries commands, or a subscription, on one event loop.
    func store(
        on loop: any EventLoop, to target: RedisLink.Target, role: String, isSubscription: Bool,
        counters: RedisCounters
    ) -> RedisLink {
        var backoff = configuration.backoff
        var scripts = Script.all
        switch configuration.url.topology {
        case .single: break
        case .sentinel: backoff.maximum = min(backoff.maximum, Self.longestPause)
        case .cluster:
            backoff.maximum = min(backoff.maximum, Self.longestPause)
            scripts = Script.sharded
        }
        return RedisLink(
            eventLoop: loop, target: target, connector: connector,
            settings: .init(
                url: configuration.url, clientName: "\(name)-\(role)", scripts: isSubscription ? [] : scripts,
                isSubscription: isSubscription, handshakeTimeout: configuration.connectTimeout,
                commandTimeout: configuration.commandTimeout, pingInterval: configuration.pingInterval),
            backoff: backoff, settlingTime: configuration.settlingTime, counters: counters, logger: logger)
    }

    /// Asks a sentinel, or a node of a cluster, where the data is.
    ///
    /// - Parameter url: How to log in.
    func guide(
        on loop: any EventLoop, to target: RedisLink.Target, url: RedisURL, patience: TimeAmount,
        counters: RedisCounters
    ) -> RedisLink {
        let patience = min(patience, configuration.connectTimeout)
        return RedisLink(
            eventLoop: loop, target: target, connector: connector,
            settings: .init(
                url: url, clientName: "\(name)-guide", scripts: [], isSubscription: false, peer: .guide,
                handshakeTimeout: patience, commandTimeout: patience, pingInterval: configuration.pingInterval),
            backoff: .init(
                initial: configuration.backoff.initial,
                maximum: min(configuration.backoff.maximum, Self.longestPause)),
            settlingTime: configuration.settlingTime, counters: counters, logger: logger)
    }
}

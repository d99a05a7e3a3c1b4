import Logging
import NIOCore

/// Makes the links of one broker.
struct RedisLinks {
    /// While a failover runs, attempts follow each other quickly: the mean pause is half of this.
    private static let longestPause = TimeAmount.milliseconds(500)

    let configuration: RedisBrokerConfiguration
    let connector: RedisConnector
    /// What the connections' names begin with.
    let name: String
    let logger: Logger

    /// Carries commands, or a subscription, on one event loop.
    func store(
        on loop: any EventLoop, to target: RedisLink.Target, role: String, isSubscription: Bool, counters: RedisCounters
    ) -> RedisLink {
        var backoff = configuration.backoff
        if case .single = configuration.url.topology {
        } else {
            backoff.longest = min(backoff.longest, Self.longestPause)
        }
        return RedisLink(
            eventLoop: loop, target: target, connector: connector,
            settings: .init(
                url: configuration.url, clientName: "\(name)-\(role)", scripts: isSubscription ? [] : Script.all,
                isSubscription: isSubscription, handshakeTimeout: configuration.connectTimeout,
                commandTimeout: configuration.commandTimeout, pingInterval: configuration.pingInterval),
            backoff: backoff, settlingTime: configuration.settlingTime, counters: counters, logger: logger)
    }

    /// Asks a sentinel.
    func sentinel(_ endpoint: RedisURL.Endpoint, on loop: any EventLoop, counters: RedisCounters) -> RedisLink {
        let patience = min(SentinelGuide.patience, configuration.connectTimeout)
        return RedisLink(
            eventLoop: loop, target: .fixed(endpoint), connector: connector,
            settings: .init(
                url: configuration.url.ofSentinels, clientName: "\(name)-sentinel", scripts: [], isSubscription: false,
                peer: .guide, handshakeTimeout: patience, commandTimeout: patience,
                pingInterval: configuration.pingInterval),
            backoff: .init(
                shortest: configuration.backoff.shortest, longest: min(configuration.backoff.longest, Self.longestPause)
            ),
            settlingTime: configuration.settlingTime, counters: counters, logger: logger)
    }
}

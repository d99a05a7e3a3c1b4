package import ChatProtocol
package import NIOCore

/// What a ``RedisBroker`` needs to know. The defaults are those of the product.
package struct RedisBrokerConfiguration: Sendable {
    /// Where Redis is.
    package var url: RedisURL
    /// Certificates in PEM form to trust instead of the system's; for `rediss://`.
    package var tlsCAFile: String?
    /// The name that the certificate must be for, if it is not the URL's host; for `rediss://`.
    package var tlsServerName: String?
    /// What all keys and channels begin with.
    package var prefix = "roost"
    /// The gateway's name, as operators know it. Spaces are not allowed.
    package var node: String
    /// A room's log keeps at least so many messages (0: all of them).
    package var logLength = 10_000
    /// A log goes when nobody was in the room for so long (0: never).
    package var logIdleExpiry: TimeAmount = .hours(24)
    /// For so long after a retry was stored a late original is recognised.
    package var retryWindow: TimeAmount = .minutes(5)
    /// So many messages a second one room may have, of all users together and on all nodes, unless it has a rule of its own
    /// (0: any).
    package var messagesPerSecond = 0
    /// So many sessions one user may have, on all nodes together, of those that take a seat (0: any).
    package var sessionsPerUser = 0
    /// To reach Redis and log in.
    package var connectTimeout: TimeAmount = .seconds(2)
    /// After so long without an answer a command's connection is given up.
    package var commandTimeout: TimeAmount = .seconds(2)
    /// A command connection that was silent for so long is asked whether it lives.
    package var pingInterval: TimeAmount = .seconds(5)
    /// How often a probe is sent through the subscription.
    package var probeInterval: TimeAmount = .seconds(1)
    /// A subscription that did not carry a probe for so long is deaf. Less than 3 s, so that with the time until
    /// the next look it is found within 3 s.
    package var deafAfter: TimeAmount = .milliseconds(2_600)
    /// How often a node says that it lives.
    package var heartbeatInterval: TimeAmount = .seconds(1)
    /// A node that was silent for so long is dead, and its sessions are removed by the others.
    package var leaseTimeout: TimeAmount = .seconds(3)
    /// The longest pause before connecting again, after the first failure and after many.
    package var backoff = Backoff.Limits(initial: .milliseconds(50), maximum: .seconds(2))
    /// So long after a restart or a failover of Redis no room begins a new epoch: the nodes give back first what it lost.
    package var settlingTime: TimeAmount = .seconds(1)
    /// So many bytes of what was stored lately, and for so long, each event loop keeps to give back after a failover.
    package var recentBytes = 8 << 20
    package var recentAge: TimeAmount = .seconds(60)
    /// So many replicas must have a message before it is acknowledged (0: the primary alone).
    package var ackReplicas = 0
    /// One append call carries at most so many bytes of messages.
    package var appendBytes = 256 << 10
    /// So many bytes of messages may wait for Redis on one event loop; what exceeds it is refused.
    package var waitingBytes = 32 << 20
    /// Typing and signals are dropped while more output than this waits in a connection.
    package var unsentBytes = 1 << 20
    /// A page of the log ends early when its messages exceed so many bytes.
    package var pageBytes = 8 << 20

    package init(url: RedisURL, node: String) {
        self.url = url
        self.node = node
    }

    /// What a log's key is given, in milliseconds (0: for ever): a sixteenth more than ``logIdleExpiry``, so that not every
    /// append has to postpone the end.
    var logTimeToLive: Int {
        let milliseconds = Int(logIdleExpiry.nanoseconds / 1_000_000)
        return milliseconds + (milliseconds + 15) / 16
    }
}

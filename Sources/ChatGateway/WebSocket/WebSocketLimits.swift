package import NIOCore

/// What one WebSocket connection may cost the node, and how long the node waits for it.
package struct WebSocketLimits: Sendable, Equatable {
    /// Bytes of one message after reassembly; more closes with 1009 as soon as a frame's header says so.
    package var maxMessageBytes = 64 * 1024
    /// Frames that one message may come in; more closes with 1009.
    package var maxFragments = 1024
    /// Frames of any kind a second, with a burst of two seconds; who sends more is read from more slowly. 0 for no limit.
    package var framesPerSecond = 0
    /// Bytes of messages a second, as they are after inflation, with a burst of one longest message; likewise.
    package var bytesPerSecond = 0
    /// How often the node pings. After two pings without any sign of life the connection ends with 1001.
    package var heartbeat: TimeAmount = .seconds(25)
    /// Bytes of output that may wait for a client that does not read; more closes with 1013.
    package var unreadOutputBytes = 1024 * 1024
    /// How long a client may leave its output unread before the connection ends with 1013.
    package var stallTimeout: TimeAmount = .seconds(20)
    /// How long the node waits for the peer's Close frame after its own, and then for the end of TCP.
    package var closeTimeout: TimeAmount = .seconds(3)
    /// How long a client may take from connecting to the end of its first request.
    package var handshakeTimeout: TimeAmount = .seconds(10)
    /// Bytes of a request line's target; more is a 414.
    package var requestTargetBytes = 8 * 1024
    /// Bytes of all header fields of a request, names and values; more is a 431.
    package var headerBytes = 16 * 1024
    /// Header fields of a request; more is a 431.
    package var headerFields = 64
    /// Bytes of unsent output above which a connection counts as not writable.
    package var highWaterMark = 128 * 1024
    /// Bytes of unsent output below which it counts as writable again.
    package var lowWaterMark = 32 * 1024

    package init() {}

    /// Those of `/echo`: conformance suites send messages of 16 MiB, in as many frames and as fast as they like.
    var forConformance: WebSocketLimits {
        var limits = self
        limits.maxMessageBytes = 16 * 1024 * 1024
        limits.maxFragments = .max
        limits.framesPerSecond = 0
        limits.bytesPerSecond = 0
        limits.unreadOutputBytes = 64 * 1024 * 1024
        return limits
    }
}

/// The first thing that a node says on a connection.
package struct Welcome: Sendable, Equatable {
    /// The version of the wire protocol; this one is 1.
    package var version: Int
    /// The session's name, for logs and support.
    package var session: String
    package var user: UserName
    /// The node's name.
    package var node: String
    /// Seconds between the node's pings.
    package var heartbeat: Int
    /// The most bytes that the JSON of one frame from the client may have.
    package var maxMessageBytes: Int
    package var limits: Limits

    /// What a session may do; 0 stands for no limit.
    package struct Limits: Sendable, Equatable {
        package var rooms: Int
        package var messagesPerSecond: Int
        /// The most messages of one `join` with `history`, or one page of `history`.
        package var history: Int

        package init(rooms: Int = 0, messagesPerSecond: Int = 0, history: Int = 1000) {
            self.rooms = rooms
            self.messagesPerSecond = messagesPerSecond
            self.history = history
        }
    }

    package init(
        version: Int = 1, session: String, user: UserName, node: String, heartbeat: Int, maxMessageBytes: Int,
        limits: Limits
    ) {
        self.version = version
        self.session = session
        self.user = user
        self.node = node
        self.heartbeat = heartbeat
        self.maxMessageBytes = maxMessageBytes
        self.limits = limits
    }
}

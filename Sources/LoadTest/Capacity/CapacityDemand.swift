/// What a cluster is to carry.
package struct CapacityDemand: Sendable, Equatable {
    /// Connected at the same time.
    package var users: Double
    package var rooms: Double
    /// Of each room; a user may be in several.
    package var membersPerRoom: Double
    /// Messages a second of each user.
    package var rate: Double
    /// Bytes of a message's text.
    package var payload = 128.0
    /// Seconds that a connection lasts; infinite: nobody comes or goes.
    package var sessionLength = 1800.0
    /// Seconds between two pings.
    package var heartbeat = 25.0
    /// Messages that a room's log keeps.
    package var history = 10_000.0

    /// - Parameter membersPerRoom: nil: everybody is in one room.
    package init(users: Double, rooms: Double, membersPerRoom: Double? = nil, rate: Double) {
        self.users = users
        self.rooms = rooms
        self.membersPerRoom = membersPerRoom ?? users / rooms
        self.rate = rate
    }

    /// A second, all users together.
    package var messages: Double { users * rate }
    /// Of one room, a second.
    package var messagesPerRoom: Double { messages / rooms }
    /// A message to a room of ten is ten deliveries.
    package var deliveries: Double { messages * membersPerRoom }
    /// A second.
    package var connects: Double { users / sessionLength }
    package var memberships: Double { rooms * membersPerRoom }
}

/// What the cluster is to be made of.
package struct CapacityMachines: Sendable, Equatable {
    package var gatewayCores = 4.0
    /// Bytes.
    package var gatewayMemory = 8e9
    /// Bytes of one Redis.
    package var redisMemory = 16e9
    /// Bytes a second that a machine can send.
    package var bandwidth = 1.25e9
    /// Copies of each Redis besides the primary.
    package var replicas = 1.0
    /// The part of a resource that is to be used at most: 0 to 1.
    package var utilisation = 0.6
    /// Gateways that may fail at the same time without the others being used more than that.
    package var spareGateways = 1.0

    package init() {}
}

/// Ready-made load tests. What else is said on the command line goes before what stands here.
package enum Scenario: String, Sendable, CaseIterable {
    case rollingRestart = "rolling-restart"
    case nodeKill = "node-kill"
    case redisRestart = "redis-restart"
    case reconnectStorm = "reconnect-storm"
    case slowReaders = "slow-readers"
    case bigRoom = "big-room"
    case manyRooms = "many-rooms"

    package struct Settings: Sendable {
        package var clients = 600
        package var rooms = 60
        package var members = MembersPerRoom.even
        package var traffic = LoadPlan.Traffic.rate(600)
        /// Seconds.
        package var duration = 20.0
        package var payload = 128...128
        package var slowPercent = 0.0
        package var faults: [Fault] = []
    }

    /// What it shows, for the list of scenarios.
    package var summary: String {
        switch self {
        case .rollingRestart: "all gateways are restarted one after the other"
        case .nodeKill: "a gateway is killed, and comes back later"
        case .redisRestart: "Redis is killed, and comes back with what it had stored"
        case .reconnectStorm: "all clients lose their connections at once"
        case .slowReaders: "every tenth client reads nothing for seconds at a time"
        case .bigRoom: "everybody is in one room"
        case .manyRooms: "everybody is in ten of very many small rooms"
        }
    }

    package var settings: Settings {
        var settings = Settings()
        func fault(_ seconds: Double, _ action: Fault.Action, _ target: Fault.Target) -> Fault {
            Fault(at: .seconds(seconds), action: action, target: target)
        }
        switch self {
        case .rollingRestart:
            settings.duration = 30
            settings.faults = [fault(5, .roll, .all)]
        case .nodeKill:
            settings.faults = [fault(5, .kill, .gateway(2)), fault(12, .restart, .gateway(2))]
        case .redisRestart:
            settings.faults = [fault(5, .kill, .redis), fault(8, .restart, .redis)]
        case .reconnectStorm:
            settings.clients = 3000
            settings.rooms = 300
            settings.faults = [fault(5, .drop, .clients)]
        case .slowReaders:
            settings.clients = 300
            settings.rooms = 10
            settings.traffic = .rate(200)
            settings.payload = 512...2048
            settings.slowPercent = 10
        case .bigRoom:
            settings.clients = 2000
            settings.rooms = 1
            settings.traffic = .rate(15)
        case .manyRooms:
            settings.clients = 1000
            settings.rooms = 5000
            settings.members = .fixed(2)
            settings.traffic = .rate(2000)
        }
        return settings
    }
}

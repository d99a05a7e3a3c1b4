/// One number that says what a machine has to do for one thing. Measured with `roost load`; other machines differ.
package enum CapacityCoefficient: String, CaseIterable, Sendable {
    case receive
    case hear
    case write
    case deliver
    case kilobyte
    case connect
    case heartbeat
    case audit
    case wake
    case turn
    case gateway
    case connection
    case room
    case envelope
    case redisCall = "redis-call"
    case redisAppend = "redis-append"
    case redisPublish = "redis-publish"
    case redisJoin = "redis-join"
    case redisAudit = "redis-audit"
    case redisWake = "redis-wake"
    case redisReplica = "redis-replica"
    case redisMessage = "redis-message"
    case redisMember = "redis-member"

    package enum Unit: String, Sendable {
        case microseconds = "µs"
        case milliseconds = "ms"
        case bytes = "B"
    }

    package var unit: Unit {
        switch self {
        case .receive, .hear, .write, .deliver, .kilobyte, .connect, .heartbeat, .audit, .wake, .redisCall,
            .redisAppend,
            .redisPublish, .redisJoin, .redisAudit, .redisWake, .redisReplica:
            .microseconds
        case .turn: .milliseconds
        case .gateway, .connection, .room, .envelope, .redisMessage, .redisMember: .bytes
        }
    }

    package var summary: String {
        switch self {
        case .receive: "of a gateway's CPU to take a message, have it stored and acknowledge it"
        case .hear: "to read a publication and make frames of it"
        case .write: "to write once to a client, whatever is in it"
        case .deliver: "for each message in such a write"
        case .kilobyte: "for each 1,000 bytes in it"
        case .connect: "for a connection: handshake, join, and its end"
        case .heartbeat: "for a ping and its pong"
        case .audit: "to compare a quiet room with the end of its log"
        case .wake: "each time that an event loop wakes up to do something"
        case .turn: "within which things come together, once there is much to do"
        case .gateway: "of memory of a gateway without anybody, its bounded buffers full"
        case .connection: "for each connection"
        case .room: "for each room with a member on the gateway"
        case .envelope: "around a message's text on its way to a client"
        case .redisCall: "of Redis's CPU to run the script that stores and publishes"
        case .redisAppend: "for each message in it"
        case .redisPublish: "for each gateway that hears the publication"
        case .redisJoin: "for a join and the leaving"
        case .redisAudit: "to say where a quiet room's log ends"
        case .redisWake: "each time that Redis wakes up to do something"
        case .redisReplica: "for each message and replica"
        case .redisMessage: "of Redis's memory around the text of a message in a log"
        case .redisMember: "for each member of a room"
        }
    }

    /// As measured on the machine of the README's page on capacity.
    package var measured: Double {
        switch self {
        case .receive: 7
        case .hear: 5
        case .write: 4
        case .deliver: 0.03
        case .kilobyte: 1
        case .connect: 1100
        case .heartbeat: 37
        case .audit: 2
        case .wake: 140
        case .turn: 1
        case .gateway: 260e6
        case .connection: 4000
        case .room: 970
        case .envelope: 170
        case .redisCall: 18
        case .redisAppend: 3
        case .redisPublish: 4
        case .redisJoin: 200
        case .redisAudit: 3
        case .redisWake: 180
        case .redisReplica: 5
        case .redisMessage: 190
        case .redisMember: 110
        }
    }
}

/// All of them.
package struct CapacityCoefficients: Sendable, Equatable {
    private var values: [CapacityCoefficient: Double]

    /// Those that were measured.
    package init() {
        values = Dictionary(uniqueKeysWithValues: CapacityCoefficient.allCases.map { ($0, $0.measured) })
    }

    package subscript(_ coefficient: CapacityCoefficient) -> Double {
        get { values[coefficient] ?? coefficient.measured }
        set { values[coefficient] = newValue }
    }

    /// Reads `write=3.2` or, for all that cost a CPU time, `cpu=1.5`: so many times what was measured.
    ///
    /// - Throws: ``InvalidPlan`` that says what is accepted.
    package mutating func set(_ text: String) throws(InvalidPlan) {
        let parts = text.split(separator: "=", omittingEmptySubsequences: false)
        guard parts.count == 2, let value = Double(parts[1]), value.isFinite, value >= 0, value < 1e12 else {
            throw InvalidPlan(flag: "set", message: "\"\(text)\" is not NAME=NUMBER")
        }
        if parts[0] == "cpu" {
            for coefficient in CapacityCoefficient.allCases where coefficient.unit == .microseconds {
                self[coefficient] *= value
            }
        } else if let coefficient = CapacityCoefficient(rawValue: String(parts[0])) {
            self[coefficient] = value
        } else {
            let names = CapacityCoefficient.allCases.map(\.rawValue).joined(separator: ", ")
            throw InvalidPlan(flag: "set", message: "there is no \"\(parts[0])\": cpu, \(names)")
        }
    }
}

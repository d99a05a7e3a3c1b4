package import ChatClient
import ChatProtocol

/// What a load test does: `clients` users in `rooms` rooms, sending for `duration`, while things happen to the cluster.
package struct LoadPlan: Sendable {
    /// What makes a client send its next message.
    package enum Traffic: Sendable, Equatable {
        /// So many messages a second, all clients together, at a pace that waits for nobody.
        case rate(Double)
        /// So many messages under way at any time, all clients together: the next one goes when one is acknowledged and
        /// has come back to its sender.
        case window(Int)
    }

    package var addresses: [ServerAddress]
    package var clients: Int
    package var rooms: Int
    package var members: MembersPerRoom
    package var traffic: Traffic
    package var duration: Duration
    /// Bytes of a message's text, as far as the marker leaves room.
    package var payload: ClosedRange<Int>
    /// How long the clients take to connect, one after the other.
    package var ramp: Duration
    /// Clients a second that lose their connection and come back.
    package var churn: Double
    /// Of a hundred clients, how many read nothing for ``slowStall``, then for a second, and so on.
    package var slowPercent: Double
    package var slowStall: Duration = .seconds(5)
    package var faults: [Fault]
    /// Event loops. A room's members are all on one.
    package var threads: Int
    /// At the end: how long nothing may come before what is missing counts as missing.
    package var patience: Duration
    /// Makes the token of a user; nil where the nodes run without authentication.
    package var token: (@Sendable (_ user: String) -> String)?
    /// Certificates (PEM) that the nodes' are checked against; nil: the system's.
    package var caFile: String?
    /// Tells this run's rooms, users and messages from any other's; letters and digits.
    package var run: String

    /// - Parameter urls: may be empty where a cluster is to be started; ``addresses`` are then to be set before the run.
    /// - Throws: ``InvalidPlan`` naming the flag and the range.
    package init(
        urls: [String], clients: Int = 100, rooms: Int = 10, members: MembersPerRoom = .even,
        traffic: Traffic = .rate(100), duration: Duration = .seconds(10), payload: ClosedRange<Int> = 128...128,
        ramp: Duration? = nil, churn: Double = 0, slowPercent: Double = 0, faults: [Fault] = [], threads: Int = 1,
        patience: Duration = .seconds(10), run: String = String(UInt32.random(in: 0...UInt32.max), radix: 36)
    ) throws {
        do {
            addresses = try urls.map { try ServerAddress($0) }
        } catch let error as ChatClientError {
            throw InvalidPlan(flag: "url", message: error.message)
        }
        try Self.check("clients", Double(clients), 1...1_000_000)
        try Self.check("rooms", Double(rooms), 1...1_000_000)
        switch traffic {
        case .rate(let rate): try Self.check("rate", rate, 0.001...1_000_000)
        case .window(let window): try Self.check("window", Double(window), 1...1_000_000)
        }
        try Self.check("duration", duration.inSeconds, 0.1...86_400)
        try Self.check("payload", Double(payload.lowerBound), 1...65_536)
        try Self.check("payload", Double(payload.upperBound), 1...65_536)
        try Self.check("ramp", ramp?.inSeconds ?? 0, 0...3600)
        try Self.check("churn", churn, churn == 0 ? 0...0 : 0.001...100_000)
        try Self.check("slow-percent", slowPercent, 0...100)
        try Self.check("threads", Double(threads), 1...64)
        try Self.check("patience", patience.inSeconds, 0.1...3600)
        if case .even = members, rooms > clients {
            throw InvalidPlan(
                flag: "rooms",
                message: "\(rooms) rooms for \(clients) clients: say --members-per-room, so that clients are in several"
            )
        }
        if case .fixed(let count) = members { try Self.check("members-per-room", Double(count), 1...Double(clients)) }
        if let late = faults.first(where: { $0.at >= duration }) {
            throw InvalidPlan(
                flag: "fault", message: "\(late) is not within the \(Decimals.short(duration.inSeconds)) s of the run")
        }
        self.clients = clients
        self.rooms = rooms
        self.members = members
        self.traffic = traffic
        self.duration = duration
        self.payload = payload
        // Hashing out 500 connections a second is no test of accepting them.
        self.ramp = ramp ?? .seconds(Double(clients) / 500)
        self.churn = churn
        self.slowPercent = slowPercent
        self.faults = faults.sorted { $0.at < $1.at }
        self.threads = min(threads, rooms, clients)
        self.patience = patience
        self.run = run
    }

    private static func check(_ flag: String, _ value: Double, _ range: ClosedRange<Double>) throws(InvalidPlan) {
        guard range.contains(value) else {
            let (low, high) = (Decimals.short(range.lowerBound), Decimals.short(range.upperBound))
            throw InvalidPlan(flag: flag, message: "\(Decimals.short(value)) is not within \(low) to \(high)")
        }
    }

    /// Descriptors that are not connections: loops, terminal, libraries.
    private static let otherDescriptors = 64

    /// Each connection is a file descriptor of this process.
    ///
    /// - Parameter descriptors: how many the system allows; 0 when it does not say.
    /// - Throws: ``InvalidPlan`` with the way out when they do not suffice.
    package func check(descriptors: Int) throws {
        let needed = clients + Self.otherDescriptors
        guard descriptors > 0, needed > descriptors else { return }
        throw InvalidPlan(
            flag: "clients",
            message: "\(clients) need \(needed) file descriptors, the system allows \(descriptors): raise that (ulimit "
                + "-Hn, LimitNOFILE=), or let several processes do a part each and put their --json files together with "
                + "roost load merge")
    }

    func roomName(_ room: Int) -> RoomName? { RoomName("load-\(run)-\(room)") }

    func userName(_ client: Int) -> UserName? { UserName("load-\(run)-u\(client)") }

    /// Bytes of the text of a room's message: the same for all of its copies, spread evenly over ``payload``.
    func length(ofMessage number: Int, in room: Int) -> Int {
        guard payload.count > 1 else { return payload.lowerBound }
        var mixed = UInt64(truncatingIfNeeded: number &* 1_000_003 &+ room) &* 0x9E37_79B9_7F4A_7C15
        mixed ^= mixed >> 32
        return payload.lowerBound + Int(mixed % UInt64(payload.count))
    }

    func isSlow(_ client: Int) -> Bool {
        // Evenly among the clients, and so among rooms and nodes.
        Int(Double(client + 1) * slowPercent / 100) > Int(Double(client) * slowPercent / 100)
    }
}

/// A load test cannot be done as asked.
package struct InvalidPlan: Error, CustomStringConvertible {
    /// The flag's name without dashes.
    package var flag: String
    /// What is wrong with its value, and what is right.
    package var message: String

    package init(flag: String, message: String) {
        self.flag = flag
        self.message = message
    }

    package var description: String { "--\(flag): \(message)" }
}

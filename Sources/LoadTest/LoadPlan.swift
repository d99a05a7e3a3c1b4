package import ChatClient
import ChatProtocol

/// What a load test does: `clients` users, each in one of `rooms` rooms, all of them together sending `rate` messages a
/// second for `duration`.
package struct LoadPlan: Sendable {
    package var addresses: [ServerAddress]
    package var clients: Int
    package var rooms: Int
    /// Messages a second, all clients together.
    package var rate: Double
    package var duration: Duration
    /// Bytes of a message's text, as far as the marker leaves room.
    package var payload: Int
    /// How long the clients take to connect, one after the other.
    package var ramp: Duration
    /// Event loops. All members of a room are on one.
    package var threads: Int
    /// At the end: how long nothing may come before what is missing counts as missing.
    package var patience: Duration
    /// Makes the token of a user; nil where the nodes run without authentication.
    package var token: (@Sendable (_ user: String) -> String)?
    /// Tells this run's rooms, users and messages from any other's; letters and digits.
    package var run: String

    /// - Throws: ``InvalidPlan`` naming the flag and the range.
    package init(
        urls: [String], clients: Int = 100, rooms: Int = 10, rate: Double = 100, duration: Duration = .seconds(10),
        payload: Int = 128, ramp: Duration? = nil, threads: Int = 1, patience: Duration = .seconds(10),
        token: (@Sendable (_ user: String) -> String)? = nil,
        run: String = String(UInt32.random(in: 0...UInt32.max), radix: 36)
    ) throws {
        guard !urls.isEmpty else {
            throw InvalidPlan(flag: "url", message: "at least one is needed: ws://HOST:PORT/ws")
        }
        do {
            addresses = try urls.map { try ServerAddress($0) }
        } catch let error as ChatClientError {
            throw InvalidPlan(flag: "url", message: error.message)
        }
        func check(_ flag: String, _ value: Double, _ range: ClosedRange<Double>) throws(InvalidPlan) {
            guard range.contains(value) else {
                let (low, high) = (Decimals.short(range.lowerBound), Decimals.short(range.upperBound))
                throw InvalidPlan(flag: flag, message: "\(Decimals.short(value)) is not within \(low) to \(high)")
            }
        }
        try check("clients", Double(clients), 1...1_000_000)
        try check("rooms", Double(rooms), 1...Double(clients))
        try check("rate", rate, 0.001...1_000_000)
        try check("duration", duration.inSeconds, 0.1...86_400)
        try check("payload", Double(payload), 1...65_536)
        try check("ramp", ramp?.inSeconds ?? 0, 0...3600)
        try check("threads", Double(threads), 1...64)
        self.clients = clients
        self.rooms = rooms
        self.rate = rate
        self.duration = duration
        self.payload = payload
        // Hashing out 500 connections a second is no test of accepting them.
        self.ramp = ramp ?? .seconds(Double(clients) / 500)
        self.threads = min(threads, rooms)
        self.patience = patience
        self.token = token
        self.run = run
    }

    package func room(of client: Int) -> Int { client % rooms }

    /// Members of a room are spread over all addresses.
    package func address(of client: Int) -> Int { (client % rooms + client / rooms) % addresses.count }

    func thread(of client: Int) -> Int { room(of: client) % threads }

    func roomName(_ room: Int) -> RoomName? { RoomName("load-\(run)-\(room)") }

    func userName(_ client: Int) -> UserName? { UserName("load-\(run)-u\(client)") }
}

/// A load test cannot be done as asked.
package struct InvalidPlan: Error, CustomStringConvertible {
    /// The flag's name without dashes.
    package var flag: String
    /// What is wrong with its value, and what is right.
    package var message: String

    package var description: String { "--\(flag): \(message)" }
}

extension Duration {
    var inSeconds: Double {
        let (seconds, attoseconds) = components
        return Double(seconds) + Double(attoseconds) / 1e18
    }
}

/// Numbers for people.
enum Decimals {
    /// Without `.0`.
    static func short(_ value: Double) -> String {
        let rounded = value.rounded()
        return value == rounded && abs(value) < 1e15 ? String(Int64(rounded)) : String(value)
    }

    /// So many digits after the point.
    static func fixed(_ value: Double, digits: Int) -> String {
        let scale = (0..<digits).reduce(1.0) { product, _ in product * 10 }
        let scaled = Int64((value * scale).rounded())
        let whole = scaled / Int64(scale)
        guard digits > 0 else { return String(whole) }
        let part = String((scaled % Int64(scale)).magnitude)
        let sign = scaled < 0 && whole == 0 ? "-" : ""
        return "\(sign)\(whole)." + String(repeating: "0", count: digits - part.count) + part
    }

    /// Thousands apart.
    static func grouped(_ value: Int) -> String {
        var out = ""
        let digits = String(value.magnitude)
        for (index, digit) in digits.enumerated() {
            if index > 0, (digits.count - index) % 3 == 0 { out.append(",") }
            out.append(digit)
        }
        return value < 0 ? "-" + out : out
    }

    /// Microseconds as milliseconds.
    static func milliseconds(_ microseconds: UInt64) -> String {
        fixed(Double(microseconds) / 1000, digits: microseconds < 10_000 ? 2 : microseconds < 100_000 ? 1 : 0)
    }
}

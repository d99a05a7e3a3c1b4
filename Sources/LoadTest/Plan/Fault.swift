/// Something that is done to the cluster during a run: `10s:kill=gateway-2`.
package struct Fault: Sendable, Equatable, Codable, CustomStringConvertible {
    package enum Action: String, Sendable, Codable, CaseIterable {
        /// SIGKILL: it is gone at once.
        case kill
        /// SIGTERM: a gateway drains and ends.
        case stop
        /// Ends it in order if it runs, and starts it again.
        case restart
        /// SIGSTOP: it holds its connections and answers nothing.
        case pause
        /// SIGCONT.
        case resume
        /// FLUSHALL: Redis loses everything that it had.
        case flush
        /// Cuts connections: those on which the gateways hear publications, or those of all clients.
        case drop
        /// Restarts all gateways, one after the other.
        case roll
    }

    package enum Target: Sendable, Equatable {
        case redis, balancer, subscription, clients, all
        /// From 1.
        case gateway(Int)
    }

    /// After the first message.
    package var at: Duration
    package var action: Action
    package var target: Target

    package init(at: Duration, action: Action, target: Target) {
        self.at = at
        self.action = action
        self.target = target
    }

    /// Whether the processes of the cluster must be our own for it.
    package var needsLocalCluster: Bool { !(action == .drop && target == .clients) }

    package var description: String { "\(Decimals.short(at.inSeconds))s:\(name)" }

    /// Without the time.
    package var name: String { "\(action.rawValue)=\(target)" }

    /// What it was, for somebody who does not know the words: `gateway-2 was killed`.
    package var story: String {
        switch (action, target) {
        case (.kill, _): "\(target) was killed"
        case (.stop, _): "\(target) was told to end"
        case (.restart, _): "\(target) was restarted"
        case (.pause, _): "\(target) was made to stand still"
        case (.resume, _): "\(target) was let go on"
        case (.flush, _): "all data of \(target) was deleted"
        case (.drop, .clients): "all clients lost their connections at once"
        case (.drop, _): "the connections by which the gateways hear Redis were cut"
        case (.roll, _): "all gateways were restarted one after the other"
        }
    }

    /// - Throws: ``InvalidPlan`` with what can be said instead.
    package init(_ text: String) throws(InvalidPlan) {
        func wrong(_ what: String) -> InvalidPlan {
            InvalidPlan(
                flag: "fault",
                message:
                    "\"\(text)\" \(what); expected SECONDSs:ACTION=TARGET, with kill, stop, restart, pause or resume "
                    + "of gateway-N, redis or balancer, flush=redis, drop=subscription, drop=clients, or roll=all")
        }
        guard let colon = text.firstIndex(of: ":") else { throw wrong("has no time") }
        var time = text[..<colon]
        if time.last == "s" { time.removeLast() }
        guard let seconds = Double(time), seconds.isFinite, (0...86_400).contains(seconds) else {
            throw wrong("has a wrong time")
        }
        let parts = text[text.index(after: colon)...].split(separator: "=", maxSplits: 1)
        guard parts.count == 2, let action = Action(rawValue: String(parts[0])) else {
            throw wrong("has no known action")
        }
        guard let target = Target(String(parts[1])), Self.allows(action, target) else {
            throw wrong("cannot be done to \(parts[1])")
        }
        self.init(at: .seconds(seconds), action: action, target: target)
    }

    private static func allows(_ action: Action, _ target: Target) -> Bool {
        switch (action, target) {
        case (.kill, .redis), (.kill, .gateway), (.kill, .balancer): true
        case (.stop, .redis), (.stop, .gateway), (.stop, .balancer): true
        case (.restart, .redis), (.restart, .gateway), (.restart, .balancer): true
        case (.pause, .redis), (.pause, .gateway), (.pause, .balancer): true
        case (.resume, .redis), (.resume, .gateway), (.resume, .balancer): true
        case (.flush, .redis), (.drop, .subscription), (.drop, .clients), (.roll, .all): true
        default: false
        }
    }
}

extension Fault.Target: CustomStringConvertible, Codable {
    package var description: String {
        switch self {
        case .redis: "redis"
        case .balancer: "balancer"
        case .subscription: "subscription"
        case .clients: "clients"
        case .all: "all"
        case .gateway(let number): "gateway-\(number)"
        }
    }

    init?(_ text: String) {
        switch text {
        case "redis": self = .redis
        case "balancer": self = .balancer
        case "subscription": self = .subscription
        case "clients": self = .clients
        case "all": self = .all
        default:
            guard text.hasPrefix("gateway-"), let number = Int(text.dropFirst("gateway-".count)), number > 0 else {
                return nil
            }
            self = .gateway(number)
        }
    }

    package init(from decoder: any Decoder) throws {
        let text = try decoder.singleValueContainer().decode(String.self)
        guard let target = Self(text) else {
            throw DecodingError.dataCorrupted(
                .init(codingPath: decoder.codingPath, debugDescription: "\(text) is no target of a fault"))
        }
        self = target
    }

    package func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(description)
    }
}

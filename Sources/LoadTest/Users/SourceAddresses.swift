import ChatClient
import NIOCore

/// From which address of this machine connections are made. To one address of a node no more fit than there are ports
/// (28,000 or so); on the loopback network there are more addresses to connect from.
struct SourceAddresses {
    /// 127.0.0.1 to 127.0.0.250.
    private static let last = 250
    /// How many addresses are used up, by target.
    private var exhausted: [ServerAddress: Int] = [:]

    /// Nil: the system chooses.
    func next(to target: ServerAddress) -> SocketAddress? {
        guard let count = exhausted[target], count > 0 else { return nil }
        return try? SocketAddress(ipAddress: "127.0.0.\(count + 1)", port: 0)
    }

    /// No port was left.
    ///
    /// - Parameter source: the one that was tried.
    /// - Returns: whether another address can be tried.
    mutating func exhausted(_ source: SocketAddress?, to target: ServerAddress) -> Bool {
        guard target.host.hasPrefix("127."), let tried = Self.number(source), tried < Self.last else { return false }
        // Others may have found the same meanwhile.
        exhausted[target] = max(exhausted[target] ?? 0, tried)
        return true
    }

    private static func number(_ source: SocketAddress?) -> Int? {
        guard let source else { return 1 }
        return source.ipAddress?.split(separator: ".").last.flatMap { Int($0) }
    }
}

import Hiredis
import NIOCore

/// How Redis calls one connection: enough to end it from another one, and nobody else's. A number alone would not do,
/// Redis counts anew after each start.
struct RedisClientIdentity: Sendable, Equatable {
    private let number: Int
    private let address: String

    /// Reads what `CLIENT INFO` answers: `id=7 addr=10.0.0.1:50000 laddr=…`.
    init?(_ reply: Reply) {
        guard let text = reply.bytes.map({ String(buffer: $0) }) else { return nil }
        let fields = text.split(separator: " ")
        func value(_ name: String) -> Substring? {
            fields.first { $0.hasPrefix(name) }?.dropFirst(name.count)
        }
        guard let number = value("id=").flatMap({ Int($0) }), let address = value("addr="), !address.isEmpty else {
            return nil
        }
        self.number = number
        self.address = String(address)
    }

    /// Ends the connection, if it is still there.
    var killCommand: [Argument] { ["CLIENT", "KILL", "ID", .integer(number), "ADDR", .text(address)] }
}

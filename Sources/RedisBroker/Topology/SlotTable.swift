import Hiredis
import NIOCore

/// Which primary of a cluster serves which slots, as one of its nodes has told.
struct SlotTable: Sendable, Equatable {
    struct Primary: Sendable, Equatable {
        var endpoint: RedisURL.Endpoint
        /// How many it serves.
        var slots = 0
        /// The cluster itself holds it to be down.
        var hasFailed: Bool
    }

    private(set) var primaries: [Primary]
    /// Replicas too: whom to ask next.
    private(set) var nodes: [RedisURL.Endpoint]
    /// Slot → place in ``primaries``, -1 for nobody. Empty before anything is known.
    private var owners: [Int16]

    init() {
        primaries = []
        nodes = []
        owners = []
    }

    var isEmpty: Bool { primaries.isEmpty }

    /// Position in ``primaries`` of the one that serves a slot.
    func index(of slot: Int) -> Int? {
        guard slot < owners.count, owners[slot] >= 0 else { return nil }
        return Int(owners[slot])
    }

    func owner(of slot: Int) -> RedisURL.Endpoint? { index(of: slot).map { primaries[$0].endpoint } }

    /// Whether it is a primary that has any slots.
    func serves(_ endpoint: RedisURL.Endpoint) -> Bool {
        primaries.contains { $0.endpoint == endpoint && $0.slots > 0 }
    }

    /// Those that are expected to work.
    var sound: some Sequence<RedisURL.Endpoint> {
        primaries.lazy.filter { $0.slots > 0 && !$0.hasFailed }.map(\.endpoint)
    }

    /// Whether every slot has the same primary in both.
    func hasOwners(of other: SlotTable) -> Bool {
        owners.count == other.owners.count
            && owners.indices.allSatisfy { owner(of: $0) == other.owner(of: $0) }
    }

    /// A node said by MOVED who serves a slot. Whether that is news.
    mutating func moved(_ slot: Int, to endpoint: RedisURL.Endpoint) -> Bool {
        guard owner(of: slot) != endpoint else { return false }
        if owners.isEmpty { owners = Array(repeating: -1, count: HashSlot.count) }
        let index: Int
        if let known = primaries.firstIndex(where: { $0.endpoint == endpoint }) {
            index = known
            primaries[index].hasFailed = false
        } else {
            index = primaries.count
            primaries.append(Primary(endpoint: endpoint, hasFailed: false))
        }
        if owners[slot] >= 0 { primaries[Int(owners[slot])].slots -= 1 }
        owners[slot] = Int16(truncatingIfNeeded: index)
        primaries[index].slots += 1
        return true
    }

    /// Reads what `CLUSTER SHARDS` answers. nil when it is not that.
    ///
    /// - Parameter asked: the node that answered; it may not know its own host.
    init?(shards reply: Reply, asked: RedisURL.Endpoint?, usesTLS: Bool) {
        guard case .array(let shards) = reply else { return nil }
        self.init()
        owners = Array(repeating: -1, count: HashSlot.count)
        for shard in shards {
            let fields = Fields(shard)
            guard case .array(let slots)? = fields["slots"], case .array(let members)? = fields["nodes"] else {
                return nil
            }
            for member in members {
                let node = Fields(member)
                guard let port = node.integer(usesTLS ? "tls-port" : "port") ?? node.integer("port"),
                    (1...65535).contains(port)
                else { continue }
                let host = [node.text("endpoint"), node.text("ip")].compactMap { $0 }.first { !$0.isEmpty && $0 != "?" }
                let place = Redirection.Place(host: host ?? "", port: port).endpoint(seenFrom: asked)
                nodes.append(place)
                guard node.text("role") == "master", !slots.isEmpty, primaries.count < Int(Int16.max) else { continue }
                let index = Int16(primaries.count)
                var primary = Primary(endpoint: place, hasFailed: node.text("health")?.hasPrefix("fail") == true)
                for pair in stride(from: 0, to: slots.count - 1, by: 2) {
                    guard case .integer(let first) = slots[pair], case .integer(let last) = slots[pair + 1],
                        0 <= first, first <= last, last < HashSlot.count
                    else { return nil }
                    for slot in Int(first)...Int(last) { owners[slot] = index }
                    primary.slots += Int(last - first) + 1
                }
                primaries.append(primary)
            }
        }
    }

    /// A flat list of names and values.
    private struct Fields {
        private let parts: [Reply]

        init(_ reply: Reply) {
            if case .array(let parts) = reply { self.parts = parts } else { parts = [] }
        }

        subscript(name: String) -> Reply? {
            for index in stride(from: 0, to: parts.count - 1, by: 2)
            where parts[index].bytes.map({ String(buffer: $0) }) == name { return parts[index + 1] }
            return nil
        }

        func text(_ name: String) -> String? { self[name]?.bytes.map { String(buffer: $0) } }

        func integer(_ name: String) -> Int? {
            if case .integer(let number)? = self[name] { Int(number) } else { nil }
        }
    }
}

/// What an error of a cluster's node says of where a command belongs, or when (Redis Cluster specification,
/// "Redirection and resharding").
enum Redirection: Equatable {
    /// `MOVED SLOT HOST:PORT`: the slot is there from now on. nil: on the host that was asked.
    case moved(slot: Int, to: Place)
    /// `ASK SLOT HOST:PORT`: this key is there already, the rest of the slot need not be.
    case asked(slot: Int, of: Place)
    /// Not now: keys are on their way, or the node does not serve the slot or anything yet.
    case later

    /// An address of which a part may be left to whoever asks: a node may not know by which name it is reached.
    struct Place: Equatable {
        var host: String
        var port: Int

        /// - Parameter asked: the node that gave the address.
        func endpoint(seenFrom asked: RedisURL.Endpoint?) -> RedisURL.Endpoint {
            if host.isEmpty, case .tcp(let own, _)? = asked { return .tcp(host: own, port: port) }
            return .tcp(host: host, port: port)
        }
    }

    var isMove: Bool {
        switch self {
        case .moved: true
        case .asked, .later: false
        }
    }

    /// nil for any other error.
    init?(_ error: String) {
        let words = error.split(separator: " ", maxSplits: 3)
        switch words.first {
        case "MOVED", "ASK":
            guard words.count >= 3, let slot = Int(words[1]), (0..<HashSlot.count).contains(slot),
                let colon = words[2].lastIndex(of: ":"),
                let port = Int(words[2][words[2].index(after: colon)...]), (1...65535).contains(port)
            else { return nil }
            let host = words[2][..<colon]
            let place = Place(host: host == "?" ? "" : String(host), port: port)
            self = words[0] == "MOVED" ? .moved(slot: slot, to: place) : .asked(slot: slot, of: place)
        case "TRYAGAIN", "CLUSTERDOWN", "LOADING", "MASTERDOWN":
            self = .later
        default:
            return nil
        }
    }
}

import ChatProtocol
import NIOHTTP1
import Synchronization

/// How many ordinary requests are under way, on all loops together.
final class RequestLoad: Sendable {
    private let limit: Int
    private let current = Atomic(0)
    private let stopping = Atomic(false)

    init(limit: Int) {
        self.limit = limit
    }

    /// No request is taken any more.
    var isStopping: Bool { stopping.load(ordering: .relaxed) }

    /// Counts a request in; nil when it may go on.
    func begin() -> HTTPRefusal? {
        if isStopping {
            return HTTPRefusal(.serviceUnavailable, .draining, "this node goes away: use another one")
        }
        guard current.add(1, ordering: .relaxed).newValue <= limit else {
            end()
            return HTTPRefusal(
                .serviceUnavailable, .full, "too many requests are under way on this node: try again",
                headers: ["Retry-After": "1"])
        }
        return nil
    }

    func end() {
        current.subtract(1, ordering: .relaxed)
    }

    /// One request's place.
    final class Place: Sendable {
        private let load: RequestLoad
        private let isTaken = Atomic(true)

        init(in load: RequestLoad) { self.load = load }

        /// Does nothing the second time.
        func leave() {
            if isTaken.exchange(false, ordering: .relaxed) { load.end() }
        }
    }

    func stop() {
        stopping.store(true, ordering: .relaxed)
    }
}

import NIOCore

/// Whether the command connections of all event loops stand, judged together: a session may be on any of the loops.
///
/// Strict for a node that is to become available. Patient with one that is: while a single connection is replaced, its
/// loop's commands fail for an instant, and that is no reason to send all clients elsewhere.
struct LoopLinks {
    private enum Link {
        /// It has not stood yet.
        case never(why: String)
        case up
        case down(since: NIODeadline, why: String)

        var failure: String? {
            switch self {
            case .up: nil
            case .never(let why), .down(_, let why): why
            }
        }
    }

    private var links: [Link]
    /// So long one lost connection may take to come back.
    private let patience: TimeAmount
    /// Patience for all of them at a time, too.
    private let isForAll: Bool

    init(loops: Int, why: String, patience: TimeAmount = .milliseconds(500), isForAll: Bool = false) {
        links = Array(repeating: .never(why: why), count: loops)
        self.patience = patience
        self.isForAll = isForAll
    }

    /// Why a loop's link does not stand has changed; nil: it stands.
    mutating func changed(_ loop: Int, failure: String?, at now: NIODeadline) {
        guard let why = failure else {
            links[loop] = .up
            return
        }
        switch links[loop] {
        case .never: links[loop] = .never(why: why)
        case .up: links[loop] = .down(since: now, why: why)
        case .down(let since, _): links[loop] = .down(since: since, why: why)
        }
    }

    /// Why not all loops can be served; nil when they can, or when that may pass and `isLenient`.
    func failure(at now: NIODeadline, isLenient: Bool) -> String? {
        let failures = links.compactMap(\.failure)
        guard isLenient, failures.count == 1 || isForAll else { return failures.first }
        for link in links {
            switch link {
            case .up: break
            case .down(let since, _) where now < since + patience: break
            case .never(let why), .down(_, let why): return why
            }
        }
        return nil
    }
}

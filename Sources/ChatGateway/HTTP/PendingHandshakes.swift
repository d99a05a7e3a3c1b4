import NIOConcurrencyHelpers
import Synchronization

/// Connections that have not sent the head of a request, their first or the one after an answer, and strangers that wait
/// for their turns, on all loops together.
package final class PendingHandshakes: Sendable {
    private struct State {
        var count = 0
        /// Of those who are counted by address.
        var byAddress: [String: Int] = [:]
    }

    private let limit: Int
    private let limitPerAddress: Int
    private let state = NIOLockedValueBox(State())
    private let refused = Atomic(0)
    private let delays = Atomic(0)
    private let inLine = Atomic(0)

    /// - Parameters: 0 for none.
    package init(limit: Int, limitPerAddress: Int = 0) {
        self.limit = limit
        self.limitPerAddress = limitPerAddress
    }

    var count: Int { state.withLockedValue { $0.count } }

    /// Connections that were closed at once.
    var dropped: Int { refused.load(ordering: .relaxed) }

    /// Times that a stranger had to wait for its turn.
    var delayed: Int { delays.load(ordering: .relaxed) }

    /// Counts one in; false when there are too many.
    ///
    /// - Parameter address: nil for one that many share, such as a balancer's.
    func begin(_ address: String?) -> Bool {
        let isFree = state.withLockedValue { state in
            guard limit == 0 || state.count < limit else { return false }
            if let address, limitPerAddress > 0 {
                guard state.byAddress[address] ?? 0 < limitPerAddress else { return false }
                state.byAddress[address, default: 0] += 1
            }
            state.count += 1
            return true
        }
        if !isFree { drop() }
        return isFree
    }

    /// One was closed at once, for whatever reason.
    func drop() {
        refused.add(1, ordering: .relaxed)
    }

    /// Strangers whose turn has not come yet, on all loops together.
    var waiting: Int { inLine.load(ordering: .relaxed) }

    /// One has to wait for its turn.
    func delay() {
        delays.add(1, ordering: .relaxed)
        inLine.add(1, ordering: .relaxed)
    }

    /// It waits no more.
    func endDelay() {
        inLine.subtract(1, ordering: .relaxed)
    }

    /// - Parameter address: the same as when it began.
    func end(_ address: String?) {
        state.withLockedValue { state in
            state.count -= 1
            guard let address, limitPerAddress > 0 else { return }
            let left = (state.byAddress[address] ?? 1) - 1
            state.byAddress[address] = left > 0 ? left : nil
        }
    }
}

import Synchronization

/// Connections that have not sent the head of their first request yet, on all loops together.
package final class PendingHandshakes: Sendable {
    private let limit: Int
    private let current = Atomic(0)
    private let refused = Atomic(0)

    /// - Parameter limit: 0 for none.
    package init(limit: Int) {
        self.limit = limit
    }

    var count: Int { current.load(ordering: .relaxed) }

    /// Connections that were closed at once.
    var dropped: Int { refused.load(ordering: .relaxed) }

    /// Counts one in; false when there are too many.
    func begin() -> Bool {
        let count = current.add(1, ordering: .relaxed).newValue
        guard limit > 0, count > limit else { return true }
        end()
        drop()
        return false
    }

    /// One was closed at once, for whatever reason.
    func drop() {
        refused.add(1, ordering: .relaxed)
    }

    func end() {
        current.subtract(1, ordering: .relaxed)
    }
}

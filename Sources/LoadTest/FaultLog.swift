import Synchronization

/// When faults began and ended; written by the tasks that perform them.
final class FaultLog: Sendable {
    private struct Performed {
        var fault: Fault
        var began: Double
        var ended: Double?
    }

    private struct State {
        var performed: [Performed] = []
        var failure: String?
    }

    /// Of the messages.
    let start: ContinuousClock.Instant
    private let state = Mutex(State())

    init(start: ContinuousClock.Instant) {
        self.start = start
    }

    func seconds() -> Double { (ContinuousClock.now - start).inSeconds }

    /// - Returns: its number, for ``end(_:)``.
    func begin(_ fault: Fault) -> Int {
        let now = seconds()
        return state.withLock { state in
            state.performed.append(Performed(fault: fault, began: now))
            return state.performed.count - 1
        }
    }

    func end(_ number: Int) {
        let now = seconds()
        state.withLock { $0.performed[number].ended = now }
    }

    func fail(_ reason: String) {
        state.withLock { $0.failure = $0.failure ?? reason }
    }

    /// - Throws: ``LoadRunError`` when a fault could not be performed.
    func check() throws {
        if let failure = state.withLock({ $0.failure }) { throw LoadRunError(description: failure) }
    }

    var doneCount: Int { state.withLock { $0.performed.count { $0.ended != nil } } }

    /// - Parameter presence: when rooms knew of a lost user, and after how long: that of the fault so long before.
    func outcomes(health: HealthLog, presence: [(second: Double, took: Double)]) -> [LoadReport.FaultOutcome] {
        let performed = state.withLock { $0.performed }.sorted { $0.began < $1.began }
        return performed.enumerated().map { index, one in
            let next = index + 1 < performed.count ? performed[index + 1].began : .infinity
            let ended = one.ended ?? one.began
            return LoadReport.FaultOutcome(
                name: one.fault.name, began: one.began, ended: ended,
                healedAfter: health.healed(from: one.began, ended: ended),
                peakConnects: health.peakConnects(from: one.began, to: max(next, ended)),
                presence: presence.filter { abs($0.second - $0.took - one.began) < 0.5 && one.fault.action == .kill }
                    .map(\.took))
        }
    }
}

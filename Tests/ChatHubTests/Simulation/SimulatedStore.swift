import ChatHub
import ChatProtocol
import NIOCore

/// One life of a simulated store with one room. Two of them can live at a time: the one that was promoted, and the one
/// that some nodes still talk to.
final class SimulatedStore {
    let generation: UInt64
    private(set) var log: SimulatedLog
    /// The latest states of the log, oldest first: what a replica may have.
    private var past: [SimulatedLog] = []
    /// Entries are trimmed beyond this many.
    var logLength = Int.max
    /// Milliseconds since 1970; never the same twice, as two logs must not begin in the same millisecond.
    private let clock: () -> UInt64
    /// Who hears what is published here.
    var publish: (SimulatedStore, Publication) -> Void = { _, _ in }

    private var sessions: [SessionID: UserName] = [:]
    private var revision: UInt64 = 0

    init(generation: UInt64, log: SimulatedLog = SimulatedLog(), clock: @escaping () -> UInt64) {
        self.generation = generation
        self.log = log
        self.clock = clock
    }

    // MARK: - The log

    func append(_ drafts: [Draft], known: Position, isSettled: Bool) -> [Receipt]? {
        let before = log
        guard
            let (receipts, batch) = log.append(
                drafts, known: known, generation: generation, isSettled: isSettled, at: clock())
        else { return nil }
        log.trim(to: logLength)
        remember(before)
        if let batch { publish(self, .messages(batch)) }
        return receipts
    }

    func restore(_ tail: [LogEntry], after previous: Position?) -> Restoration {
        let before = log
        let (restoration, batches) = log.restore(tail, after: previous, generation: generation, at: clock())
        remember(before)
        for batch in batches { publish(self, .messages(batch)) }
        return restoration
    }

    /// Everything is deleted.
    func flush() {
        remember(log)
        log = SimulatedLog()
    }

    private func remember(_ state: SimulatedLog) {
        guard state.head != log.head else { return }
        past.append(state)
        if past.count > 32 { past.removeFirst() }
    }

    /// How many writes a replica can lack.
    var changes: Int { past.count }

    /// What a replica has that lacks the last writes.
    func log(lacking writes: Int) -> SimulatedLog {
        writes == 0 || past.isEmpty ? log : past[max(0, past.count - writes)]
    }

    // MARK: - Presence

    func enter(_ session: SessionID, user: UserName, named limit: Int) -> Roster {
        let isFirst = !sessions.values.contains(user)
        sessions[session] = user
        if isFirst { announce(user, isPresent: true, origin: session) }
        return roster(limit: limit)
    }

    func leave(_ session: SessionID) {
        guard let user = sessions.removeValue(forKey: session), !sessions.values.contains(user) else { return }
        announce(user, isPresent: false, origin: nil)
    }

    func roster(limit: Int) -> Roster {
        let users = Set(sessions.values).sorted()
        return Roster(
            members: Array(users.prefix(limit)), count: users.count, hasMore: users.count > limit, revision: revision)
    }

    private func announce(_ user: UserName, isPresent: Bool, origin: SessionID?) {
        revision += 1
        let count = Set(sessions.values).count
        publish(
            self,
            .presence(
                PresenceChange(
                    user: user, isPresent: isPresent, count: count, origin: origin, revision: revision)))
    }
}

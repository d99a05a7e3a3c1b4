import NIOCore

/// A node's right to be counted among the living, and to say that others are dead.
struct NodeLease {
    enum Beat: Equatable {
        case register
        case renew(mayJudge: Bool)
    }

    enum Answer: Equatable {
        /// The lease is gone: the node was declared dead, or Redis lost it.
        case lost
        /// Renewed, but so late that others may have been kept from renewing theirs, too.
        case late
        case renewed
    }

    private enum State {
        case unregistered
        /// Held under a name that is given up for another one, which is not registered yet.
        case renamed
        /// Held without interruption since then; nil since an interruption.
        case held(since: NIODeadline?)
    }

    private let timeout: TimeAmount
    private var state = State.unregistered
    private var isUnderWay = false

    init(timeout: TimeAmount) { self.timeout = timeout }

    var isHeld: Bool {
        switch state {
        case .held, .renamed: true
        case .unregistered: false
        }
    }

    /// Whether the present name is registered.
    var isRegistered: Bool {
        switch state {
        case .held: true
        case .renamed, .unregistered: false
        }
    }

    /// The node takes another name though it was not declared dead. What is under way no longer counts.
    mutating func renamed() {
        isUnderWay = false
        switch state {
        case .held: state = .renamed
        case .renamed, .unregistered: break
        }
    }

    /// What to tell Redis now; nil while the last beat is not answered.
    mutating func beat(at now: NIODeadline) -> Beat? {
        guard !isUnderWay else { return nil }
        isUnderWay = true
        switch state {
        case .unregistered, .renamed: return .register
        case .held(let since): return .renew(mayJudge: since.map { now >= $0 + timeout } ?? false)
        }
    }

    /// Whether the node needs a new incarnation.
    mutating func answered(_ answer: Answer, at now: NIODeadline) -> Bool {
        isUnderWay = false
        switch (answer, state) {
        case (.lost, _):
            state = .unregistered
            return true
        case (.renewed, .held(.some)): break
        case (.late, _), (.renewed, _): state = .held(since: now)
        }
        return false
    }

    mutating func failed() {
        isUnderWay = false
        switch state {
        case .unregistered, .renamed: break
        case .held: state = .held(since: nil)
        }
    }
}

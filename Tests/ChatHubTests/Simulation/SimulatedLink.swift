import ChatHub
import NIOCore
import NIOEmbedded

/// One loop's connection to a store. What is asked waits until the schedule lets the store answer, and the answer waits
/// until the schedule lets it arrive; both in order.
final class SimulatedLink {
    static let commandTimeout = TimeAmount.seconds(2)
    static let settlingTime = TimeAmount.seconds(1)

    private struct Request {
        var deadline: NIODeadline
        /// Asks the store; what it returns hands the answer to whoever asked.
        var execute: (SimulatedStore) -> () -> Void
        var fail: () -> Void
    }

    let loop: EmbeddedEventLoop
    private(set) var store: SimulatedStore
    private(set) var isUp = true
    /// The connection is to another store than before.
    var storeReplaced: () -> Void = {}
    private var requests: [Request] = []
    private var answers: [(deadline: NIODeadline, arrive: () -> Void, fail: () -> Void)] = []
    /// What was sent on a connection that is no more; the store may still do it, and nobody hears the answer.
    private var orphans: [Request] = []
    private var settledAt: NIODeadline?

    init(loop: EmbeddedEventLoop, store: SimulatedStore) {
        self.loop = loop
        self.store = store
    }

    /// When new epochs may begin; nil for at once.
    var settles: NIODeadline? { settledAt.flatMap { loop.now < $0 ? $0 : nil } }

    func send<Answer>(
        _ question: @escaping (SimulatedStore) -> Answer, _ completion: @escaping (Result<Answer, BrokerError>) -> Void
    ) {
        let fail = { completion(.failure(BrokerError(code: .unavailable, message: "the connection is lost"))) }
        guard isUp else { return fail() }
        requests.append(
            Request(
                deadline: loop.now + Self.commandTimeout,
                execute: { store in
                    let answer = question(store)
                    return { completion(.success(answer)) }
                }, fail: fail))
    }

    // MARK: - The schedule's

    var hasRequests: Bool { isUp && !requests.isEmpty }
    var hasAnswers: Bool { isUp && !answers.isEmpty }
    var hasOrphans: Bool { !orphans.isEmpty }

    /// The store does the next thing that it was asked.
    func executeNext() {
        guard hasRequests else { return }
        let request = requests.removeFirst()
        answers.append((request.deadline, request.execute(store), request.fail))
    }

    /// The next answer arrives.
    func answerNext() {
        guard hasAnswers else { return }
        answers.removeFirst().arrive()
    }

    /// The store comes to something that nobody waits for any more.
    func executeOrphan() {
        guard hasOrphans else { return }
        _ = orphans.removeFirst().execute(store)
    }

    /// The connection is lost.
    ///
    /// - Parameter isDoneYet: whether the store has read, and will do, what was sent.
    func disconnect(isDoneYet: Bool) {
        guard isUp else { return }
        isUp = false
        let failed = answers.map(\.fail) + requests.map(\.fail)
        orphans = isDoneYet ? requests : []
        requests = []
        answers = []
        for fail in failed { fail() }
    }

    func connect(to store: SimulatedStore) {
        guard !isUp else { return }
        isUp = true
        orphans = self.store === store ? orphans : []
        guard self.store !== store else { return }
        self.store = store
        settledAt = loop.now + Self.settlingTime
        storeReplaced()
    }

    /// Gives the connection up when something has waited too long.
    var isOverdue: Bool {
        let now = loop.now
        return requests.contains { $0.deadline <= now } || answers.contains { $0.deadline <= now }
    }
}

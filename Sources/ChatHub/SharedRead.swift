/// Questions of one kind about one room, so many of which one answer serves: at most one is on its way to the store, and
/// whoever comes meanwhile waits for it. Pure: the caller asks the store what it is told to.
struct SharedRead<Question: Equatable, Waiter> {
    /// The question that the store is being asked.
    private(set) var underWay: Question?
    private var waiting: [(question: Question, waiter: Waiter)] = []
    /// How many of ``waiting`` came before the store was asked: what the answer lacks was not there for them.
    private var early = 0

    init() {}

    /// Nobody waits.
    var isIdle: Bool { underWay == nil && waiting.isEmpty }

    /// Somebody wants to know.
    ///
    /// - Returns: whether the store is to be asked now; otherwise an answer comes without.
    mutating func ask(_ question: Question, for waiter: Waiter) -> Bool {
        waiting.append((question, waiter))
        guard underWay == nil else { return false }
        underWay = question
        early = waiting.count
        return true
    }

    /// The answer came.
    ///
    /// - Parameters:
    ///   - isBefore: whether one question is the better one to ask next, as its answer is likelier to serve the other.
    ///   - serve: what the answer is to a question; nil when it is none. Must not be nil for the one that was asked.
    ///     The last argument tells whether the question was there before the store was asked.
    /// - Returns: who is served, and what to ask the store next.
    mutating func answered<Answer>(
        isBefore: (Question, Question) -> Bool, serve: (Question, Waiter, Bool) -> Answer?
    ) -> (served: [(question: Question, waiter: Waiter, answer: Answer)], next: Question?) {
        var served: [(question: Question, waiter: Waiter, answer: Answer)] = []
        var left: [(question: Question, waiter: Waiter)] = []
        for (index, entry) in waiting.enumerated() {
            if let answer = serve(entry.question, entry.waiter, index < early) {
                served.append((entry.question, entry.waiter, answer))
            } else {
                left.append(entry)
            }
        }
        waiting = left
        early = left.count
        underWay = left.map(\.question).min(by: isBefore)
        return (served, underWay)
    }

    /// The store did not answer: nobody waits any more.
    mutating func failed() -> [Waiter] {
        let waiters = waiting.map(\.waiter)
        self = SharedRead()
        return waiters
    }
}

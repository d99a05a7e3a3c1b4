/// Who has done as ordered, and who has not said so yet. Pure.
struct OrderTally: Equatable {
    private var answers: [String: Int] = [:]
    /// The nodes that lived when the order was given, and still do; nil: not known yet.
    private var expected: Set<String>?

    init() {}

    mutating func answered(_ node: String, affected: Int) {
        answers[node] = max(answers[node] ?? 0, affected)
    }

    /// These nodes live. Those that were not there when the order was given know it from the store; those that have died
    /// have no sessions.
    mutating func live(_ nodes: Set<String>) {
        expected = expected?.intersection(nodes) ?? nodes
    }

    /// Those that have not answered.
    var silent: [String] { (expected ?? []).filter { answers[$0] == nil }.sorted() }

    var isComplete: Bool { expected != nil && silent.isEmpty }

    /// Over all nodes.
    var affected: Int { answers.values.reduce(0, +) }
}

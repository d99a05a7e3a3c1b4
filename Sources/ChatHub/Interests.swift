/// The loops that want a room, by index, each with its latest question. One as a rule, for which no list is kept.
struct Interests: Sequence {
    typealias Element = (loop: Int, opening: Int)

    private var first: Element?
    private var others: [Element] = []

    var isEmpty: Bool { first == nil }

    mutating func add(_ loop: Int, opening: Int) {
        _ = remove(loop)
        if first == nil { first = (loop, opening) } else { others.append((loop, opening)) }
    }

    /// - Returns: whether it was there.
    mutating func remove(_ loop: Int) -> Bool {
        if first?.loop == loop {
            first = others.popLast()
            return true
        }
        guard let index = others.firstIndex(where: { $0.loop == loop }) else { return false }
        others.remove(at: index)
        return true
    }

    func makeIterator() -> Iterator { Iterator(first: first, others: others[...]) }

    struct Iterator: IteratorProtocol {
        fileprivate var first: Element?
        fileprivate var others: ArraySlice<Element>

        mutating func next() -> Element? {
            defer { first = others.popFirst() }
            return first
        }
    }
}

/// The loops that want a room, by index, each with its latest question. One as a rule, for which no list is kept.
struct Interests: Sequence {
    typealias Element = (loop: Int, opening: UInt32)

    fileprivate struct Interest {
        var loop: UInt32
        var opening: UInt32
    }

    private var others: [Interest] = []
    private var first: Interest?

    var isEmpty: Bool { first == nil }

    mutating func add(_ loop: Int, opening: UInt32) {
        _ = remove(loop)
        let interest = Interest(loop: UInt32(loop), opening: opening)
        if first == nil { first = interest } else { others.append(interest) }
    }

    /// - Returns: whether it was there.
    mutating func remove(_ loop: Int) -> Bool {
        if let first, first.loop == loop {
            self.first = others.popLast()
            return true
        }
        guard let index = others.firstIndex(where: { $0.loop == loop }) else { return false }
        others.remove(at: index)
        return true
    }

    func makeIterator() -> Iterator { Iterator(first: first, others: others[...]) }

    struct Iterator: IteratorProtocol {
        fileprivate var first: Interest?
        fileprivate var others: ArraySlice<Interest>

        mutating func next() -> Element? {
            guard let interest = first else { return nil }
            first = others.popFirst()
            return (Int(interest.loop), interest.opening)
        }
    }
}

/// The loops that want a room, by index, each with its latest question. One as a rule, for which no list is kept.
struct Interests: Sequence {
    typealias Element = (loop: Int, opening: UInt32)

    fileprivate struct Interest {
        /// Takes half of an optional's memory.
        static let nobody = Interest(loop: .max, opening: 0)

        var loop: UInt32
        var opening: UInt32

        var isNone: Bool { loop == .max }
    }

    private var others: [Interest] = []
    private var first = Interest.nobody

    var isEmpty: Bool { first.isNone }

    mutating func add(_ loop: Int, opening: UInt32) {
        _ = remove(loop)
        let interest = Interest(loop: UInt32(loop), opening: opening)
        if first.isNone { first = interest } else { others.append(interest) }
    }

    /// - Returns: whether it was there.
    mutating func remove(_ loop: Int) -> Bool {
        if first.loop == loop {
            first = others.popLast() ?? .nobody
            return true
        }
        guard let index = others.firstIndex(where: { $0.loop == loop }) else { return false }
        others.remove(at: index)
        return true
    }

    func makeIterator() -> Iterator { Iterator(first: first, others: others[...]) }

    struct Iterator: IteratorProtocol {
        fileprivate var first: Interest
        fileprivate var others: ArraySlice<Interest>

        mutating func next() -> Element? {
            guard !first.isNone else { return nil }
            defer { first = others.popFirst() ?? .nobody }
            return (Int(first.loop), first.opening)
        }
    }
}

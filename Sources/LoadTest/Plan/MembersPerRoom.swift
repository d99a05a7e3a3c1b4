/// How many of the clients are in each room.
package enum MembersPerRoom: Sendable, Equatable {
    /// Each client is in one room, and rooms are of the same size.
    case even
    /// So many in each; clients are in as many rooms as that takes.
    case fixed(Int)
    /// The room of rank k has as many as k to the power of -exponent says: a few large rooms and many small ones.
    /// Without a mean there are as many members as clients.
    case zipf(exponent: Double, mean: Double?)

    /// Reads `20`, `zipf`, `zipf:1.2` or `zipf:1.2:20`. Nil for anything else.
    package init?(_ text: String) {
        let parts = text.split(separator: ":", omittingEmptySubsequences: false)
        if parts.count == 1, let count = Int(text), count > 0 {
            self = .fixed(count)
            return
        }
        guard parts.first == "zipf", parts.count <= 3 else { return nil }
        var numbers: [Double] = []
        for part in parts.dropFirst() {
            guard let number = Double(part), number.isFinite, number > 0 else { return nil }
            numbers.append(number)
        }
        guard numbers.first ?? 1 <= 5, numbers.dropFirst().first ?? 1 <= 1_000_000 else { return nil }
        self = .zipf(exponent: numbers.first ?? 1, mean: numbers.dropFirst().first)
    }

    /// The rooms of one event loop of `threads`: every one of so many has its share of clients and rooms.
    ///
    /// - Parameter rooms: all rooms of the run, by rank.
    /// - Returns: the members of each of the loop's rooms, by their index among the loop's clients.
    func members(clients: Int, rooms: [Int], of all: (clients: Int, rooms: Int)) -> [Range<Int>] {
        var next = 0
        return sizes(clients: clients, rooms: rooms, of: all).map { size in
            defer { next += size }
            return next..<(next + size)
        }
    }

    private func sizes(clients: Int, rooms: [Int], of all: (clients: Int, rooms: Int)) -> [Int] {
        switch self {
        case .even:
            let (size, rest) = clients.quotientAndRemainder(dividingBy: max(rooms.count, 1))
            return rooms.indices.map { size + ($0 < rest ? 1 : 0) }
        case .fixed(let size):
            return rooms.map { _ in min(size, clients) }
        case .zipf(let exponent, let mean):
            let total = (mean ?? Double(all.clients) / Double(all.rooms)) * Double(all.rooms)
            let weights = (1...max(all.rooms, 1)).map { Power.of(Double($0), -exponent) }
            let sum = weights.reduce(0, +)
            return rooms.map { room in min(max(Int((total * weights[room] / sum).rounded()), 1), clients) }
        }
    }
}

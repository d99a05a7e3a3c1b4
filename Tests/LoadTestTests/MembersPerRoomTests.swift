import Testing

@testable import LoadTest

@Suite("Members per room")
struct MembersPerRoomTests {
    private func members(_ members: MembersPerRoom, clients: Int, rooms: Int) -> [Range<Int>] {
        members.members(clients: clients, rooms: Array(0..<rooms), of: (clients: clients, rooms: rooms))
    }

    @Test("Every client is in one room, and rooms differ by one at most", arguments: [1, 2, 3, 7, 300])
    func even(rooms: Int) {
        let ranges = members(.even, clients: 600, rooms: rooms)
        #expect(ranges.flatMap { Array($0) } == Array(0..<600))
        let sizes = ranges.map(\.count)
        #expect((sizes.max() ?? 0) - (sizes.min() ?? 0) <= 1)
    }

    @Test("With a number of members clients are in as many rooms as that takes, nobody twice in one")
    func fixed() {
        let ranges = members(.fixed(4), clients: 10, rooms: 25)
        #expect(ranges.allSatisfy { $0.count == 4 })
        let perClient = Dictionary(grouping: ranges.flatMap { $0.map { $0 % 10 } }, by: \.self).mapValues(\.count)
        #expect(perClient == Dictionary(uniqueKeysWithValues: (0..<10).map { ($0, 10) }))
    }

    @Test("After Zipf the second room has half as many as the first, and nobody is in a room twice")
    func zipf() {
        let sizes = members(.zipf(exponent: 1, mean: nil), clients: 10_000, rooms: 100).map(\.count)
        #expect(abs(sizes[0] - 2 * sizes[1]) <= 2)
        #expect(abs(sizes.reduce(0, +) - 10_000) < 100)
        #expect(sizes.allSatisfy { $0 >= 1 })
        let capped = members(.zipf(exponent: 2, mean: 50), clients: 100, rooms: 10).map(\.count)
        #expect(capped[0] == 100)
    }

    @Test("Each of several loops has a share of the large rooms")
    func shares() {
        let all = (clients: 1000, rooms: 10)
        let even = MembersPerRoom.zipf(exponent: 1, mean: nil).members(clients: 500, rooms: [0, 2, 4, 6, 8], of: all)
        let odd = MembersPerRoom.zipf(exponent: 1, mean: nil).members(clients: 500, rooms: [1, 3, 5, 7, 9], of: all)
        #expect(even[0].count > odd[0].count && odd[0].count > even[1].count)
    }

    @Test("What can be said")
    func words() {
        #expect(MembersPerRoom("20") == .fixed(20))
        #expect(MembersPerRoom("zipf") == .zipf(exponent: 1, mean: nil))
        #expect(MembersPerRoom("zipf:1.2") == .zipf(exponent: 1.2, mean: nil))
        #expect(MembersPerRoom("zipf:1.2:30") == .zipf(exponent: 1.2, mean: 30))
        for wrong in ["", "0", "-1", "x", "zip", "zipf:", "zipf:0", "zipf:nan", "zipf:9", "zipf:1:2:3", "20:1"] {
            #expect(MembersPerRoom(wrong) == nil, "\(wrong)")
        }
    }
}

import ChatHub
import ChatProtocol
import NIOCore
import TestSupport
import Testing

@Suite("Many rooms at a time")
struct ManyRoomsTests {
    @Test func areComparedWithTheirLogsAThousandAtOnce() throws {
        let bench = try HubBench()
        bench.store.heldBack = []
        let sessions = (0..<1_500).map { TestSession("u\($0)") }
        var joined = 0
        for session in sessions {
            bench.hubs[0].join(RoomName(inboxOf: session.user), session: session, replay: .none) {
                if case .success = $0 { joined += 1 }
            }
        }
        bench.run()
        #expect(bench.store.compared.map(\.count) == [500, 500])
        #expect(joined == 0)
        // Each answer makes room for more questions.
        let first = bench.store.heldBack ?? []
        bench.store.heldBack = []
        first[0]()
        bench.run()
        #expect(joined == 500)
        #expect(bench.store.compared.map(\.count) == [500, 500, 500])
        for answer in first[1...] + (bench.store.heldBack ?? [])[...] { answer() }
        bench.run()
        #expect(joined == 1_500)
    }

    @Test func areComparedTogetherAndWhileNothingIsHeardEverMoreRarely() throws {
        let bench = try HubBench()
        let sessions = (0..<100).map { TestSession("u\($0)") }
        for session in sessions { bench.join(RoomName(inboxOf: session.user), session) }
        func compared(within seconds: Int) -> [[RoomName]] {
            bench.store.compared = []
            for _ in 0..<(seconds * 2) { bench.advance(by: .milliseconds(500)) }
            return bench.store.compared
        }
        let soon = compared(within: 2)
        #expect(soon.count <= 10, "\(soon.map(\.count))")
        #expect(Set(soon.joined()).count == 100 && soon.joined().count == 100, "each once")
        let later = compared(within: 28).joined().count
        #expect(later > 4 * 100 && later < 8 * 100)
        let late = compared(within: 30).joined().count
        #expect(late < 3 * 100)

        // Whoever was heard is looked at soon, again and again; nobody else is.
        let inbox = RoomName(inboxOf: sessions[7].user)
        bench.post("1", to: inbox)
        let active = compared(within: 5).joined()
        #expect((4...6).contains(active.count { $0 == inbox }))
        let others = active.filter { $0 != inbox }
        #expect(others.count == Set(others).count, "at most once")
    }
}

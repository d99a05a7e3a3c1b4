import ChatHub
import ChatProtocol
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
        #expect(bench.store.heldBack?.count == 1_000)
        #expect(joined == 0)
        // Each answer makes room for one more question.
        let first = bench.store.heldBack ?? []
        bench.store.heldBack = []
        for answer in first[..<200] { answer() }
        bench.run()
        #expect(joined == 200)
        #expect(bench.store.heldBack?.count == 200)
        for answer in first[200...] + (bench.store.heldBack ?? [])[...] { answer() }
        bench.run()
        let last = bench.store.heldBack ?? []
        bench.store.heldBack = nil
        for answer in last[200...] { answer() }
        bench.run()
        #expect(joined == 1_500)
    }
}

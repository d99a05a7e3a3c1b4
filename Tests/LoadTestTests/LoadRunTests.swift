import Testing

@testable import LoadTest

@Suite("A load test's run", .timeLimit(.minutes(1)))
struct LoadRunTests {
    @Test("Where no node listens it says so, with the number of clients and the reason")
    func nobodyListens() async throws {
        // Port 1 of the loopback address: refused at once.
        var run = LoadRun(try LoadPlan(urls: ["ws://127.0.0.1:1/ws"], clients: 3, rooms: 1, ramp: .zero))
        run.connectTimeout = .milliseconds(200)
        run.interval = .milliseconds(50)
        await #expect {
            _ = try await run.run { event in
                guard case .progress(let progress) = event else { return }
                #expect(progress.phase == .connecting)
                #expect(progress.connected == 0)
            }
        } throws: { error in
            let text = (error as? LoadRunError)?.description ?? ""
            return text.contains("3 of 3 clients could not connect") && text.contains("127.0.0.1:1")
        }
    }
}

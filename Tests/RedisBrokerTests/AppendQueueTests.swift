import ChatHub
import ChatProtocol
import NIOCore
import TestSupport
import Testing

@testable import RedisBroker

@Suite("Messages of one room that wait for Redis")
struct AppendQueueTests {
    private let start = NIODeadline.uptimeNanoseconds(1_000_000_000)

    private func waiting(_ text: String, until deadline: NIODeadline) -> AppendQueue.Waiting {
        .init(draft: .test(text), deadline: deadline, completion: { _ in })
    }

    @Test func oneCallIsUnderWayAndTheNextOneCarriesWhatCameMeanwhile() {
        var queue = AppendQueue()
        queue.add(waiting("1", until: start), known: .zero)
        #expect(queue.begin(bytes: 1_000)?.map(\.draft) == [.test("1")])
        for text in ["2", "3"] { queue.add(waiting(text, until: start), known: .zero) }
        #expect(queue.begin(bytes: 1_000) == nil)
        queue.ended()
        #expect(queue.begin(bytes: 1_000)?.map(\.draft) == [.test("2"), .test("3")])
        queue.ended()
        #expect(queue.isIdle)
    }

    @Test func whatHasWaitedTooLongIsTakenOutAndNotSent() {
        var queue = AppendQueue()
        queue.add(waiting("old", until: start), known: .zero)
        queue.add(waiting("also old", until: start + .milliseconds(1)), known: .zero)
        queue.add(waiting("new", until: start + .seconds(1)), known: .zero)
        #expect(queue.takeExpired(at: start + .milliseconds(1)).map(\.draft) == [.test("old"), .test("also old")])
        #expect(queue.takeExpired(at: start + .milliseconds(1)).isEmpty)
        #expect(queue.begin(bytes: 1_000)?.map(\.draft) == [.test("new")])
    }

    @Test func theGreatestKnownPositionIsKept() {
        var queue = AppendQueue()
        let positions = [(7, 5), (8, 1), (7, 9), (0, 0)].map { Position(epoch: $0.0, seq: $0.1) }
        for position in positions { queue.add(waiting("a", until: start), known: position) }
        #expect(queue.known == positions[1])
    }
}

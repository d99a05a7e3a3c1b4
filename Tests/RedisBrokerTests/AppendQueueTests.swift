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

    @Test func aCallIsBoundedInBytesAndWhatIsLeftFollowsInOrder() {
        var queue = AppendQueue()
        let bytes = Draft.test("1").body.readableBytes
        for text in ["1", "2", "3", "4", "5"] { queue.add(waiting(text, until: start), known: .zero) }
        let first = queue.begin(bytes: 2 * bytes)
        #expect(first?.map(\.draft) == [.test("1"), .test("2")])
        queue.putBack(first ?? [])
        queue.ended()
        #expect(queue.begin(bytes: 3 * bytes)?.map(\.draft) == [.test("1"), .test("2"), .test("3")])
        queue.ended()
        // One message goes, however long it is.
        #expect(queue.begin(bytes: 1)?.map(\.draft) == [.test("4")])
        queue.ended()
        #expect(queue.begin(bytes: bytes)?.map(\.draft) == [.test("5")])
        queue.ended()
        #expect(queue.isIdle)
    }

    @Test func aCallCarriesAThousandMessagesAtMost() {
        var queue = AppendQueue()
        for _ in 0..<1_001 { queue.add(waiting("1", until: start), known: .zero) }
        #expect(queue.begin(bytes: 1 << 30)?.count == 1_000)
        queue.ended()
        #expect(queue.begin(bytes: 1 << 30)?.count == 1)
    }

    @Test func theGreatestKnownPositionIsKept() {
        var queue = AppendQueue()
        let positions = [(7, 5), (8, 1), (7, 9), (0, 0)].map { Position(epoch: $0.0, seq: $0.1) }
        for position in positions { queue.add(waiting("a", until: start), known: position) }
        #expect(queue.known == positions[1])
    }
}

import ChatHub
import ChatProtocol
import NIOCore
import TestSupport
import Testing

@testable import RedisBroker

@Suite("Messages of one room that wait for Redis")
struct AppendQueueTests {
    private let start = NIODeadline.uptimeNanoseconds(1_000_000_000)

    private func bodies(_ texts: String...) -> [ByteBuffer] { texts.map { Draft.test($0).body } }

    @Test func oneCallIsUnderWayAndTheNextOneCarriesWhatCameMeanwhile() {
        var queue = AppendQueue()
        queue.add(.test("1"), until: start, known: .zero) { _ in }
        #expect(queue.begin(bytes: 1_000)?.bodies == bodies("1"))
        for text in ["2", "3"] { queue.add(.test(text), until: start, known: .zero) { _ in } }
        #expect(queue.begin(bytes: 1_000) == nil)
        queue.ended()
        #expect(queue.begin(bytes: 1_000)?.bodies == bodies("2", "3"))
        queue.ended()
        #expect(queue.isIdle)
    }

    @Test func whatHasWaitedTooLongIsTakenOutAndNotSent() {
        var queue = AppendQueue()
        queue.add(.test("old"), until: start, known: .zero) { _ in }
        queue.add(.test("also old"), until: start + .milliseconds(1), known: .zero) { _ in }
        queue.add(.test("new"), until: start + .seconds(1), known: .zero) { _ in }
        #expect(queue.takeExpired(at: start + .milliseconds(1)).bodies == bodies("old", "also old"))
        #expect(queue.takeExpired(at: start + .milliseconds(1)).isEmpty)
        #expect(queue.begin(bytes: 1_000)?.bodies == bodies("new"))
    }

    @Test func aCallIsBoundedInBytesAndWhatIsLeftFollowsInOrder() throws {
        var queue = AppendQueue()
        let bytes = Draft.test("1").body.readableBytes
        for text in ["1", "2", "3", "4", "5"] { queue.add(.test(text), until: start, known: .zero) { _ in } }
        let first = queue.begin(bytes: 2 * bytes)
        #expect(first?.bodies == bodies("1", "2"))
        queue.putBack(try #require(first))
        queue.ended()
        #expect(queue.begin(bytes: 3 * bytes)?.bodies == bodies("1", "2", "3"))
        queue.ended()
        // One message goes, however long it is.
        #expect(queue.begin(bytes: 1)?.bodies == bodies("4"))
        queue.ended()
        #expect(queue.begin(bytes: bytes)?.bodies == bodies("5"))
        queue.ended()
        #expect(queue.isIdle)
    }

    @Test func aCallCarriesAThousandMessagesAtMost() {
        var queue = AppendQueue()
        for _ in 0..<1_001 { queue.add(.test("1"), until: start, known: .zero) { _ in } }
        #expect(queue.begin(bytes: 1 << 30)?.count == 1_000)
        queue.ended()
        #expect(queue.begin(bytes: 1 << 30)?.count == 1)
    }

    @Test func theGreatestKnownPositionIsKept() {
        var queue = AppendQueue()
        let positions = [(7, 5), (8, 1), (7, 9), (0, 0)].map { Position(epoch: $0.0, seq: $0.1) }
        for position in positions { queue.add(.test("a"), until: start, known: position) { _ in } }
        #expect(queue.known == positions[1])
    }
}

extension AppendQueue.Batch {
    /// In order.
    fileprivate var bodies: [ByteBuffer] {
        var bodies: [ByteBuffer] = []
        forEachBody { bodies.append($1) }
        return bodies
    }
}

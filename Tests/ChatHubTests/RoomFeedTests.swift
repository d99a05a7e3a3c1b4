import ChatHub
import ChatProtocol
import NIOCore
import TestSupport
import Testing

@Suite("A room's feed")
struct RoomFeedTests {
    private func batch(after previous: Position, _ first: Position, count: Int = 1) -> MessageBatch {
        MessageBatch(
            previous: previous, first: first, time: 1, sentAt: 1,
            messages: (0..<count).map { .init(body: ByteBuffer(string: "\(first.seq + UInt64($0))"), exceptFor: nil) })
    }

    private func at(_ seq: UInt64, epoch: UInt64 = 7) -> Position { Position(epoch: epoch, seq: seq) }

    private func entries(_ range: ClosedRange<UInt64>, epoch: UInt64 = 7) -> [LogEntry] {
        range.map { LogEntry(position: at($0, epoch: epoch), time: 1, body: ByteBuffer(string: "\($0)")) }
    }

    private func slice(_ entries: [LogEntry], head: Position, isComplete: Bool = true, hasMore: Bool = false)
        -> LogSlice
    {
        LogSlice(entries: entries, isComplete: isComplete, hasMore: hasMore, head: head)
    }

    /// A feed that follows the room at `7-3`.
    private func following() -> RoomFeed {
        var feed = RoomFeed()
        _ = feed.subscribed()
        #expect(feed.finished(1, with: slice([], head: at(3))) == .deliver([.located(at(3))]))
        return feed
    }

    @Test func findsItsPlaceBeforeItDelivers() {
        var feed = RoomFeed()
        #expect(feed.received(batch(after: at(1), at(2))) == .none)
        #expect(feed.subscribed() == .read(.init(id: 1, range: .head), delivering: []))
        // Published between the subscription and the answer: one at or below the head, one above it.
        #expect(feed.received(batch(after: at(2), at(3))) == .none)
        #expect(feed.received(batch(after: at(3), at(4))) == .none)
        let next = batch(after: at(3), at(4))
        #expect(
            feed.finished(1, with: slice([], head: at(3))) == .deliver([.located(at(3)), .batch(next, skipping: 0)]))
        #expect(feed.position == at(4))
    }

    @Test func deliversWhatFollows() {
        var feed = following()
        let next = batch(after: at(3), at(4), count: 3)
        #expect(feed.received(next) == .deliver([.batch(next, skipping: 0)]))
        #expect(feed.position == at(6))
    }

    @Test func dropsRepetitionsAndDeliversTheRestOfAnOverlap() {
        var feed = following()
        #expect(feed.received(batch(after: at(1), at(2), count: 2)) == .none)
        let overlap = batch(after: at(1), at(2), count: 4)
        #expect(feed.received(overlap) == .deliver([.batch(overlap, skipping: 2)]))
        #expect(feed.position == at(5))
        #expect(feed.repetitions == 4)
    }

    @Test func aNewEpochThatContinuesTheLogFollowsWithoutAHole() {
        var feed = following()
        let next = batch(after: at(3), at(1, epoch: 9))
        #expect(feed.received(next) == .deliver([.batch(next, skipping: 0)]))
        #expect(feed.position == at(1, epoch: 9))
    }

    @Test func aHoleInsideWhatTheLogHoldsIsToldInItsPlace() {
        var feed = following()
        #expect(feed.audited(head: at(9)) == .read(.init(id: 2, range: .after(at(3))), delivering: []))
        let (before, after) = (entries(4...5), entries(8...9))
        #expect(
            feed.finished(2, with: slice(before + after, head: at(9)))
                == .deliver([.entries(before), .gap(after: at(5), before: at(8)), .entries(after)]))
        #expect(feed.position == at(9))
    }

    @Test func fillsAHoleBeforeAnythingNewer() {
        var feed = following()
        let later = batch(after: at(5), at(6))
        #expect(feed.received(later) == .read(.init(id: 2, range: .after(at(3))), delivering: []))
        // More arrives while the log is read.
        let last = batch(after: at(6), at(7))
        #expect(feed.received(last) == .none)
        #expect(
            feed.finished(2, with: slice(entries(4...6), head: at(6)))
                == .deliver([.entries(entries(4...6)), .batch(last, skipping: 0)]))
        #expect(feed.position == at(7))
        #expect(feed.holes == 1)
        #expect(feed.repairedMessages == 3)
    }

    @Test func readsALongHoleInSlices() {
        var feed = following()
        _ = feed.received(batch(after: at(9), at(10)))
        #expect(
            feed.finished(2, with: slice(entries(4...6), head: at(10), hasMore: true))
                == .read(.init(id: 3, range: .after(at(6))), delivering: [.entries(entries(4...6))]))
        #expect(
            feed.finished(3, with: slice(entries(7...10), head: at(10))) == .deliver([.entries(entries(7...10))]))
        #expect(feed.position == at(10))
    }

    @Test func tellsAGapOnceWhenTheLogLostWhatIsMissing() {
        var feed = following()
        _ = feed.received(batch(after: at(8), at(9)))
        #expect(
            feed.finished(2, with: slice(entries(7...9), head: at(9), isComplete: false))
                == .deliver([.gap(after: at(3), before: at(7)), .entries(entries(7...9))]))
    }

    @Test func tellsTheLossOfAWholeLogAndThenWhatComesNew() {
        var feed = following()
        #expect(feed.subscribed() == .read(.init(id: 2, range: .after(at(3))), delivering: []))
        #expect(
            feed.finished(2, with: slice([], head: .zero, isComplete: false))
                == .deliver([.gap(after: at(3), before: nil)]))
        let new = batch(after: .zero, at(1, epoch: 9))
        #expect(feed.received(new) == .read(.init(id: 3, range: .after(at(3))), delivering: []))
        #expect(
            feed.finished(3, with: slice(entries(1...1, epoch: 9), head: at(1, epoch: 9), isComplete: false))
                == .deliver([.entries(entries(1...1, epoch: 9))]))
    }

    /// A store that was replaced, and that the subscription still hears, goes on publishing what the log does not have.
    @Test func dropsWhatTheLogNeverHas() {
        var feed = following()
        let promised = batch(after: at(8), at(9))
        _ = feed.received(promised)
        for id in 2...3 {
            #expect(
                feed.finished(id, with: slice([], head: at(3)))
                    == .read(.init(id: id + 1, range: .after(at(3))), delivering: []))
        }
        #expect(feed.finished(4, with: slice([], head: at(3))) == .none)
        #expect(feed.position == at(3))
        #expect(feed.isFollowing)
        let next = batch(after: at(3), at(4))
        #expect(feed.received(next) == .deliver([.batch(next, skipping: 0)]))
    }

    @Test func auditsAfterEachSubscription() {
        var feed = following()
        #expect(feed.subscribed() == .read(.init(id: 2, range: .after(at(3))), delivering: []))
        #expect(feed.finished(2, with: slice([], head: at(3))) == .none)
        #expect(feed.position == at(3))
    }

    @Test func ignoresAnswersToOlderReads() {
        var feed = following()
        _ = feed.received(batch(after: at(5), at(6)))
        _ = feed.subscribed()
        #expect(feed.finished(2, with: slice(entries(4...6), head: at(6))) == .none)
        #expect(feed.finished(3, with: slice(entries(4...6), head: at(6))) == .deliver([.entries(entries(4...6))]))
    }

    @Test func asksAgainAfterAFailure() {
        var feed = following()
        _ = feed.received(batch(after: at(5), at(6)))
        #expect(feed.failed(2))
        #expect(!feed.failed(1))
        #expect(feed.retry() == .read(.init(id: 3, range: .after(at(3))), delivering: []))
    }

    @Test func holdsNoMoreThanItsBoundAndStillMissesNothing() {
        var feed = RoomFeed(heldBytesLimit: 300)
        _ = feed.subscribed()
        _ = feed.finished(1, with: slice([], head: at(3)))
        _ = feed.received(batch(after: at(5), at(6)))
        for seq in 7...20 as ClosedRange<UInt64> { #expect(feed.received(batch(after: at(seq - 1), at(seq))) == .none) }
        // The log was read when it ended at 6. What was not held since then is read before the feed follows again.
        let action = feed.finished(2, with: slice(entries(4...6), head: at(6)))
        guard case .read(let request, let items) = action else {
            Issue.record("not read: \(action)")
            return
        }
        #expect(request == .init(id: 3, range: .after(feed.position ?? .zero)))
        #expect(items.first == .entries(entries(4...6)))
        _ = feed.finished(3, with: slice(entries(((feed.position?.seq ?? 0) + 1)...20), head: at(20)))
        #expect(feed.position == at(20))
    }

    @Test func anAuditedHeadShowsALostLastMessage() {
        var feed = following()
        #expect(feed.audited(head: at(3)) == .none)
        #expect(feed.audited(head: at(4)) == .read(.init(id: 2, range: .after(at(3))), delivering: []))
    }

    @Test func sequencesBeyondSixtyFourBitsAreDropped() {
        var feed = following()
        #expect(feed.received(batch(after: at(3), at(UInt64.max), count: 1)) != .none)
        var other = following()
        let endless = MessageBatch(
            previous: at(3), first: at(UInt64.max), time: 1, sentAt: 1,
            messages: [.init(body: ByteBuffer(), exceptFor: nil), .init(body: ByteBuffer(), exceptFor: nil)])
        #expect(other.received(endless) == .none)
    }

    /// Random schedules of publishing, loss, repetition, reordering, resubscription and failing reads against a plain list.
    @Test(arguments: 0..<200)
    func deliversEveryMessageOnceAndInOrderWhateverTheSchedule(seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        var log: [LogEntry] = []
        var feed = RoomFeed(heldBytesLimit: 400)
        var delivered: [Position] = []
        var inFlight: [MessageBatch] = []
        var reads: [RoomFeed.ReadRequest] = []
        var located: Position?

        func run(_ action: RoomFeed.Action) {
            let items: [RoomFeed.Item]
            switch action {
            case .none: items = []
            case .deliver(let these): items = these
            case .read(let request, let these):
                items = these
                reads.append(request)
            case .restore(let request, _):
                Issue.record("seed \(seed): \(request)")
                items = []
            }
            for item in items {
                switch item {
                case .located(let position): located = position
                case .batch(let batch, let skipping):
                    for index in skipping..<batch.messages.count {
                        delivered.append(at(batch.first.seq + UInt64(index)))
                    }
                case .entries(let entries): delivered += entries.map(\.position)
                case .gap(let after, let before): Issue.record("seed \(seed): a gap \(after) \(before as Any)")
                case .rewind(let position): Issue.record("seed \(seed): back to \(position)")
                }
            }
        }
        func answer(_ request: RoomFeed.ReadRequest) {
            let head = log.last?.position ?? .zero
            switch request.range {
            case .head: run(feed.finished(request.id, with: slice(Array(log.suffix(1)), head: head)))
            case .after(let position):
                let rest = log.filter { $0.position > position }
                run(
                    feed.finished(
                        request.id,
                        with: slice(Array(rest.prefix(3)), head: head, hasMore: rest.count > 3)))
            }
        }
        for _ in 0..<300 {
            switch Int.random(in: 0..<10, using: &random) {
            case 0...3:
                let count = Int.random(in: 1...3, using: &random)
                let previous = log.last?.position ?? .zero
                let new = batch(after: previous, at(UInt64(log.count + 1)), count: count)
                for index in 0..<count {
                    log.append(
                        LogEntry(position: at(UInt64(log.count + 1)), time: 1, body: new.messages[index].body))
                }
                inFlight.append(new)
            case 4...5 where !inFlight.isEmpty:
                run(feed.received(inFlight.remove(at: Int.random(in: 0..<inFlight.count, using: &random))))
            case 6 where !inFlight.isEmpty:
                inFlight.remove(at: Int.random(in: 0..<inFlight.count, using: &random))
            case 7:
                run(feed.subscribed())
            case 8 where !reads.isEmpty:
                let request = reads.removeFirst()
                if Bool.random(using: &random), feed.failed(request.id) { run(feed.retry()) } else { answer(request) }
            default:
                if !reads.isEmpty { answer(reads.removeFirst()) }
            }
        }
        // Everything heals: an audit, and every read is answered.
        run(feed.subscribed())
        while !reads.isEmpty { answer(reads.removeFirst()) }
        let expected = log.map(\.position).filter { $0 > located ?? .zero }
        #expect(delivered == expected, "seed \(seed)")
        #expect(feed.position == log.last?.position ?? .zero)
    }
}

import ChatHub
import ChatProtocol
import NIOCore
import Testing

/// The store was replaced, and the log does not have what was delivered.
@Suite("A room's feed and a log that went back")
struct RoomFeedForkTests {
    private func at(_ seq: UInt64, epoch: UInt64 = 7) -> Position { Position(epoch: epoch, seq: seq) }

    private func entries(_ range: ClosedRange<UInt64>, epoch: UInt64 = 7) -> [LogEntry] {
        range.map { LogEntry(position: at($0, epoch: epoch), time: 1, body: ByteBuffer(string: "\($0)")) }
    }

    private func batch(after previous: Position, _ first: Position) -> MessageBatch {
        MessageBatch(
            previous: previous, first: first, time: 1, sentAt: 1,
            messages: [.init(body: ByteBuffer(string: "\(first.seq)"), exceptFor: nil)])
    }

    /// A feed that has delivered up to `7-5` when the store is replaced.
    private func replaced() -> RoomFeed {
        var feed = RoomFeed()
        _ = feed.subscribed()
        _ = feed.finished(1, with: LogSlice(entries: [], isComplete: true, hasMore: false, head: at(5)))
        feed.storeReplaced()
        return feed
    }

    @Test func aLogThatLostNothingIsFollowedOn() {
        var feed = replaced()
        #expect(feed.audited(head: at(5)) == .none)
        // From here on a log that is gone is a loss like any other, not a fork: nothing is given back to it.
        #expect(feed.audited(head: .zero) == .read(.init(id: 2, range: .after(at(5))), delivering: []))
        let gone = LogSlice(entries: [], isComplete: false, hasMore: false, head: .zero)
        #expect(feed.finished(2, with: gone) == .deliver([.gap(after: at(5), before: nil)]))
    }

    /// The subscription was still with the old store when the log was compared, and brought more of it afterwards.
    @Test func aLogThatHoldsOnlyWhatIsOlderHasForkedWhateverWasKnownBefore() {
        var feed = replaced()
        _ = feed.audited(head: at(5))
        _ = feed.received(batch(after: at(5), at(6)))
        #expect(feed.subscribed() == .read(.init(id: 2, range: .after(at(6))), delivering: []))
        let shorter = LogSlice(entries: [], isComplete: false, hasMore: false, head: at(5), floor: at(5))
        #expect(
            feed.finished(2, with: shorter)
                == .restore(.init(id: 3, after: at(5), isLastResort: false), delivering: []))
    }

    @Test func aLogThatEndsBeforeOurPositionIsGivenBackWhatItLacks() {
        var feed = replaced()
        #expect(
            feed.audited(head: at(3))
                == .restore(.init(id: 2, after: at(3), isLastResort: false), delivering: []))
        let next = batch(after: at(5), at(1, epoch: 8))
        #expect(feed.received(next) == .none)
        #expect(feed.restored(2, .restored) == .read(.init(id: 3, range: .after(at(5))), delivering: []))
        let nothing = LogSlice(entries: [], isComplete: true, hasMore: false, head: at(5), floor: at(5))
        #expect(feed.finished(3, with: nothing) == .deliver([.batch(next, skipping: 0)]))
        #expect(feed.position == at(1, epoch: 8))
    }

    @Test func aLogThatWentOnWithoutUsTakesTheRoomBackToWhereTheyParted() {
        var feed = replaced()
        #expect(feed.audited(head: at(2, epoch: 8)) == .read(.init(id: 2, range: .after(at(5))), delivering: []))
        let other = LogSlice(
            entries: entries(1...2, epoch: 8), isComplete: false, hasMore: false, head: at(2, epoch: 8), floor: at(3))
        #expect(
            feed.finished(2, with: other) == .restore(.init(id: 3, after: at(3), isLastResort: false), delivering: []))
        // What the old store published meanwhile is void.
        #expect(feed.received(batch(after: at(5), at(6))) == .none)
        #expect(
            feed.restored(3, .forked(at: at(3)))
                == .read(.init(id: 4, range: .after(at(3))), delivering: [.rewind(to: at(3))]))
        let rest = entries(1...4, epoch: 8)
        let slice = LogSlice(entries: rest, isComplete: true, hasMore: false, head: at(4, epoch: 8), floor: at(3))
        #expect(feed.finished(4, with: slice) == .deliver([.entries(rest)]))
        #expect(feed.position == at(4, epoch: 8))
    }

    /// The log went on without us, and before we read on there its oldest entries were trimmed away: those up to where we
    /// parted, which we have, and the first ones after it, which we have not.
    @Test func whatWasTrimmedOfALogThatWentOnWithoutUsIsAGap() {
        var feed = replaced()
        _ = feed.audited(head: at(3, epoch: 8))
        let other = LogSlice(
            entries: entries(1...3, epoch: 8), isComplete: false, hasMore: false, head: at(3, epoch: 8), floor: at(3))
        _ = feed.finished(2, with: other)
        #expect(
            feed.restored(3, .forked(at: at(3)))
                == .read(.init(id: 4, range: .after(at(3))), delivering: [.rewind(to: at(3))]))
        let rest = entries(2...5, epoch: 8)
        let trimmed = LogSlice(entries: rest, isComplete: false, hasMore: false, head: at(5, epoch: 8))
        #expect(
            feed.finished(4, with: trimmed)
                == .deliver([.gap(after: at(3), before: at(2, epoch: 8)), .entries(rest)]))
    }

    @Test func whoHoldsNothingWaitsForOthersBeforeItGoesBack() {
        var feed = replaced()
        _ = feed.audited(head: at(3))
        // The others have their turn.
        #expect(feed.retry() == .read(.init(id: 3, range: .after(at(5))), delivering: []))
        let short = LogSlice(entries: [], isComplete: false, hasMore: false, head: at(3), floor: at(3))
        #expect(
            feed.finished(3, with: short) == .restore(.init(id: 4, after: at(3), isLastResort: true), delivering: []))
        #expect(
            feed.heldNothing(4, common: at(3))
                == .read(.init(id: 5, range: .after(at(3))), delivering: [.rewind(to: at(3))]))
        let common = LogSlice(entries: [], isComplete: true, hasMore: false, head: at(3), floor: at(3))
        #expect(feed.finished(5, with: common) == .none)
        #expect(feed.position == at(3))
    }

    @Test func othersGaveBackWhatWeDoNotHold() {
        var feed = replaced()
        _ = feed.audited(head: at(3))
        _ = feed.retry()
        let whole = LogSlice(entries: [], isComplete: true, hasMore: false, head: at(5), floor: at(5))
        #expect(feed.finished(3, with: whole) == .none)
        #expect(feed.position == at(5))
        #expect(feed.isFollowing)
    }

    @Test func aLogThatIsGoneIsAGapForWhoHoldsNothing() {
        var feed = replaced()
        _ = feed.audited(head: .zero)
        _ = feed.retry()
        let gone = LogSlice(entries: [], isComplete: false, hasMore: false, head: .zero)
        _ = feed.finished(3, with: gone)
        #expect(
            feed.heldNothing(4, common: .zero)
                == .read(.init(id: 5, range: .after(at(5))), delivering: [.gap(after: at(5), before: nil)]))
        #expect(feed.finished(5, with: gone) == .none)
        // The new log's first message needs no second gap.
        let next = entries(1...1, epoch: 8)
        _ = feed.audited(head: at(1, epoch: 8))
        let slice = LogSlice(entries: next, isComplete: false, hasMore: false, head: at(1, epoch: 8))
        #expect(feed.finished(6, with: slice) == .deliver([.entries(next)]))
    }

    @Test func anAnswerThatWasOvertakenByANewConnectionSaysNothing() {
        var feed = replaced()
        _ = feed.audited(head: at(3))
        #expect(feed.subscribed() == .read(.init(id: 3, range: .after(at(5))), delivering: []))
        #expect(feed.restored(2, .forked(at: at(3))) == .none)
        #expect(feed.heldNothing(2, common: at(3)) == .none)
        #expect(!feed.failed(2))
        #expect(feed.position == at(5))
    }

    @Test func withoutAReplacementAnotherLogIsALossAndNothingIsGivenBackToIt() {
        var feed = RoomFeed()
        _ = feed.subscribed()
        _ = feed.finished(1, with: LogSlice(entries: [], isComplete: true, hasMore: false, head: at(5)))
        _ = feed.subscribed()
        let other = LogSlice(
            entries: entries(1...1, epoch: 8), isComplete: false, hasMore: false, head: at(1, epoch: 8))
        #expect(
            feed.finished(2, with: other)
                == .deliver([.gap(after: at(5), before: at(1, epoch: 8)), .entries(other.entries)]))
    }
}

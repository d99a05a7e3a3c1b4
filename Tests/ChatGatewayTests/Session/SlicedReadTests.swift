import ChatHub
import ChatProtocol
import NIOCore
import Testing

@testable import ChatGateway

@Suite("A page of a room's past")
struct SlicedReadTests {
    fileprivate static func at(_ seq: UInt64) -> Position { Position(epoch: 1, seq: seq) }

    /// A log from which what is below `first` may be trimmed at any time.
    private struct Log {
        var first: UInt64 = 1
        var last: UInt64
        var body = ByteBuffer(string: "x")

        private func slice(_ range: ClosedRange<UInt64>?, isComplete: Bool, hasMore: Bool) -> LogSlice {
            let entries = (range.map(Array.init) ?? []).map {
                LogEntry(position: SlicedReadTests.at($0), time: 1, body: body)
            }
            return LogSlice(entries: entries, isComplete: isComplete, hasMore: hasMore, head: SlicedReadTests.at(last))
        }

        func answer(_ question: SlicedRead.Question) -> LogSlice {
            switch question {
            case .after(let position, let limit):
                let from = max(position.seq + 1, first)
                let to = min(last, from + UInt64(limit) - 1)
                return slice(
                    from <= to ? from...to : nil, isComplete: position.seq + 1 >= first, hasMore: to < last)
            case .latest(let before, let limit):
                let to = min(last, (before?.seq ?? last + 1) - 1)
                let from = max(first, to >= UInt64(limit) ? to - UInt64(limit) + 1 : 1)
                return slice(from <= to ? from...to : nil, isComplete: true, hasMore: from > first)
            }
        }
    }

    private func read(
        _ question: SlicedRead.Question, of log: Log, between: (inout Log) -> Void = { _ in }
    ) -> (slice: LogSlice, reads: [SlicedRead.Question]) {
        var log = log
        var page = SlicedRead(question)
        var reads: [SlicedRead.Question] = []
        while let question = page.question {
            reads.append(question)
            page.received(log.answer(question))
            between(&log)
        }
        return (page.slice, reads)
    }

    @Test(
        "It is what one read would bring, read a hundred at a time",
        arguments: [
            SlicedRead.Question.latest(before: nil, limit: 250), .latest(before: Self.at(201), limit: 1000),
            .latest(before: Self.at(151), limit: 150), .after(Self.at(10), limit: 250),
            .after(Self.at(90), limit: 1000),
            .after(Self.at(300), limit: 1000), .latest(before: nil, limit: 1),
        ])
    func slices(question: SlicedRead.Question) {
        let log = Log(last: 300)
        let (slice, reads) = read(question, of: log)
        #expect(slice == log.answer(question))
        for case .latest(_, let limit) in reads { #expect(limit <= SlicedRead.sliceLimit) }
        for case .after(_, let limit) in reads { #expect(limit <= SlicedRead.sliceLimit) }
        #expect(reads.count == max(1, (slice.entries.count + 99) / 100))
    }

    @Test("No more is read than a frame holds, and that there is more is told")
    func longMessages() {
        let log = Log(last: 1000, body: ByteBuffer(repeating: 0x78, count: 16_000))
        let (slice, reads) = read(.latest(before: nil, limit: 1000), of: log)
        #expect(reads.count == 1)
        #expect(slice.entries.last?.position == Self.at(1000))
        #expect(slice.hasMore)
    }

    @Test("What is trimmed while a page is read is missing from it, and that is told")
    func trimmed() {
        let forward = read(
            .after(Self.at(10), limit: 1000), of: Log(last: 300)
        ) { $0.first = 200 }
        #expect(forward.slice.entries.map(\.position.seq) == Array(11...110) + Array(200...300))
        #expect(!forward.slice.isComplete)
        let backward = read(.latest(before: nil, limit: 1000), of: Log(last: 300)) { $0.first = 250 }
        #expect(backward.slice.entries.map(\.position.seq) == Array(201...300))
        #expect(!backward.slice.hasMore)
    }
}

import Hiredis
import NIOCore
import Testing

@testable import RedisBroker

@Suite("Whom of the sentinels to believe")
struct SentinelViewTests {
    private let a = RedisURL.Endpoint.tcp(host: "a", port: 1)
    private let b = RedisURL.Endpoint.tcp(host: "b", port: 2)

    private func bulk(_ text: String) -> Reply { .bulk(ByteBuffer(string: text)) }

    @Test func theFirstAnswerCounts() {
        var view = SentinelView(sentinels: 3)
        #expect(view.primary == nil)
        #expect(view.answered(1, .init(primary: a, epoch: 4)) == true)
        #expect(view.primary == a)
        #expect(view.news() == nil, "the first is no news")
    }

    @Test func whoLeadsAFailoverIsBelievedBeforeTheOthersKnow() {
        var view = SentinelView(sentinels: 3)
        for sentinel in 0..<3 { #expect(view.answered(sentinel, .init(primary: a, epoch: 4)) == true) }
        #expect(view.news() == nil)
        #expect(view.answered(2, .init(primary: b, epoch: 5)) == true)
        #expect(view.news() == b)
        #expect(view.news() == nil, "told once")
        #expect(view.answered(0, .init(primary: a, epoch: 4)) == false, "the past is not what to go by")
        #expect(view.primary == b)
        #expect(view.answered(0, .init(primary: b, epoch: 5)) == true)
        #expect(view.news() == nil)
    }

    @Test func aPastThatComesToTheForeIsNoNewsButAllThatIsKnown() {
        var view = SentinelView(sentinels: 2)
        _ = view.answered(0, .init(primary: b, epoch: 5))
        _ = view.news()
        _ = view.answered(1, .init(primary: a, epoch: 4))
        view.lost(0)
        #expect(view.news() == nil, "nobody leaves a good primary for it")
        #expect(view.primary == a, "who needs a primary tries it: it says itself what it is")
        #expect(view.answered(1, .init(primary: a, epoch: 6)) == true)
        #expect(view.news() == a)
    }

    @Test func aSentinelThatKnowsNothingIsPassedOver() {
        var view = SentinelView(sentinels: 2)
        #expect(view.answered(0, nil) == false)
        #expect(view.primary == nil)
        #expect(view.answered(1, .init(primary: a, epoch: 0)) == true)
        #expect(view.answered(0, nil) == false)
        #expect(view.primary == a)
    }

    @Test func answersAreReadWithTheirEpoch() {
        let master = Reply.array(["name", "main", "ip", "a", "config-epoch", "7"].map(bulk))
        let place = Reply.array([bulk("b"), bulk("2")])
        #expect(SentinelView.Answer(master: master, address: place) == .init(primary: b, epoch: 7))
        #expect(SentinelView.Answer(master: .null, address: place) == .init(primary: b, epoch: 0), "no right to see it")
        let malformed: [Reply] = [
            .null, .array([]), .array([bulk("b")]), .array([bulk(""), bulk("2")]), .array([bulk("b"), bulk("0")]),
            .array([bulk("b"), bulk("x")]), .array([.null, .null]),
        ]
        for reply in malformed { #expect(SentinelView.Answer(master: master, address: reply) == nil) }
    }
}

import ChatProtocol
import NIOCore
import TestSupport
import Testing

@testable import ChatHub

@Suite("What a node knows of orders")
struct OrderBookTests {
    private let alice = UserName.of("alice")
    private let start = NIODeadline.uptimeNanoseconds(10_000_000_000_000)

    private func given(
        _ subject: Order.Subject, _ number: UInt64, isLifted: Bool = false, issuedBefore: UInt64 = 0,
        age: UInt64 = 0, left: UInt64 = 1000
    ) -> GivenOrder {
        GivenOrder(
            Order(subject, isLifted: isLifted, issuedBefore: issuedBefore, duration: 1000), number: number, age: age,
            left: left)
    }

    @Test("A ban holds until its time is over, or until it is lifted, and an older order changes nothing")
    func bans() {
        var book = OrderBook()
        var isNews = book.heard(given(.ban(of: alice), 2), at: start)
        #expect(isNews)
        #expect(book.verdict(on: alice, with: nil, at: start) == .banned(reason: nil))
        #expect(book.verdict(on: .of("bob"), with: nil, at: start) == nil)
        #expect(book.verdict(on: alice, with: nil, at: start + .milliseconds(999)) != nil)
        #expect(book.verdict(on: alice, with: nil, at: start + .seconds(1)) == nil)
        isNews = book.heard(given(.ban(of: alice), 2), at: start)
        #expect(!isNews)
        isNews = book.heard(given(.ban(of: alice), 1, isLifted: true), at: start)
        #expect(!isNews)
        #expect(book.verdict(on: alice, with: nil, at: start) != nil)
        isNews = book.heard(given(.ban(of: alice), 3, isLifted: true), at: start)
        #expect(isNews)
        #expect(book.verdict(on: alice, with: nil, at: start) == nil)
    }

    @Test("A token is revoked by its name, or because it was issued before a time; a later one is good")
    func tokens() {
        var book = OrderBook()
        _ = book.heard(given(.token("x"), 1), at: start)
        _ = book.heard(given(.tokens(of: alice), 2, issuedBefore: 100), at: start)
        func isRevoked(_ user: UserName, _ mark: TokenMark?) -> Bool {
            book.verdict(on: user, with: mark, at: start) == .revoked
        }
        #expect(isRevoked(.of("bob"), TokenMark(id: "x", issuedAt: 200)))
        #expect(!isRevoked(.of("bob"), TokenMark(id: "y", issuedAt: 1)))
        #expect(isRevoked(alice, TokenMark(id: nil, issuedAt: 99)))
        #expect(isRevoked(alice, TokenMark(id: "y", issuedAt: nil)), "who knows when it was issued")
        #expect(!isRevoked(alice, TokenMark(id: nil, issuedAt: 100)))
        #expect(!isRevoked(alice, nil), "there is no token")
    }

    @Test("What the store has is news only where it is newer, and what it lacks was lost")
    func reading() {
        var book = OrderBook()
        _ = book.heard(given(.ban(of: alice), 5, left: 10_000), at: start)
        _ = book.heard(given(.token("old"), 4, left: 500), at: start)
        let later = start + .seconds(1)
        let all = [given(.token("new"), 7, age: 30), given(.token("first"), 6)]
        let (news, missing) = book.read(all, at: later)
        #expect(news.map(\.number) == [6, 7])
        #expect(missing == [given(.ban(of: alice), 5, age: 1000, left: 9000)])
        // Given back it is known, and nothing is news a second time.
        let again = book.read(all + missing, at: later)
        #expect(again.news.isEmpty && again.missing.isEmpty)
    }
}

@Suite("Who has done as ordered")
struct OrderTallyTests {
    @Test("All that lived when the order was given have to answer, but for those that die")
    func dying() {
        var tally = OrderTally()
        tally.answered("a", affected: 2)
        #expect(!tally.isComplete, "nobody knows yet who is to answer")
        tally.live(["a", "b", "c"])
        #expect(tally.silent == ["b", "c"])
        tally.answered("b", affected: 1)
        tally.live(["a", "b", "d"])
        #expect(tally.isComplete)
        #expect(tally.affected == 3)
    }

    @Test("A node that says so twice counts once")
    func twice() {
        var tally = OrderTally()
        tally.live(["a"])
        tally.answered("a", affected: 2)
        tally.answered("a", affected: 0)
        #expect(tally.affected == 2)
    }
}

import ChatHub
import ChatProtocol
import NIOCore
import TestSupport
import Testing

@Suite("What members are told of who comes and goes")
struct PresenceFeedTests {
    private let start = NIODeadline.uptimeNanoseconds(1_000_000_000)

    private func came(_ name: String, count: Int, at revision: UInt64) -> PresenceChange {
        PresenceChange(
            user: .of(name), isPresent: true, count: count, origin: SessionID(value: 7), revision: revision)
    }

    private func left(_ name: String, count: Int, at revision: UInt64) -> PresenceChange {
        PresenceChange(user: .of(name), isPresent: false, count: count, origin: nil, revision: revision)
    }

    private func roster(_ names: [String], at revision: UInt64) -> Roster {
        Roster(members: names.map { .of($0) }, count: names.count, hasMore: false, revision: revision)
    }

    private func crowd(_ count: Int, at revision: UInt64) -> Roster {
        Roster(members: [], count: count, hasMore: true, revision: revision)
    }

    /// `+bob 2 @11`, `-bob 1 @12`, `501 @13`, and `?` for a question.
    private func told(_ action: PresenceFeed.Action) -> [String] {
        action.notices.map { notice in
            let what =
                switch notice.event {
                case .came(let user, _): "+\(user) "
                case .left(let user): "-\(user) "
                case .counted: ""
                }
            return "\(what)\(notice.count) @\(notice.revision)"
        } + (action.question == nil ? [] : ["?"])
    }

    /// A feed of a room that is open, with these users, in which up to five are no crowd.
    private func feed(_ names: [String]) -> PresenceFeed {
        var limits = PresenceFeed.Limits()
        limits.users = 5
        var feed = PresenceFeed(limits)
        let question = feed.doubted().question ?? 0
        #expect(!feed.isKnown)
        #expect(told(feed.answered(question, with: roster(names, at: 10), at: start)) == [])
        #expect(feed.isKnown)
        return feed
    }

    @Test func whatIsHeardIsToldOnce() {
        var feed = feed(["alice"])
        #expect(told(feed.heard(came("bob", count: 2, at: 11), at: start)) == ["+bob 2 @11"])
        #expect(told(feed.heard(came("bob", count: 2, at: 11), at: start)) == [], "a repetition")
        #expect(told(feed.heard(left("bob", count: 1, at: 12), at: start)) == ["-bob 1 @12"])
        #expect(told(feed.heard(came("bob", count: 2, at: 11), at: start)) == [], "older than what was told")
        #expect(told(feed.heard(left("zoe", count: 1, at: 13), at: start)) == [], "nobody knew her")
    }

    @Test func whatIsMissedMeanwhileIsToldWhenTheSubscriptionStandsAgain() {
        var feed = feed(["alice", "bob"])
        let question = feed.doubted().question ?? 0
        #expect(told(feed.heard(came("dave", count: 4, at: 14), at: start)) == [], "it waits for the roster")
        let answer = feed.answered(question, with: roster(["alice", "bob", "carol"], at: 13), at: start)
        #expect(told(answer) == ["+carol 3 @13", "+dave 4 @14"])
        #expect(feed.wakeUp == nil)
    }

    @Test func whoIsMissingIsGoneWhenStillMissingLater() {
        var feed = feed(["alice", "bob", "carol"])
        let question = feed.doubted().question ?? 0
        #expect(told(feed.answered(question, with: roster(["alice"], at: 20), at: start)) == [])
        #expect(feed.wakeUp == start + .seconds(3))
        #expect(told(feed.heard(came("bob", count: 2, at: 21), at: start)) == [], "entered again, and never away")
        #expect(told(feed.timePassed(at: start + .seconds(3))) == ["?"])
        let answer = feed.answered(question + 1, with: roster(["alice", "bob"], at: 22), at: start + .seconds(3))
        #expect(told(answer) == ["-carol 2 @22"])
        #expect(feed.wakeUp == nil)
    }

    @Test func whoIsMissingIsNotGoneWhileTheStoreTakesNoWrites() {
        var feed = feed(["alice", "bob"])
        var inconclusive = roster(["alice"], at: 20)
        inconclusive.isConclusive = false
        var now = start
        var question = feed.doubted().question ?? 0
        for _ in 0..<3 {
            #expect(told(feed.answered(question, with: inconclusive, at: now)) == [])
            #expect(feed.wakeUp == now + .seconds(3))
            now = now + .seconds(3)
            question = feed.timePassed(at: now).question ?? 0
        }
        #expect(told(feed.answered(question, with: roster(["alice"], at: 20), at: now)) == [], "it may come back now")
        now = now + .seconds(3)
        question = feed.timePassed(at: now).question ?? 0
        #expect(told(feed.answered(question, with: inconclusive, at: now)) == [], "it takes none again")
        for expected in [[], ["-bob 1 @20"]] {
            now = now + .seconds(3)
            question = feed.timePassed(at: now).question ?? 0
            #expect(told(feed.answered(question, with: roster(["alice"], at: 20), at: now)) == expected)
        }
        #expect(feed.wakeUp == nil)
    }

    @Test func whoIsSaidToHaveLeftIsGoneAtOnce() {
        var feed = feed(["alice", "bob"])
        let question = feed.doubted().question ?? 0
        #expect(told(feed.heard(left("bob", count: 1, at: 21), at: start)) == [])
        #expect(told(feed.answered(question, with: roster(["alice", "bob"], at: 20), at: start)) == ["-bob 1 @21"])
    }

    @Test func aStoreThatIsFilledAgainTellsNobodyAnything() {
        var feed = feed(["alice", "bob", "carol"])
        let question = feed.doubted().question ?? 0
        #expect(told(feed.answered(question, with: roster([], at: 20), at: start)) == [])
        for (number, name) in ["carol", "alice", "bob"].enumerated() {
            let change = came(name, count: number + 1, at: 21 + UInt64(number))
            #expect(told(feed.heard(change, at: start + .seconds(1))) == [])
        }
        #expect(told(feed.heard(came("dave", count: 4, at: 30), at: start + .seconds(2))) == ["+dave 4 @30"])
        #expect(told(feed.timePassed(at: start + .seconds(3))) == ["?"])
        let full = roster(["alice", "bob", "carol", "dave"], at: 30)
        #expect(told(feed.answered(question + 1, with: full, at: start + .seconds(3))) == [])
    }

    @Test func aLostChangeShowsInTheCountOfTheNext() {
        var feed = feed(["alice"])
        #expect(told(feed.heard(came("carol", count: 3, at: 12), at: start)) == ["+carol 2 @12", "?"])
        let answer = feed.answered(2, with: roster(["alice", "bob", "carol"], at: 12), at: start)
        #expect(told(answer) == ["+bob 3 @12"])
    }

    @Test func aRosterThatCannotBeReadIsAskedForAgain() {
        var feed = feed(["alice"])
        let question = feed.doubted().question ?? 0
        feed.failed(question, at: start)
        #expect(feed.wakeUp == start + .milliseconds(250))
        #expect(told(feed.timePassed(at: start + .milliseconds(249))) == [])
        #expect(told(feed.timePassed(at: start + .milliseconds(250))) == ["?"])
        #expect(told(feed.answered(question, with: roster([], at: 20), at: start)) == [], "an answer that is too old")
        #expect(told(feed.answered(question + 1, with: roster(["alice", "bob"], at: 20), at: start)) == ["+bob 2 @20"])
    }

    @Test func aCrowdIsToldAsCountsAtMostOnceASecond() {
        var feed = feed(["a", "b", "c", "d"])
        #expect(told(feed.heard(came("e", count: 5, at: 11), at: start)) == ["+e 5 @11"])
        #expect(told(feed.heard(came("f", count: 6, at: 12), at: start)) == ["6 @12"])
        #expect(told(feed.heard(count: 7, revision: 13, at: start)) == [])
        #expect(told(feed.heard(count: 8, revision: 14, at: start + .milliseconds(999))) == [])
        #expect(feed.wakeUp == start + .seconds(1))
        #expect(told(feed.timePassed(at: start + .seconds(1))) == ["8 @14"])
        #expect(told(feed.heard(count: 8, revision: 15, at: start + .seconds(5))) == [], "no news")
    }

    @Test func aCrowdThatDispersesIsKnownByNameBeforeTheNextOneGoes() {
        var feed = feed(["a", "b", "c", "d", "e"])
        #expect(told(feed.heard(count: 6, revision: 12, at: start)) == ["6 @12"])
        #expect(told(feed.heard(left("f", count: 5, at: 13), at: start + .seconds(2))) == ["?"])
        #expect(told(feed.heard(left("a", count: 4, at: 14), at: start + .seconds(2))) == [])
        let answer = feed.answered(2, with: roster(["a", "b", "c", "d", "x"], at: 13), at: start + .seconds(2))
        #expect(told(answer) == ["4 @14"])
        #expect(told(feed.heard(left("x", count: 3, at: 15), at: start + .seconds(2))) == ["-x 3 @15"])
        #expect(told(feed.heard(left("e", count: 3, at: 16), at: start + .seconds(2))) == [], "he had gone unnoticed")
    }

    @Test func aCrowdThatComesBackOneByOneDoesNotShrink() {
        var feed = feed([])
        #expect(told(feed.heard(count: 900, revision: 12, at: start)) == ["900 @12"])
        let question = feed.doubted().question ?? 0
        let later = start + .seconds(2)
        #expect(told(feed.answered(question, with: roster(["a"], at: 20), at: later)) == [])
        #expect(told(feed.heard(count: 500, revision: 21, at: later)) == [])
        #expect(told(feed.heard(count: 901, revision: 22, at: later)) == ["901 @22"])
        #expect(told(feed.heard(count: 850, revision: 23, at: later + .seconds(1))) == [])
        #expect(told(feed.timePassed(at: later + .seconds(3))) == ["?"])
        #expect(told(feed.answered(question + 1, with: crowd(850, at: 23), at: later + .seconds(3))) == ["850 @23"])
    }

    @Test func whoJoinedWhileChangesWereMissedIsToldWhoOfItsRosterIsGone() {
        var feed = feed(["alice"])
        #expect(told(feed.joined(with: roster(["alice", "bob", "carol"], at: 15), at: start)) == [])
        let question = feed.doubted().question ?? 0
        #expect(told(feed.answered(question, with: roster(["alice", "carol"], at: 18), at: start)) == ["+carol 2 @18"])
        #expect(told(feed.timePassed(at: start + .seconds(3))) == ["?"])
        let answer = feed.answered(question + 1, with: roster(["alice", "carol"], at: 18), at: start + .seconds(3))
        #expect(told(answer) == ["-bob 2 @18"])
        #expect(feed.wakeUp == nil)
    }

    /// Bob leaves, unheard, dave joins, and bob comes back while the roster is on its way: to all but dave he was never away.
    @Test func whoJoinedWhileSomebodyWasAwayUnheardIsToldThatHeIsBack() {
        var feed = feed(["alice", "bob"])
        #expect(told(feed.joined(with: roster(["alice", "dave"], at: 13), at: start)) == [])
        let question = feed.doubted().question ?? 0
        #expect(told(feed.heard(came("bob", count: 3, at: 14), at: start)) == [])
        let answer = feed.answered(question, with: roster(["alice", "dave"], at: 13), at: start)
        #expect(told(answer) == ["+dave 3 @13", "+bob 3 @14", "+dave 3 @14"])
        #expect(feed.wakeUp == nil)
    }

    /// Up to five are no crowd: frank and gina come and alice goes without being named, then frank goes by name. The count
    /// is as if nothing had happened.
    @Test func whoCameAndWentInACrowdWhileTheRosterWasOnItsWayIsAskedForAgain() {
        var feed = feed(["alice", "bob", "carol", "dave", "erin"])
        let question = feed.doubted().question ?? 0
        for (number, count) in [6, 7, 6].enumerated() {
            #expect(told(feed.heard(count: count, revision: 13 + UInt64(number), at: start)) == [])
        }
        #expect(told(feed.heard(left("frank", count: 5, at: 16), at: start)) == [])
        let before = roster(["alice", "bob", "carol", "dave", "erin"], at: 12)
        #expect(told(feed.answered(question, with: before, at: start)) == ["?"])
        let after = roster(["bob", "carol", "dave", "erin", "gina"], at: 16)
        #expect(told(feed.answered(question + 1, with: after, at: start)) == ["+gina 6 @16"])
        #expect(told(feed.timePassed(at: start + .seconds(3))) == ["?"])
        #expect(told(feed.answered(question + 2, with: after, at: start + .seconds(3))) == ["-alice 5 @16"])
    }

    @Test func aChangeThatIsLostWhileTheRosterIsOnItsWayShowsInTheCountOfTheNext() {
        var feed = feed(["alice"])
        let question = feed.doubted().question ?? 0
        #expect(told(feed.heard(came("carol", count: 3, at: 12), at: start)) == [])
        #expect(told(feed.answered(question, with: roster(["alice"], at: 10), at: start)) == ["?"])
        let answer = feed.answered(question + 1, with: roster(["alice", "bob", "carol"], at: 12), at: start)
        #expect(told(answer) == ["+bob 2 @12", "+carol 3 @12"])
    }

    @Test func whatIsHeldForARosterIsBounded() {
        var feed = feed(["alice"])
        let question = feed.doubted().question ?? 0
        for number in 0..<2_000 {
            _ = feed.heard(came("user-\(number)", count: 2, at: 100 + 2 * UInt64(number)), at: start)
            _ = feed.heard(left("user-\(number)", count: 1, at: 101 + 2 * UInt64(number)), at: start)
        }
        #expect(told(feed.answered(question, with: roster(["alice"], at: 90), at: start)) == ["?"], "asked anew")
        #expect(told(feed.answered(question + 1, with: roster(["alice"], at: 4_200), at: start)) == [])
    }
}

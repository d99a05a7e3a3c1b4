import ChatHub
import ChatProtocol
import Hiredis
import NIOCore
import TestSupport
import Testing

@testable import RedisBroker

@Suite("What the scripts answer")
struct ReplyTests {
    private func bulk(_ text: String) -> Reply { .bulk(ByteBuffer(string: text)) }

    @Test func receiptsOfNewMessagesFollowOneAnotherAroundDuplicates() throws {
        let reply = Reply.array([
            bulk("5-8"), bulk("1700"), .integer(1), bulk("4-2"), bulk("1600"), .integer(2), bulk("slow"), bulk("3000"),
        ])
        #expect(
            AppendReply.outcomes(reply, count: 4) == [
                .success(Receipt(position: Position(epoch: 5, seq: 8), time: 1_700, isDuplicate: false)),
                .success(Receipt(position: Position(epoch: 4, seq: 2), time: 1_600, isDuplicate: true)),
                .failure(.forbidden(.slow(wait: 3000))),
                .success(Receipt(position: Position(epoch: 5, seq: 9), time: 1_700, isDuplicate: false)),
            ])
        let onlyCopies = Reply.array([bulk("0-0"), bulk("1700"), .integer(0), bulk("4-2"), bulk("1600")])
        #expect(try AppendReply.outcomes(onlyCopies, count: 1)?.map { try $0.get().isDuplicate } == [true])
    }

    @Test func onlyLogsThatEndElsewhereAreNamed() {
        let reply = Reply.array([.integer(3), bulk("4-2"), .integer(0), bulk("")])
        #expect(
            EndsReply.ends(reply, count: 4)
                == [.unknown, .asExpected, .asExpected, .at(Position(epoch: 4, seq: 2))])
        #expect(EndsReply.ends(.array([]), count: 2) == [.asExpected, .asExpected])
        let wrong: [Reply] = [
            .null, .array([.integer(0)]), .array([.integer(4), bulk("4-2")]), .array([.integer(-1), bulk("4-2")]),
            .array([bulk("0"), bulk("4-2")]),
        ]
        for reply in wrong { #expect(EndsReply.ends(reply, count: 4) == nil) }
    }

    @Test func anAnswerThatIsNotTheScriptsIsNoReceipt() {
        let wrong: [Reply] = [
            .null, .integer(1), .array([]), .array([bulk("5-8")]), .array([bulk("0-0"), bulk("1700")]),
            .array([bulk("5-8"), bulk("x")]), .array([bulk("5-8"), bulk("1"), .integer(3), bulk("1-1"), bulk("1")]),
            .array([bulk("5-8"), bulk("1"), .integer(-1), bulk("1-1"), bulk("1")]),
            .array([bulk("5-18446744073709551615"), bulk("1")]),
            .array([bulk("5-8"), bulk("1"), .integer(1), bulk("lazy"), bulk("1")]),
        ]
        for reply in wrong { #expect(AppendReply.outcomes(reply, count: 3) == nil) }
    }

    @Test(
        arguments: [
            // Position, head, greatest entry at or below the position, first entry after it, whether it is complete.
            ("0-0", "0-0", "0-0", nil, true), ("0-0", "1-9", "0-0", "1-1", true), ("0-0", "1-9", "0-0", "1-2", false),
            ("0-0", "1-9", "0-0", nil, false), ("1-3", "1-9", "1-3", "1-4", true), ("1-3", "1-9", "0-0", "1-4", true),
            ("1-3", "1-9", "0-0", "1-5", false), ("1-3", "1-9", "1-3", "1-5", false),
            ("1-3", "1-9", "1-2", "1-4", true),
            ("1-3", "2-9", "0-0", "2-1", false), ("1-3", "2-9", "1-2", "2-1", false),
            ("1-3", "2-9", "1-3", "2-1", true),
            ("1-3", "2-9", "1-3", "2-2", false), ("1-9", "1-9", "0-0", nil, true), ("1-9", "1-9", "1-9", nil, true),
            ("1-10", "1-9", "1-9", nil, false),
        ] as [(String, String, String, String?, Bool)])
    func completenessAfterAPosition(
        _ after: String, _ head: String, _ floor: String, _ next: String?, _ isComplete: Bool
    ) throws {
        let entries = next.map { [bulk($0), bulk("1700"), bulk("{}")] } ?? []
        let reply = try #require(LogReply(.array([bulk(head), bulk(floor), .integer(0)] + entries)))
        let slice = reply.slice(after: try #require(Position(after)))
        #expect(slice.isComplete == isComplete)
        #expect(slice.floor == (floor == "0-0" ? nil : Position(floor)))
    }

    @Test func anAnswerThatIsNotTheReadScriptsIsNoSlice() {
        let wrong: [Reply] = [
            .null, .array([]), .array([bulk("1-1"), bulk("0-0")]), .array([bulk("1-1"), bulk("x"), .integer(0)]),
            .array([bulk("1-1"), bulk("0-0"), .integer(0), bulk("1-1"), bulk("1700")]),
            .array([bulk("1-1"), bulk("0-0"), .integer(0), bulk("1-1"), bulk("x"), bulk("{}")]),
        ]
        for reply in wrong { #expect(LogReply(reply) == nil) }
    }

    @Test func pagesOfMembersAreTheLeastNamesAfterTheOneGiven() throws {
        let names = (0..<500).map { "user-\($0)" }.shuffled()
        let reply = Reply.array([.integer(500), bulk("17"), .integer(1), .array(names.map { bulk($0) })])
        let sorted = names.compactMap { UserName($0) }.sorted()
        let page = try #require(RosterReply.page(reply, after: sorted[99], limit: 50))
        #expect(page == Roster(members: Array(sorted[100..<150]), count: 500, hasMore: true, revision: 17))
        let end = try #require(RosterReply.page(reply, after: sorted[480], limit: 50))
        #expect(end == Roster(members: Array(sorted[481...]), count: 500, hasMore: false, revision: 17))
        #expect(
            RosterReply.page(reply, after: nil, limit: 0)
                == Roster(members: [], count: 500, hasMore: true, revision: 17))
        #expect(RosterReply.page(.integer(1), after: nil, limit: 1) == nil)
        #expect(RosterReply.page(.array([.integer(500), bulk("17"), .integer(1)]), after: nil, limit: 1) == nil)
    }

    @Test func aRosterNamesAllUsersOrOnlyTheirNumber() throws {
        let alice = try user("alice")
        let all = Reply.array([.integer(1), bulk("17"), .integer(1), .array([bulk("alice")])])
        #expect(RosterReply.roster(all) == Roster(members: [alice], count: 1, hasMore: false, revision: 17))
        let crowd = Reply.array([.integer(501), bulk("17"), .integer(0)])
        #expect(
            RosterReply.roster(crowd)
                == Roster(members: [], count: 501, hasMore: true, revision: 17, isConclusive: false))
        let entry = Reply.array([
            .integer(2), bulk("17"), .array([.integer(1), bulk("full")]), bulk("bob"), bulk("alice"),
        ])
        let answer = try #require(RosterReply.entry(entry))
        #expect(answer.roster == Roster(members: [alice, try user("bob")], count: 2, hasMore: false, revision: 17))
        #expect(answer.refusals == [1: .full])
        for wrong in [.null, .integer(1), .array([]), .array([.integer(1)]), .array([.integer(1), bulk("17")]), entry]
            as [Reply]
        {
            #expect(RosterReply.roster(wrong) == nil)
        }
    }
}

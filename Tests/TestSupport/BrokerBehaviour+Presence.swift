import ChatHub
import ChatProtocol
import NIOCore

extension BrokerBehaviour {
    func firstAndLast(_ first: BrokerNode, _ second: BrokerNode, _ room: RoomName) async throws {
        try await second.subscribe(to: room)
        let alice = try require(UserName("alice"), "user")
        let bob = try require(UserName("bob"), "user")
        let sessions = (0..<4).map { _ in SessionID.random() }

        let alone = try await first.enter(room, sessions[0], alice)
        try expectEqual(
            alone, Roster(members: [alice], count: 1, hasMore: false, revision: alone.revision),
            "the first one's roster")
        _ = try await second.enter(room, sessions[1], alice)
        let both = try await second.enter(room, sessions[2], bob)
        try expectEqual(
            both, Roster(members: [alice, bob], count: 2, hasMore: false, revision: both.revision),
            "the second user's roster")
        try await first.leave(room, sessions[0])
        _ = try await first.enter(room, sessions[3], bob)
        try await second.leave(room, sessions[1])
        try await first.leave(room, sessions[3])
        try await second.leave(room, sessions[2])

        let changes = try await second.listener.hearsPresence(4, in: room)
        try expectEqual(
            Array(changes.prefix(2)),
            [
                PresenceChange(
                    user: alice, isPresent: true, count: 1, origin: sessions[0], revision: changes[0].revision),
                PresenceChange(
                    user: bob, isPresent: true, count: 2, origin: sessions[2], revision: changes[1].revision),
            ], "arrivals")
        try expect(zip(changes, changes.dropFirst()).allSatisfy { $0.revision < $1.revision }, "revisions grow")
        try expect(
            changes[1].revision <= both.revision && both.revision < changes[2].revision,
            "a roster contains the changes up to its revision")
        try expectEqual(Set(changes.dropFirst(2).map(\.user)), [alice, bob], "who departed")
        try expect(changes.dropFirst(2).allSatisfy { !$0.isPresent && $0.origin == nil }, "departures")
        try expectEqual(changes.last?.count, 0, "users after the last departure")
        try expectEqual(changes.count, 4, "changes in all")
    }

    func enterTwice(_ first: BrokerNode, _ second: BrokerNode, _ room: RoomName) async throws {
        try await second.subscribe(to: room)
        let alice = try require(UserName("alice"), "user")
        let bob = try require(UserName("bob"), "user")
        let session = SessionID.random()
        let other = SessionID.random()
        _ = try await first.enter(room, session, alice)
        let again = try await first.enter(room, session, alice)
        try expectEqual(again.count, 1, "users after entering twice")
        try await first.leave(room, session)
        try await first.leave(room, session)
        try await second.leave(room, SessionID.random())
        _ = try await second.listener.hearsPresence(2, in: room)
        _ = try await first.enter(room, other, bob)
        let changes = try await second.listener.hearsPresence(3, in: room)
        try expectEqual(changes.map(\.user), [alice, alice, bob], "users announced")
        try expectEqual(changes.map(\.isPresent), [true, false, true], "comings and goings")
        try expectEqual(changes.map(\.count), [1, 0, 1], "counts")
        try await first.leave(room, other)
    }

    func crowd(_ node: BrokerNode, _ room: RoomName) async throws {
        for number in 0..<250 {
            let user = try require(UserName("user-\(number)"), "user")
            _ = try await node.enter(room, .random(), user)
        }
        let newcomer = try require(UserName("zoe"), "user")
        let roster = try await node.enter(room, .random(), newcomer)
        try expectEqual(roster.count, 251, "users")
        try expectEqual(roster.members.count, 100, "members told")
        try expectEqual(Set(roster.members).count, 100, "different members told")
        try expect(roster.members.contains(newcomer), "the newcomer is among them")
        try expect(roster.hasMore, "there are more")
    }

    func memberPages(_ first: BrokerNode, _ second: BrokerNode, _ room: RoomName) async throws {
        let names = ["zoe", "Adam", "adam", "bob", "a.b", "a-b", "a_b", "9", "carl"]
        for name in names {
            _ = try await first.enter(room, .random(), try require(UserName(name), "user"))
        }
        let sorted = names.compactMap { UserName($0) }.sorted()
        let all = try await second.members(of: room, limit: 100)
        try expectEqual(all, Roster(members: sorted, count: 9, hasMore: false, revision: all.revision), "all members")
        let page = try await second.members(of: room, after: sorted[2], limit: 3)
        try expectEqual(
            page, Roster(members: Array(sorted[3...5]), count: 9, hasMore: true, revision: page.revision), "a page")
        let last = try await second.members(of: room, after: UserName("b"), limit: 100)
        try expectEqual(last.members, sorted.filter { $0.text > "b" }, "after a user who is not there")
        try expect(!last.hasMore, "nothing after the last page")
    }
}

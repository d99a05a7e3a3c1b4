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

    /// Twenty users with two sessions each, all in one turn.
    func together(_ first: BrokerNode, _ second: BrokerNode, _ room: RoomName) async throws {
        try await second.subscribe(to: room)
        let users = try (0..<20).map { try require(UserName("user-\($0)"), "user") }
        let sessions = (users + users).map { (SessionID.random(), $0) }
        let rosters = try await first.enter(room, sessions)
        for (roster, (_, user)) in zip(rosters, sessions) {
            try expect(roster.members.contains(user), "\(user) is in the roster that it was told")
            try expectEqual(Set(roster.members).count, roster.count, "the names in a roster")
        }
        let all = try await second.roster(of: room, limit: 20)
        try expectEqual(Set(all.members), Set(users), "the roster")
        try expect(!all.hasMore && all.count == 20, "it is whole")
        let arrivals = try await second.listener.hearsPresence(20, in: room)
        try expectEqual(arrivals.map(\.count), Array(1...20), "counts of arrivals")
        try expect(zip(arrivals, arrivals.dropFirst()).allSatisfy { $0.revision < $1.revision }, "revisions grow")
        try expect(arrivals.allSatisfy { $0.revision <= all.revision }, "the roster contains them")

        try await first.leave(room, sessions.prefix(20).map(\.0))
        try await first.leave(room, sessions.suffix(20).map(\.0))
        let changes = try await second.listener.hearsPresence(40, in: room)
        try expectEqual(changes.dropFirst(20).map(\.count), (0..<20).reversed(), "counts of departures")
        try expectEqual(Set(changes.dropFirst(20).map(\.user)), Set(users), "who departed")
        try expect(changes[20].revision > all.revision, "what follows the roster is newer")
        try expectEqual(try await second.roster(of: room, limit: 20).count, 0, "users in the end")
    }

    func crowdCounts(_ first: BrokerNode, _ second: BrokerNode, _ room: RoomName) async throws {
        try await second.subscribe(to: room)
        let limit = PresenceFeed.crowdLimit
        let sessions = try (0..<limit + 20).map {
            (SessionID.random(), try require(UserName("user-\($0)"), "user"))
        }
        _ = try await first.enter(room, sessions)
        let counts = try await second.listener.hearsCounts(in: room) { $0.last == limit + 20 }
        try expect(counts.allSatisfy { $0 > limit }, "counts are told of a crowd only")
        let arrivals = BrokerListener.presence(in: room, of: second.listener.events)
        try expectEqual(arrivals.map(\.count), Array(1...limit), "who came until it was one")
        let roster = try await second.roster(of: room, limit: limit)
        try expectEqual(
            roster, Roster(members: [], count: limit + 20, hasMore: true, revision: roster.revision), "its roster")

        try await first.leave(room, sessions.prefix(30).map(\.0))
        let changes = try await second.listener.hearsPresence(limit + 11, in: room)
        let expected = Array(limit - 10...limit).reversed()
        try expectEqual(changes.dropFirst(limit).map(\.count), Array(expected), "who left when it was none any more")
        try await first.leave(room, sessions.dropFirst(30).map(\.0))
    }
}

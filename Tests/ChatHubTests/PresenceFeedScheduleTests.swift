import ChatHub
import ChatProtocol
import NIOCore
import TestSupport
import Testing

/// Whatever is lost, doubled or overtaken: after a resubscription members know the truth, and none of them was told
/// anything twice.
@Suite("What members are told, by random schedules")
struct PresenceFeedScheduleTests {
    private static let users = (0..<9).map { UserName.of("user-\($0)") }

    private enum Published {
        case change(PresenceChange)
        case count(Int, UInt64)
    }

    /// A member as its client sees the room.
    private struct Client {
        var rosterRevision: UInt64
        var known: Set<UserName>
        var count: Int
        /// Was there all the time, and the room is never a crowd: every notice must be news.
        var isExact: Bool

        mutating func hears(_ notice: PresenceFeed.Notice) throws {
            guard notice.revision > rosterRevision, notice.since == 0 || notice.since < rosterRevision else { return }
            count = notice.count
            switch notice.event {
            case .came(let user, _):
                let isNews = known.insert(user).inserted
                try expect(isNews || !isExact, "\(user) was told twice")
            case .left(let user):
                let wasKnown = known.remove(user) != nil
                try expect(wasKnown || !isExact, "\(user) was told as gone and never came")
            case .counted: break
            }
            if isExact { try expectEqual(count, known.count, "the count") }
        }
    }

    /// One node's members of a room, the store, and what is on its way between them.
    private struct World {
        static let everybody = PresenceFeedScheduleTests.users.count
        /// Below the number of all users: the room is a crowd at times.
        let limit: Int
        var feed: PresenceFeed
        var present: Set<UserName> = []
        var revision: UInt64 = 0
        var now = NIODeadline.uptimeNanoseconds(1_000_000_000)
        var wire: [Published] = []
        /// Questions that the store has not answered, and answers that have not arrived.
        var questions: [Int] = []
        var answers: [(Int, Roster)] = []
        var clients: [Client] = []
        /// Nothing is heard until the subscription stands again.
        var isDeaf = false

        init(limit: Int, random: inout SeededGenerator) throws {
            var limits = PresenceFeed.Limits()
            limits.users = limit
            self.limit = limit
            feed = PresenceFeed(limits)
            for user in PresenceFeedScheduleTests.users where random.chance(0.3) { present.insert(user) }
            revision = 1
            try perform(feed.doubted())
        }

        var roster: Roster {
            let isCrowd = present.count > limit
            return Roster(
                members: isCrowd ? [] : Array(present), count: present.count, hasMore: isCrowd, revision: revision)
        }

        mutating func perform(_ action: PresenceFeed.Action) throws {
            for notice in action.notices {
                for index in clients.indices { try clients[index].hears(notice) }
            }
            if let question = action.question { questions.append(question) }
        }

        /// A user comes or goes; the publication travels unless it is lost.
        mutating func toggle(_ user: UserName) -> Published {
            revision += 1
            let isPresent = present.insert(user).inserted
            if !isPresent { present.remove(user) }
            guard present.count <= limit else { return .count(present.count, revision) }
            return .change(
                PresenceChange(
                    user: user, isPresent: isPresent, count: present.count,
                    origin: isPresent ? SessionID(value: 1) : nil, revision: revision))
        }

        mutating func hear(_ published: Published) throws {
            switch published {
            case .change(let change): try perform(feed.heard(change, at: now))
            case .count(let count, let revision): try perform(feed.heard(count: count, revision: revision, at: now))
            }
        }

        mutating func arrive() throws {
            guard !answers.isEmpty else { return }
            let (number, roster) = answers.removeFirst()
            try perform(feed.answered(number, with: roster, at: now))
            // The first member enters when the room is open. What it missed before was not lost with a publication.
            if feed.isKnown, clients.isEmpty {
                try join(isExact: limit > Self.everybody && roster.revision == revision)
            }
        }

        mutating func join(isExact: Bool) throws {
            clients.append(
                Client(rosterRevision: revision, known: present, count: present.count, isExact: isExact))
            let members = Roster(members: Array(present), count: present.count, hasMore: false, revision: revision)
            try perform(feed.joined(with: members, at: now))
        }

        mutating func answer() {
            if !questions.isEmpty { answers.append((questions.removeFirst(), roster)) }
        }

        mutating func pass(_ time: TimeAmount) throws {
            now = now + time
            if let wakeUp = feed.wakeUp, wakeUp <= now { try perform(feed.timePassed(at: now)) }
        }

        /// Nothing is lost any more: until nothing is on its way.
        mutating func settle() throws {
            var turns = 0
            while !wire.isEmpty || !questions.isEmpty || !answers.isEmpty || feed.wakeUp != nil {
                turns += 1
                try expect(turns < 1_000, "an end")
                while !wire.isEmpty { try hear(wire.removeFirst()) }
                while !questions.isEmpty { answer() }
                while !answers.isEmpty { try arrive() }
                try pass(.milliseconds(500))
            }
        }

        /// Whom the feed counts as present: those whose coming would be no news.
        func knows(_ user: UserName) -> Bool {
            var copy = feed
            let change = PresenceChange(
                user: user, isPresent: true, count: present.union([user]).count, origin: nil, revision: .max)
            return copy.heard(change, at: now).notices.isEmpty
        }
    }

    @Test func afterAResubscriptionMembersKnowTheTruth() async throws {
        try await RandomSchedules.run(200, and: [11480, 34149, 41454, 42418, 68204]) { random in
            var world = try World(limit: random.chance(0.5) ? 100 : 4, random: &random)
            // Redis loses nothing without the connection. If it did, this would repair what all were told, but not what
            // those know who joined meanwhile.
            let losesSilently = random.chance(0.3)
            for _ in 0..<Int.random(in: 5...60, using: &random) {
                switch Int.random(in: 0..<12, using: &random) {
                case 0..<4:
                    let published = world.toggle(try require(random.pick(Self.users), "user"))
                    if losesSilently ? random.chance(0.75) : !world.isDeaf { world.wire.append(published) }
                    if !world.isDeaf, random.chance(0.1) { world.wire.append(published) }
                case 4..<7:
                    guard !world.wire.isEmpty else { continue }
                    let overtaking =
                        losesSilently && random.chance(0.1) ? world.wire.indices.randomElement(using: &random) : nil
                    try world.hear(world.wire.remove(at: overtaking ?? 0))
                case 7: world.answer()
                case 8: try world.arrive()
                case 9:
                    if random.chance(0.5) {
                        try world.pass(.milliseconds(Int64.random(in: 0...2_000, using: &random)))
                    } else if !world.questions.isEmpty {
                        world.feed.failed(world.questions.removeFirst(), at: world.now)
                    }
                case 10:
                    if !world.isDeaf, random.chance(0.7) {
                        world.wire.removeAll()
                        world.isDeaf = true
                    } else {
                        world.isDeaf = false
                        try world.perform(world.feed.doubted())
                    }
                default: if world.feed.isKnown { try world.join(isExact: false) }
                }
            }
            world.wire.removeAll()
            try world.perform(world.feed.doubted())
            try world.settle()
            for client in world.clients where client.isExact || !losesSilently {
                try expectEqual(client.count, world.present.count, "the count that a member knows")
                if world.limit > Self.users.count {
                    try expectEqual(client.known, world.present, "those whom a member knows")
                }
            }
            guard world.present.count < world.limit else { return }
            for user in Self.users {
                try expectEqual(world.knows(user), world.present.contains(user), "what is known of \(user)")
            }
        }
    }

    @Test func whileAStoreIsFilledAgainNobodyFlickers() async throws {
        try await RandomSchedules.run(100) { random in
            var world = try World(limit: 100, random: &random)
            try world.settle()
            let before = world.present
            world.present.removeAll()
            if random.chance(0.5) { try world.perform(world.feed.doubted()) }
            // All of them come back within less than the delay, while some others come.
            var missing = before.shuffled(using: &random)
            var newcomers = Self.users.filter { !before.contains($0) && random.chance(0.3) }
            let pause = TimeAmount.milliseconds(Int64(2_500 / (missing.count + newcomers.count + 1)))
            while !missing.isEmpty || !newcomers.isEmpty {
                let isNew = missing.isEmpty || (!newcomers.isEmpty && random.chance(0.5))
                let user = isNew ? newcomers.removeLast() : missing.removeLast()
                world.wire.append(world.toggle(user))
                if random.chance(0.7) { while !world.wire.isEmpty { try world.hear(world.wire.removeFirst()) } }
                if random.chance(0.7) { world.answer() }
                if random.chance(0.7) { try world.arrive() }
                let known = world.clients.first?.known ?? []
                try expect(known.isSuperset(of: before), "nobody who was there is told as gone")
                try world.pass(pause)
            }
            try world.settle()
            try expectEqual(world.clients.first?.known, world.present, "those whom a member knows")
            try expect(world.present.isSuperset(of: before), "all are back")
        }
    }
}

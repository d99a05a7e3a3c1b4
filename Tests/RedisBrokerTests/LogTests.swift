import ChatHub
import ChatProtocol
import NIOCore
import RedisBroker
import TestSupport
import Testing

@Suite("The log in Redis")
struct LogTests {
    @Test func aLogKeepsWhatIsPromisedAndNotMuchMore() async throws {
        try await withBrokers(1, configured: { $0.logLength = 100 }) { server, brokers in
            let node = brokers[0].node
            for _ in 0..<5 {
                _ = try await node.append((0..<200).map { .test("\($0)", id: "\($0)") }, to: room())
            }
            let log = try await node.read(room(), after: .zero)
            #expect(log.entries.count >= 100)
            #expect(log.entries.count <= 200)
            #expect(log.head.seq == 1_000)
            #expect(!log.isComplete, "it does not begin with SEQ 1 any more")
            let first = try #require(log.entries.first).position
            #expect(try await node.read(room(), after: Position(epoch: first.epoch, seq: first.seq - 1)).isComplete)
            #expect(try await !node.read(room(), after: Position(epoch: first.epoch, seq: first.seq - 2)).isComplete)
        }
    }

    @Test func aKeyThatHoldsNoLogKeepsOthersFromNothing() async throws {
        try await withBrokers(1) { server, brokers in
            let node = brokers[0].node
            let head = try await node.append(.test("1"), to: room()).position
            try await server.command("SET", "roost:{other}:log", "nonsense")
            let asked = try [room("other"), room()].map { ExpectedEnd(room: $0, position: .zero) }
            #expect(try await node.ends(of: asked) == [.unknown, .at(head)])
            try await server.command("DEL", "roost:{room}:log")
            let gone = try await node.ends(of: [ExpectedEnd(room: room(), position: head)])
            #expect(gone == [.at(.zero)])
        }
    }

    @Test func aLogThatGrowsMessageByMessageIsTrimmedToo() async throws {
        try await withBrokers(1, configured: { $0.logLength = 100 }) { server, brokers in
            let node = brokers[0].node
            for number in 0..<420 { _ = try await node.append(.test("\(number)"), to: room()) }
            let log = try await node.read(room(), after: .zero)
            #expect(log.entries.count >= 100)
            #expect(log.entries.count <= 300)
        }
    }

    @Test func theEndOfALogIsPostponedByTheFirstAppendInAWhile() async throws {
        try await withBrokers(2, configured: { $0.logIdleExpiry = .hours(24) }) { server, brokers in
            let node = brokers[0].node
            let day = 86_400_000
            func timeToLive() async throws -> Int {
                let answer = try await server.command("PTTL", "roost:{room}:log")
                return try #require(Int(answer.filter(\.isNumber)))
            }
            let first = try await node.append(.test("1"), to: room())
            #expect(try await timeToLive() > day)
            // The next one has no need to.
            try await server.command("PEXPIRE", "roost:{room}:log", "50000")
            let second = try await node.append(.test("2"), to: room())
            #expect(second.position.epoch == first.position.epoch)
            #expect(try await timeToLive() <= 50_000)
            // The last message is an old one, as far as a node can tell that has stored none here.
            let entry = try await server.command("XRANGE", "roost:{room}:log", "\(first.position)", "\(first.position)")
            let generation = try #require(entry.split(separator: "\n").last)
            try await server.command(
                "XADD", "roost:{room}:log", "\(first.position.epoch)-3", "m", "{}", "t", "1", "g", "\(generation)")
            let fourth = try await brokers[1].node.append(.test("4"), to: room())
            #expect(fourth.position == Position(epoch: first.position.epoch, seq: 4))
            #expect(try await timeToLive() > day)
        }
    }

    @Test func anIdleLogExpiresAndTheRoomGoesOnInAGreaterEpoch() async throws {
        try await withBrokers(1, configured: { $0.logIdleExpiry = .milliseconds(200) }) { server, brokers in
            let node = brokers[0].node
            let old = try await node.append(.test("old"), to: room())
            try await eventually("the log has expired") {
                try await node.read(room(), after: .zero).head == .zero ? true : nil
            }
            let new = try await node.append(.test("new"), to: room(), known: old.position)
            #expect(new.position.seq == 1)
            #expect(new.position.epoch > old.position.epoch)
        }
    }

    @Test func theLogOfASubscribedRoomDoesNotExpire() async throws {
        try await withBrokers(1, configured: { $0.logIdleExpiry = .milliseconds(1_200) }) { _, brokers in
            let node = brokers[0].node
            try await node.subscribe(to: room("kept"))
            let kept = try await node.append(.test("kept"), to: room("kept"))
            // The idle room's log expires twice while the other one stays.
            for _ in 0..<2 {
                _ = try await node.append(.test("idle"), to: room("idle"))
                try await eventually("the idle log has expired") {
                    try await node.read(room("idle"), after: .zero).head == .zero ? true : nil
                }
            }
            #expect(try await node.read(room("kept"), after: .zero).head == kept.position)
        }
    }

    @Test func aLogWhoseEntriesAreAllGoneGoesOnInANewEpoch() async throws {
        try await withBrokers(2) { server, brokers in
            let node = brokers[0].node
            let receipts = try await node.append([.test("1"), .test("2")], to: room())
            try await server.command("XTRIM", "roost:{room}:log", "MAXLEN", "0")
            let empty = try await node.read(room(), after: receipts[1].position)
            #expect(empty == LogSlice(entries: [], isComplete: true, hasMore: false, head: receipts[1].position))
            #expect(try await !node.read(room(), after: .zero).isComplete)
            let next = try await brokers[1].node.append(.test("3"), to: room(), known: receipts[1].position)
            #expect(next.position.epoch > receipts[0].position.epoch)
            #expect(next.position.seq == 1)
        }
    }

    @Test func whoHasStoredInALogGoesOnInItHoweverManyOthersHaveStoredMeanwhile() async throws {
        try await withBrokers(2) { server, brokers in
            let node = brokers[0].node
            let first = try await node.append(.test("1"), to: room())
            let others = try await brokers[1].node.append((2...4).map { .test("\($0)") }, to: room())
            try await node.subscribe(to: room())
            let more = try await node.append([.test("5"), .test("6")], to: room(), known: first.position)
            let all = [first] + others + more
            #expect(all.map(\.position) == (1...6).map { Position(epoch: first.position.epoch, seq: $0) })
            let name = try room()
            let batch = try await node.listener.hears("the publication") { events in
                BrokerListener.batches(in: name, of: events).first
            }
            #expect(batch.previous == others.last?.position)
            #expect(batch.messages.map(\.body) == [Draft.test("5").body, Draft.test("6").body])
        }
    }

    @Test(arguments: [true, false])
    func whoHasStoredInALogThatWentBackBeginsANewEpochAndLeavesNothingBehind(isGone: Bool) async throws {
        try await withBrokers(1) { server, brokers in
            let node = brokers[0].node
            let old = try await node.append((1...3).map { .test("\($0)") }, to: room()).map(\.position)
            try await server.command("DEL", "roost:{room}:log")
            if !isGone { try await server.command("XADD", "roost:{room}:log", "\(old[0])", "m", "{}", "t", "1") }
            let next = try await node.append([.test("4"), .test("5")], to: room()).map(\.position)
            #expect(next[0].epoch > old[0].epoch)
            #expect(next.map(\.seq) == [1, 2])
            let kept = try await node.read(room(), after: .zero).entries.map(\.position)
            #expect(kept == (isGone ? [] : [old[0]]) + next)
        }
    }

    @Test func aHoleInALogIsSeenByWhoeverReadsOverIt() async throws {
        try await withBrokers(1) { server, brokers in
            let node = brokers[0].node
            let positions = try await node.append((1...6).map { .test("\($0)") }, to: room()).map(\.position)
            for lost in [positions[2], positions[3]] { try await server.command("XDEL", "roost:{room}:log", "\(lost)") }
            let before = try await node.read(room(), after: positions[1])
            #expect(!before.isComplete)
            #expect(before.floor == positions[1])
            let around = try await node.read(room(), after: positions[0])
            #expect(around.isComplete)
            #expect(
                around.parts(after: positions[0]) == [
                    .entries(around.entries[..<1]), .missing(after: positions[1], before: positions[4]),
                    .entries(around.entries[1...]),
                ])
            let inside = try await node.read(room(), after: positions[2])
            #expect(!inside.isComplete)
            #expect(inside.floor == positions[1])
            let last = try await node.read(room(), after: positions[3])
            #expect(last.isComplete, "it is the one before the next entry")
        }
    }

    @Test func aRetriesNotesAreGoneAfterTheWindow() async throws {
        try await withBrokers(1, configured: { $0.retryWindow = .milliseconds(100) }) { server, brokers in
            let node = brokers[0].node
            _ = try await node.append(.test("a", id: "x", isRetry: true), to: room())
            try await eventually("the notes are gone") {
                try await server.command("EXISTS", "roost:{room}:retried") == "0" ? true : nil
            }
            #expect(try await !node.append(.test("a", id: "x"), to: room()).isDuplicate)
        }
    }

    @Test func notesThatOutlivedTheWindowGoWhileRetriesKeepComing() async throws {
        try await withBrokers(1) { server, brokers in
            let node = brokers[0].node
            try await server.command("HSET", "roost:{room}:retried", "old", "1-1 1", "older", "1-2 0")
            for number in 0..<2 {
                _ = try await node.append(.test("a", id: "\(number)", isRetry: true), to: room())
            }
            #expect(try await server.command("HLEN", "roost:{room}:retried") == "2")
            #expect(try await server.command("HEXISTS", "roost:{room}:retried", "old") == "0")
        }
    }

    @Test func aCopyIsFoundThroughAllOfALongLog() async throws {
        try await withBrokers(2) { _, brokers in
            let first = try await brokers[0].node.append(.test("first", id: "first"), to: room())
            for round in 0..<10 {
                _ = try await brokers[0].node.append((0..<200).map { .test("\($0)", id: "\(round).\($0)") }, to: room())
            }
            let retries = try await brokers[1].node.append(
                [
                    .test("first", id: "first", isRetry: true), .test("x", id: "0.7", isRetry: true),
                    .test("x", id: "new", isRetry: true),
                ], to: room())
            #expect(retries[0].position == first.position)
            #expect(retries[1].position.seq == 9)
            #expect(retries.map(\.isDuplicate) == [true, true, false])
        }
    }

    @Test func flushedScriptsAreLoadedAgainUnseen() async throws {
        try await withBrokers(1) { server, brokers in
            let node = brokers[0].node
            _ = try await node.append(.test("a"), to: room())
            try await server.command("SCRIPT", "FLUSH")
            let receipts = try await node.append([.test("b"), .test("c")], to: room())
            #expect(receipts.map(\.position.seq) == [2, 3])
            try await server.command("SCRIPT", "FLUSH")
            #expect(try await node.enter(room(), .random(), user("alice")).count == 1)
            #expect(brokers[0].broker.metrics.scriptsReloaded >= 2)
            #expect(brokers[0].broker.metrics.appended == 3)
        }
    }

    @Test func foreignDataUnderOurKeysIsAnErrorAndNothingElse() async throws {
        try await withBrokers(1) { server, brokers in
            let node = brokers[0].node
            try await server.command("SET", "roost:{text}:log", "hello")
            await #expect(throws: BrokerError.self) { _ = try await node.append(.test("a"), to: room("text")) }
            await #expect(throws: BrokerError.self) { _ = try await node.read(room("text"), after: .zero) }
            try await server.command("XADD", "roost:{stream}:log", "*", "what", "else")
            await #expect(throws: BrokerError.self) { _ = try await node.read(room("stream"), after: .zero) }

            try await node.subscribe(to: room())
            try await server.command("PUBLISH", "roost:{room}", "m 1-1 1-2 garbage")
            let receipt = try await node.append(.test("a"), to: room())
            #expect(try await node.listener.hearsMessages(1, in: room()).map(\.position) == [receipt.position])
            #expect(brokers[0].broker.metrics.publicationsDropped == 1)
        }
    }

    @Test func whenRedisRefusesWritesMessagesAreUnavailableAndLookUpsAnswer() async throws {
        try await withBrokers(1) { server, brokers in
            let node = brokers[0].node
            let stored = try await node.append(.test("a", id: "x"), to: room())
            try await server.command("CONFIG", "SET", "maxmemory", "1")
            let failure = await #expect(throws: BrokerError.self) {
                _ = try await node.append(.test("b", id: "y"), to: room())
            }
            #expect(failure?.code == .unavailable)
            #expect(try await node.append(.test("a", id: "x", isRetry: true), to: room()).position == stored.position)
            #expect(try await node.read(room(), after: .zero).head == stored.position)
            try await server.command("CONFIG", "SET", "maxmemory", "0")
            #expect(try await node.append(.test("b", id: "y"), to: room()).position.seq == 2)
        }
    }

    @Test func aPageEndsByBytesAndSaysThatThereIsMore() async throws {
        try await withBrokers(1, configured: { $0.pageBytes = 2_500 }) { _, brokers in
            let node = brokers[0].node
            let text = String(repeating: "x", count: 1_000)
            _ = try await node.append((0..<5).map { _ in .test(text) }, to: room())
            let page = try await node.read(room(), after: .zero)
            #expect(page.entries.map(\.position.seq) == [1, 2])
            #expect(page.hasMore)
            let latest = try await node.readLatest(room())
            #expect(latest.entries.map(\.position.seq) == [4, 5])
            #expect(latest.hasMore)
        }
    }
}

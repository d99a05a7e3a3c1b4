import ChatProtocol
import NIOCore
import NIOEmbedded
import TestSupport
import Testing

@testable import ChatHub

@Suite("A loop's hub")
struct LoopHubTests {
    private let general = RoomName.of("general")

    @Test func tellsMembersWhoCameAndWhatWasSaid() throws {
        let bench = try HubBench()
        let alice = TestSession("alice")
        let bob = TestSession("bob")
        let joined = bench.join(general, alice)
        #expect(joined.outcome?.position == .zero)
        #expect(joined.outcome?.roster?.members.map(\.text) == ["alice"])
        bench.join(general, bob)
        bench.post("hello", to: general)
        #expect(alice.texts == ["joined 0-0", "+bob 2", "hello"])
        #expect(bob.texts == ["joined 0-0", "hello"])
    }

    @Test func oneWriteAndOneFlushPerMemberAndTurnHoweverManyMessages() throws {
        let bench = try HubBench()
        let bob = TestSession("bob")
        bench.join(general, bob)
        bob.writes = 0
        bob.flushes = 0
        for index in 0..<20 { bench.postWithoutRunning("\(index)", to: general) }
        bench.run()
        #expect(bob.texts.dropFirst() == (0..<20).map { "\($0)" }[...])
        #expect(bob.writes == 1)
        #expect(bob.flushes == 1)
    }

    @Test func everyLoopHearsTheSameOrder() throws {
        let bench = try HubBench(loops: 3)
        let sessions = (0..<3).map { TestSession("user\($0)") }
        for (index, session) in sessions.enumerated() { bench.join(general, session, loop: index) }
        for index in 0..<10 { bench.post("\(index)", to: general) }
        for session in sessions {
            #expect(session.texts.filter { Int($0) != nil } == (0..<10).map { "\($0)" })
        }
    }

    @Test func aSecondLoopBeginsWhereTheRoomStands() throws {
        let bench = try HubBench(loops: 2)
        let alice = TestSession("alice")
        bench.join(general, alice, loop: 0)
        bench.post("before", to: general)
        let bob = TestSession("bob")
        let joined = bench.join(general, bob, loop: 1)
        bench.post("after", to: general)
        #expect(joined.outcome?.position.seq == 1)
        #expect(bob.texts.dropFirst() == ["after"])
    }

    @Test func replaysTheLatestMessagesAndGoesOnLive() throws {
        let bench = try HubBench()
        for index in 1...5 { bench.post("\(index)", to: general) }
        let bob = TestSession("bob")
        let joined = bench.join(general, bob, replay: .latest(2))
        bench.post("6", to: general)
        #expect(joined.outcome?.recovered == nil)
        #expect(bob.texts.dropFirst() == ["4", "5", "6"])
    }

    @Test func resumesAfterAPositionWithoutHoleOrDouble() throws {
        let bench = try HubBench()
        var positions: [Position] = []
        for index in 1...5 { positions.append(bench.post("\(index)", to: general)?.position ?? .zero) }
        let bob = TestSession("bob")
        let joined = bench.join(general, bob, replay: .since(positions[1], limit: nil))
        bench.post("6", to: general)
        #expect(joined.outcome?.recovered == true)
        #expect(joined.outcome?.position == positions[4])
        #expect(bob.texts.dropFirst() == ["3", "4", "5", "6"])
    }

    @Test func aResumeFromTheBeginningOfAnEmptyRoomIsWhole() throws {
        let bench = try HubBench()
        let bob = TestSession("bob")
        #expect(bench.join(general, bob, replay: .since(.zero, limit: nil)).outcome?.recovered == true)
        bench.post("1", to: general)
        #expect(bob.texts.dropFirst() == ["1"])
    }

    @Test func saysWhenWhatWasMissedIsNoLongerThere() throws {
        let bench = try HubBench(history: 3)
        var positions: [Position] = []
        for index in 1...6 { positions.append(bench.post("\(index)", to: general)?.position ?? .zero) }
        let bob = TestSession("bob")
        let joined = bench.join(general, bob, replay: .since(positions[0], limit: nil))
        #expect(joined.outcome?.recovered == false)
        #expect(bob.texts.dropFirst() == ["4", "5", "6"])
        // Trimmed up to the very message that the client has: nothing is missing.
        let carol = TestSession("carol")
        #expect(bench.join(general, carol, replay: .since(positions[2], limit: nil)).outcome?.recovered == true)
        #expect(carol.texts.dropFirst() == ["4", "5", "6"])
    }

    @Test func aPositionOfAnotherLogGetsAllThereIs() throws {
        let bench = try HubBench()
        for index in 1...3 { bench.post("\(index)", to: general) }
        for strange in [Position(epoch: 1, seq: 9), Position(epoch: .max, seq: 1)] {
            let bob = TestSession("bob")
            let joined = bench.join(general, bob, replay: .since(strange, limit: nil))
            #expect(joined.outcome?.recovered == false)
            #expect(bob.texts.filter { !$0.hasPrefix("joined") } == ["1", "2", "3"])
        }
    }

    @Test func withALimitOnlyTheLatestSoManyAreReplayed() throws {
        let bench = try HubBench()
        let first = bench.post("0", to: general)?.position ?? .zero
        for index in 1...9 { bench.post("\(index)", to: general) }
        let bob = TestSession("bob")
        #expect(bench.join(general, bob, replay: .since(first, limit: 3)).outcome?.recovered == false)
        #expect(bob.texts.dropFirst() == ["7", "8", "9"])
        let carol = TestSession("carol")
        #expect(bench.join(general, carol, replay: .since(first, limit: 9)).outcome?.recovered == true)
        #expect(carol.texts.dropFirst() == (1...9).map { "\($0)" }[...])
    }

    @Test func aLongReplayIsSentInSlicesAndLiveMessagesFollow() throws {
        var settings = LoopHub.Settings()
        settings.catchUpSlice = 4
        let bench = try HubBench(hub: settings)
        for index in 1...30 { bench.post("\(index)", to: general) }
        let bob = TestSession("bob")
        bench.hubs[0].join(general, session: bob, replay: .since(.zero, limit: nil)) { _ in }
        for index in 31...40 {
            bench.postWithoutRunning("\(index)", to: general)
            bench.brokerLoop.run()
            bench.loops[0].run()
        }
        bench.run()
        #expect(bob.texts == (1...40).map { "\($0)" })
    }

    @Test func aClientThatIsAheadOfItsNewNodeGetsNothingTwice() throws {
        let bench = try HubBench(loops: 2)
        let alice = TestSession("alice")
        bench.join(general, alice)
        let first = bench.post("1", to: general)?.position ?? .zero
        // The log has a second message that this node's loop has not delivered yet.
        bench.postWithoutRunning("2", to: general)
        bench.brokerLoop.run()
        let ahead = Position(epoch: first.epoch, seq: 2)
        let bob = TestSession("bob")
        bench.hubs[0].join(general, session: bob, replay: .since(ahead, limit: nil)) { _ in }
        bench.run()
        bench.post("3", to: general)
        #expect(bob.texts == ["3"])
    }

    @Test func aSlowMemberIsNotQueuedForAndCatchesUpInOrder() throws {
        let bench = try HubBench()
        let slow = TestSession("slow")
        let quick = TestSession("quick")
        bench.join(general, slow)
        bench.join(general, quick)
        bench.post("1", to: general)
        slow.isWritable = false
        slow.texts = []
        for index in 2...50 { bench.post("\(index)", to: general) }
        #expect(slow.texts == [])
        #expect(quick.texts.last == "50")
        slow.isWritable = true
        bench.hubs[0].writable(slow)
        bench.run()
        bench.post("51", to: general)
        #expect(slow.texts == (2...51).map { "\($0)" })
    }

    @Test func aSlowMemberBeyondTheRingIsServedFromTheLog() throws {
        var settings = LoopHub.Settings()
        settings.ringBytes = 500
        let bench = try HubBench(hub: settings)
        let slow = TestSession("slow")
        bench.join(general, slow)
        slow.isWritable = false
        for index in 1...500 { bench.post("\(index)", to: general) }
        slow.isWritable = true
        slow.texts = []
        bench.hubs[0].writable(slow)
        bench.run()
        #expect(slow.texts == (1...500).map { "\($0)" })
    }

    @Test func aSlowMemberIsToldWhatTheLogNoLongerHas() throws {
        var settings = LoopHub.Settings()
        settings.ringBytes = 300
        let bench = try HubBench(history: 5, hub: settings)
        let slow = TestSession("slow")
        bench.join(general, slow)
        let first = bench.post("1", to: general)?.position ?? .zero
        slow.isWritable = false
        slow.texts = []
        for index in 2...20 { bench.post("\(index)", to: general) }
        slow.isWritable = true
        bench.hubs[0].writable(slow)
        bench.run()
        #expect(
            slow.texts == ["gap \(first) \(first.epoch)-16"] + (16...20).map { "\($0)" })
    }

    /// The socket took no more within the turn, and the flush at its end emptied it: no event says so.
    @Test func whoTookNoMoreForAMomentOnlyIsBroughtUpToDateAtTheEndOfTheTurn() throws {
        let bench = try HubBench()
        let hasty = TestSession("hasty")
        bench.join(general, hasty)
        hasty.texts = []
        hasty.becomesUnwritableAfterWrites = 1
        bench.join(.of("other"), hasty)
        bench.postWithoutRunning("1", to: .of("other"))
        bench.postWithoutRunning("2", to: general)
        bench.run()
        #expect(Set(hasty.texts) == ["joined 0-0", "1", "2"])
    }

    @Test func aGapIsToldToWhoCatchesUpFromTheLogToo() throws {
        let cluster = try SimulatedCluster()
        let slow = SimulatedClient("slow")
        cluster.connect(slow)
        cluster.run()
        cluster.post("1", from: slow)
        cluster.run()
        slow.session?.isWritable = false
        cluster.post("2", from: slow)
        cluster.run()
        let lost = try #require(cluster.log.last?.position)
        cluster.store.flush()
        cluster.postElsewhere("new")
        cluster.run()
        cluster.becomesWritable(slow)
        cluster.advance(by: .seconds(2))
        let new = try #require(cluster.log.last?.position)
        #expect(slow.texts == ["1", "2", "gap \(lost) \(new)", "new"])
    }

    @Test func aReplayStopsWhereTheSocketTakesNoMoreAndGoesOnLater() throws {
        var settings = LoopHub.Settings()
        settings.catchUpBytes = 200
        settings.catchUpSlice = 10
        let bench = try HubBench(hub: settings)
        for index in 1...40 { bench.post("\(index)", to: general) }
        for replay in [Replay.latest(30), .since(.zero, limit: nil)] {
            let narrow = TestSession("narrow")
            narrow.becomesUnwritableAfterWrites = 2
            bench.join(general, narrow, replay: replay)
            let expected = replay == .latest(30) ? 11...40 : 1...40
            #expect(narrow.texts.filter { Int($0) != nil } == expected.map { "\($0)" })
        }
    }

    @Test func aGapAtTheEndReachesThoseWhoTakeNoMoreToo() throws {
        let bench = try HubBench()
        let slow = TestSession("slow")
        bench.join(general, slow)
        let last = bench.post("1", to: general)?.position ?? .zero
        slow.isWritable = false
        slow.texts = []
        var json = ByteBuffer()
        ServerMessage.gap(room: general, after: last, before: nil).write(into: &json)
        var builder = DeliveryBuilder()
        builder.append(json, as: .gap)
        bench.hubs[0].deliver([(general, builder.finish(at: last))])
        #expect(slow.texts == ["gap \(last) -"])
    }

    @Test func onlySignalsAreDroppedForASlowMember() throws {
        let bench = try HubBench()
        let slow = TestSession("slow")
        bench.join(general, slow)
        slow.isWritable = false
        slow.texts = []
        var typing = ByteBuffer()
        ServerMessage.typing(room: general, user: .of("alice"), active: true).write(into: &typing)
        bench.hubs[0].commands.announce(typing, from: .random(), in: general)
        bench.post("1", to: general)
        let bob = TestSession("bob")
        bench.join(general, bob)
        slow.isWritable = true
        bench.hubs[0].writable(slow)
        bench.run()
        #expect(Set(slow.texts) == ["1", "+bob 2"])
    }

    @Test func typingReachesAllButTheSessionThatTypes() throws {
        let bench = try HubBench()
        let alice = TestSession("alice")
        let bob = TestSession("bob")
        bench.join(general, alice)
        bench.join(general, bob)
        var typing = ByteBuffer()
        ServerMessage.typing(room: general, user: alice.user, active: true).write(into: &typing)
        bench.hubs[0].commands.announce(typing, from: alice.id, in: general)
        bench.run()
        #expect(bob.texts.last == "typing alice")
        #expect(!alice.texts.contains("typing alice"))
    }

    @Test func withoutEchoTheSenderGetsTheOthersMessagesOnly() throws {
        let bench = try HubBench()
        let quiet = TestSession("quiet", wantsEcho: false)
        let other = TestSession("other")
        bench.join(general, quiet)
        bench.join(general, other)
        bench.postWithoutRunning("1", to: general)
        bench.postWithoutRunning("2", to: general, exceptFor: quiet.id)
        bench.postWithoutRunning("3", to: general)
        bench.run()
        #expect(quiet.texts.filter { Int($0) != nil } == ["1", "3"])
        #expect(other.texts.filter { Int($0) != nil } == ["1", "2", "3"])
    }

    @Test func leavingIsToldAtOnceOrAfterTheGrace() throws {
        let bench = try HubBench()
        let alice = TestSession("alice")
        let bob = TestSession("bob")
        let carol = TestSession("carol")
        for session in [alice, bob, carol] { bench.join(general, session) }
        bench.hubs[0].leave(general, session: bob)
        bench.run()
        #expect(alice.texts.last == "-bob 2")
        bench.hubs[0].leave(general, session: carol, grace: .seconds(2))
        bench.advance(by: .milliseconds(1900))
        #expect(alice.texts.last == "-bob 2")
        bench.advance(by: .milliseconds(200))
        #expect(alice.texts.last == "-carol 1")
    }

    @Test func whoComesBackWithinTheGraceWasNeverGone() throws {
        let bench = try HubBench()
        let alice = TestSession("alice")
        let bob = TestSession("bob")
        bench.join(general, alice)
        bench.join(general, bob)
        bench.hubs[0].leave(general, session: bob, grace: .seconds(2))
        bench.advance(by: .seconds(1))
        bench.join(general, TestSession("bob"))
        bench.advance(by: .seconds(5))
        #expect(alice.texts == ["joined 0-0", "+bob 2"])
    }

    @Test func aRoomLingersAndIsThenGivenUp() throws {
        let bench = try HubBench()
        let alice = TestSession("alice")
        bench.join(general, alice)
        bench.hubs[0].leave(general, session: alice)
        bench.advance(by: .milliseconds(500))
        #expect(bench.hubs[0].roomCount == 1)
        // Coming back in time calls the closing off.
        bench.join(general, alice)
        bench.advance(by: .seconds(5))
        #expect(bench.hubs[0].roomCount == 1)
        bench.hubs[0].leave(general, session: alice)
        bench.advance(by: .milliseconds(1100))
        #expect(bench.hubs[0].roomCount == 0)
        let metrics = bench.directory.metrics()
        bench.run()
        #expect(try metrics.wait().rooms == 0)
    }

    @Test func joiningAgainIsAnsweredAgainAndTellsNobody() throws {
        let bench = try HubBench()
        let alice = TestSession("alice")
        let bob = TestSession("bob")
        bench.join(general, alice)
        bench.join(general, bob)
        let first = bench.post("1", to: general)?.position ?? .zero
        bench.post("2", to: general)
        #expect(bench.join(general, bob, replay: .latest(10)).outcome?.roster?.count == 2)
        #expect(bob.texts == ["joined 0-0", "1", "2", "joined \(first.epoch)-2"])
        #expect(alice.texts == ["joined 0-0", "+bob 2", "1", "2"])
        // With a position the room is replayed from there, and goes on live.
        bob.texts = []
        bench.join(general, bob, replay: .since(first, limit: nil))
        bench.post("3", to: general)
        #expect(bob.texts == ["joined \(first.epoch)-2", "2", "3"])
    }

    @Test func anInboxHasNoPresence() throws {
        let bench = try HubBench()
        let inbox = RoomName.of("@bob")
        let phone = TestSession("bob")
        let laptop = TestSession("bob")
        #expect(bench.join(inbox, phone).outcome?.roster == nil)
        bench.join(inbox, laptop)
        bench.post("hi", to: inbox)
        #expect(phone.texts == ["joined 0-0", "hi"])
        #expect(laptop.texts == ["joined 0-0", "hi"])
    }

    @Test func bigRoomsAreToldCountsAtMostOnceAnInterval() throws {
        var settings = RoomDirectory.Settings()
        settings.presenceLimit = 3
        let bench = try HubBench(directory: settings)
        let alice = TestSession("alice")
        bench.join(general, alice)
        for index in 2...9 { bench.join(general, TestSession("user\(index)")) }
        #expect(alice.texts == ["joined 0-0", "+user2 2", "+user3 3", "count 4"])
        bench.advance(by: .milliseconds(1100))
        #expect(alice.texts.last == "count 9")
        bench.advance(by: .seconds(5))
        #expect(alice.texts.count == 5)
    }

    /// The change was published before the roster was read, and comes after it on another connection.
    @Test func presenceThatTheRosterContainsIsNotToldAgain() throws {
        let bench = try HubBench()
        let alice = TestSession("alice")
        bench.join(general, alice)
        let bob = TestSession("bob")
        let revision = bench.join(general, bob).outcome?.roster?.revision ?? 0
        var turn = DeliveryBuilder()
        for (name, age) in [("stale", revision), ("new", revision + 1)] {
            var json = ByteBuffer()
            ServerMessage.userJoined(room: general, user: UserName.of(name), count: 3).write(into: &json)
            turn.append(json, as: .notice(revision: age))
        }
        bench.hubs[0].deliver([(general, turn.finish(at: .zero))])
        #expect(bob.texts == ["joined 0-0", "+new 3"])
        #expect(alice.texts == ["joined 0-0", "+bob 2", "+stale 3", "+new 3"])
    }

    @Test func presenceThatWasMissedIsToldWhenTheSubscriptionStandsAgain() throws {
        let bench = try HubBench(loops: 2)
        let alice = TestSession("alice")
        let bob = TestSession("bob")
        bench.join(general, alice)
        bench.join(general, bob, loop: 1)
        // Nobody hears of it.
        bench.broker.unsubscribe(from: general)
        _ = bench.hubs[0].commands.enter(general, session: .random(), user: .of("carol"))
        bench.run()
        #expect(alice.texts == ["joined 0-0", "+bob 2"])
        bench.broker.subscribe(to: general)
        bench.run()
        #expect(alice.texts == ["joined 0-0", "+bob 2", "+carol 3"])
        #expect(bob.texts == ["joined 0-0", "+carol 3"])
        bench.broker.unsubscribe(from: general)
        bench.broker.subscribe(to: general)
        bench.run()
        bench.advance(by: .seconds(5))
        #expect(alice.texts.count == 3, "nothing is told twice")
    }

    @Test func whoLeftWhileNobodyListenedIsToldAsGoneAfterAWhile() throws {
        let bench = try HubBench()
        let (alice, bob) = (TestSession("alice"), TestSession("bob"))
        bench.join(general, alice)
        bench.join(general, bob)
        bench.broker.unsubscribe(from: general)
        bench.hubs[0].leave(general, session: bob)
        bench.run()
        bench.broker.subscribe(to: general)
        bench.run()
        #expect(alice.texts == ["joined 0-0", "+bob 2"], "he may only not have entered again yet")
        bench.advance(by: .seconds(3))
        #expect(alice.texts == ["joined 0-0", "+bob 2", "-bob 1"])
    }

    @Test func aSessionThatGoesWhileItJoinsIsNotLeftBehind() throws {
        let bench = try HubBench()
        let alice = TestSession("alice")
        bench.join(general, alice)
        let hasty = TestSession("hasty")
        let box = JoinBox()
        bench.hubs[0].join(general, session: hasty, replay: .latest(5)) { box.result = $0 }
        bench.hubs[0].leave(general, session: hasty)
        bench.run()
        #expect(box.outcome == nil)
        #expect(alice.texts.last == "-hasty 1" || alice.texts == ["joined 0-0"])
    }

    @Test(arguments: 0..<60)
    func everyMemberGetsEverythingOnceInOrderWhateverItsPace(seed: UInt64) throws {
        var random = SeededGenerator(seed: seed)
        var settings = LoopHub.Settings()
        settings.ringBytes = 600
        settings.catchUpSlice = 3
        let bench = try HubBench(loops: 2, hub: settings)
        let sessions = (0..<4).map { TestSession("user\($0)") }
        for (index, session) in sessions.enumerated() {
            bench.join(general, session, loop: index % 2)
            session.texts = []
        }
        var posted = 0
        for _ in 0..<200 {
            switch Int.random(in: 0..<6, using: &random) {
            case 0, 1:
                posted += 1
                bench.postWithoutRunning("\(posted)", to: general)
            case 2:
                bench.brokerLoop.run()
            case 3:
                bench.loops[Int.random(in: 0..<2, using: &random)].run()
            default:
                let index = Int.random(in: 0..<4, using: &random)
                sessions[index].isWritable.toggle()
                if sessions[index].isWritable { bench.hubs[index % 2].writable(sessions[index]) }
            }
        }
        for (index, session) in sessions.enumerated() {
            session.isWritable = true
            bench.hubs[index % 2].writable(session)
        }
        bench.run()
        bench.advance(by: .seconds(1))
        for session in sessions {
            #expect(session.texts.filter { Int($0) != nil } == (1...posted).map { "\($0)" }, "seed \(seed)")
        }
    }
}

import ChatProtocol
import NIOCore
import TestSupport
import Testing

@testable import ChatHub

/// Messages are called after their positions.
@Suite("A log in which something is missing")
struct LogHoleTests {
    private let general = RoomName.of("general")

    private func bench(
        _ log: [String], pageLength: Int = .max, slice: Int = 200
    ) throws -> HubBench {
        var settings = LoopHub.Settings()
        settings.catchUpSlice = slice
        let bench = try HubBench(hub: settings)
        bench.store.logs[general] = ScriptedLog(log.map(position), in: general, pageLength: pageLength)
        return bench
    }

    private func position(_ text: String) -> Position { Position(text) ?? .zero }

    private func resume(
        _ since: String, limit: Int? = nil, on bench: HubBench
    ) -> (recovered: Bool?, texts: [String]) {
        let bob = TestSession("bob")
        let joined = bench.join(general, bob, replay: .since(position(since), limit: limit))
        return (joined.outcome?.recovered, Array(bob.texts.dropFirst()))
    }

    @Test func aHoleRightAfterThePositionMakesAResumeNotWhole() throws {
        let bench = try bench(["5-1", "5-2", "5-5", "5-6"])
        var outcome = resume("5-2", on: bench)
        #expect(outcome == (false, ["5-5", "5-6"]))
        // The client has what the log lacks.
        outcome = resume("5-4", on: bench)
        #expect(outcome == (true, ["5-5", "5-6"]))
        outcome = resume("5-3", on: bench)
        #expect(outcome == (false, ["5-5", "5-6"]))
    }

    @Test func aHoleFurtherOnMakesItNotWholeToo() throws {
        let outcome = resume("5-1", on: try bench(["5-1", "5-2", "5-5", "5-6"]))
        #expect(outcome == (false, ["5-2", "5-5", "5-6"]))
    }

    @Test func aHoleBeyondWhatIsReadForTheJoinIsToldInItsPlace() throws {
        let outcome = resume("5-1", on: try bench(["5-1", "5-2", "5-3", "5-7", "5-8"], slice: 2))
        #expect(outcome == (true, ["5-2", "5-3", "gap 5-3 5-7", "5-7", "5-8"]))
    }

    @Test func anEpochThatDoesNotBeginWithItsFirstMessageLacksSome() throws {
        let whole = resume("5-2", on: try bench(["5-1", "5-2", "7-1", "7-2"]))
        #expect(whole == (true, ["7-1", "7-2"]))
        let cut = resume("5-2", on: try bench(["5-1", "5-2", "7-3", "7-4"]))
        #expect(cut == (false, ["7-3", "7-4"]))
    }

    @Test func aSlowMemberIsToldOfAHoleInTheLogThatItIsCaughtUpFrom() throws {
        let bench = try bench(["5-1"])
        let slow = TestSession("slow")
        bench.join(general, slow)
        slow.isWritable = false
        slow.texts = []
        bench.store.logs[general] = ScriptedLog(["5-1", "5-2", "5-6", "5-7"].map(position), in: general)
        publish("5-7", after: "5-1", on: bench)
        slow.isWritable = true
        bench.hubs[0].forgetFrames(of: try #require(bench.hubs[0].rooms[general]))
        bench.hubs[0].writable(slow)
        bench.run()
        #expect(slow.texts == ["5-2", "gap 5-2 5-6", "5-6", "5-7"])
    }

    /// What it was brought comes from a store that is no more; the room follows another one.
    @Test func aSlowMemberThatTheLogWentOnWithoutIsTakenBackToWhereTheyParted() throws {
        let bench = try bench(["5-1", "5-2"])
        let slow = TestSession("slow")
        bench.join(general, slow)
        slow.isWritable = false
        slow.texts = []
        bench.store.logs[general] = ScriptedLog(["5-1", "7-1"].map(position), in: general)
        publish("7-1", after: "5-2", on: bench)
        slow.isWritable = true
        bench.hubs[0].forgetFrames(of: try #require(bench.hubs[0].rooms[general]))
        bench.hubs[0].writable(slow)
        bench.run()
        #expect(slow.texts == ["rewind 5-1", "7-1"])
    }

    /// The room here has delivered what no store has any more.
    @Test func whatTheLogHasLostAltogetherIsToldToASlowMember() throws {
        let bench = try bench(["5-1"])
        let slow = TestSession("slow")
        bench.join(general, slow)
        slow.isWritable = false
        slow.texts = []
        publish("5-2", after: "5-1", on: bench)
        bench.hubs[0].forgetFrames(of: try #require(bench.hubs[0].rooms[general]))
        slow.isWritable = true
        bench.hubs[0].writable(slow)
        bench.run()
        #expect(slow.texts == ["gap 5-1 -"])
        publish("5-3", after: "5-2", on: bench)
        #expect(slow.texts == ["gap 5-1 -", "5-3"])
    }

    @Test func aPageThatEndsByBytesDoesNotMeanThatMoreWasMissedThanWanted() throws {
        let log = (1...9).map { "5-\($0)" }
        let bench = try bench(log, pageLength: 2)
        var outcome = resume("5-4", limit: 5, on: bench)
        #expect(outcome == (true, ["5-5", "5-6", "5-7", "5-8", "5-9"]))
        outcome = resume("5-3", limit: 5, on: bench)
        #expect(outcome.recovered == false)
        #expect(outcome.texts.last == "5-9")
        #expect(!outcome.texts.contains("5-4"))
    }

    @Test func whatWasMissedIsCountedOverEpochs() throws {
        let log = ["5-1", "5-2", "5-3", "7-1", "7-2", "8-1"]
        let bench = try bench(log, pageLength: 1)
        var outcome = resume("5-1", limit: 5, on: bench)
        #expect(outcome == (true, ["5-2", "5-3", "7-1", "7-2", "8-1"]))
        outcome = resume("5-1", limit: 4, on: bench)
        #expect(outcome.recovered == false)
        outcome = resume("5-3", limit: 3, on: bench)
        #expect(outcome == (true, ["7-1", "7-2", "8-1"]))
    }

    @Test func whoHasSeenWhatAFailoverLostIsTakenBackToWhatTheLogKnows() throws {
        let bench = try bench(["5-1", "5-2", "7-1", "7-2"])
        var outcome = resume("5-4", on: bench)
        #expect(outcome == (false, ["rewind 5-2", "7-1", "7-2"]))
        // An epoch that is lost altogether: before it there may have been less of the one before than the log has.
        outcome = resume("6-3", on: bench)
        #expect(outcome == (false, ["rewind 0-0", "5-1", "5-2", "7-1", "7-2"]))
        outcome = resume("6-3", limit: 3, on: bench)
        #expect(outcome == (false, ["rewind 0-0", "5-2", "7-1", "7-2"]))
        outcome = resume("5-4", limit: 1, on: bench)
        #expect(outcome == (false, ["rewind 5-2", "7-2"]))
    }

    @Test func whoIsAheadOfALogThatWentBackIsTakenBackToItsEnd() throws {
        let outcome = resume("5-9", on: try bench(["5-1", "5-2"]))
        #expect(outcome == (false, ["rewind 5-2"]))
    }

    @Test func withALogThatIsGoneThereIsNothingToReplay() throws {
        let bench = try bench([])
        let outcome = resume("5-9", on: bench)
        #expect(outcome == (false, []))
        let first = resume("0-0", on: bench)
        #expect(first == (true, []))
    }

    private func publish(_ text: String, after previous: String, on bench: HubBench) {
        let log = ScriptedLog([position(text)], in: general)
        bench.directory.received(
            .messages(
                MessageBatch(
                    previous: position(previous), first: position(text), time: 1, sentAt: 1,
                    messages: [.init(body: log.entries[0].body, exceptFor: nil)])), in: general)
        bench.directory.receivedAllForNow()
        bench.run()
    }
}

import ChatProtocol
import NIOCore
import TestSupport
import Testing

@testable import ChatHub

/// Messages are called after their positions.
@Suite("A room that goes back")
struct RewindTests {
    private let general = RoomName.of("general")

    private func position(_ text: String) -> Position { Position(text) ?? .zero }

    private func setLog(_ log: [String], on bench: HubBench) {
        bench.store.logs[general] = ScriptedLog(log.map(position), in: general)
    }

    /// The store has lost what came after a position, and went on in a new epoch.
    private func rewind(to position: String, on bench: HubBench) {
        var json = ByteBuffer()
        ServerMessage.rewind(room: general, to: self.position(position)).write(into: &json)
        var builder = DeliveryBuilder()
        builder.append(json, as: .rewind)
        bench.hubs[0].deliver([(general, builder.finish(at: self.position(position)))])
    }

    private func deliver(_ text: String, after previous: String, on bench: HubBench) {
        let entry = ScriptedLog([position(text)], in: general).entries[0]
        var builder = DeliveryBuilder()
        builder.append(
            entry.body, at: entry.position, after: position(previous), time: 1, sentAt: 0, exceptFor: nil)
        bench.hubs[0].deliver([(general, builder.finish(at: entry.position))])
    }

    /// A room at `5-4` with one who listens and one who has taken nothing since `5-1`.
    private func start() throws -> (bench: HubBench, quick: TestSession, slow: TestSession) {
        var settings = LoopHub.Settings()
        settings.ringBytes = 0
        let bench = try HubBench(hub: settings)
        setLog(["5-1"], on: bench)
        let quick = TestSession("quick")
        let slow = TestSession("slow")
        bench.join(general, quick)
        bench.join(general, slow)
        slow.isWritable = false
        for (previous, next) in [("5-1", "5-2"), ("5-2", "5-3"), ("5-3", "5-4")] {
            deliver(next, after: previous, on: bench)
        }
        setLog(["5-1", "5-2", "5-3", "5-4"], on: bench)
        quick.texts = []
        slow.texts = []
        return (bench, quick, slow)
    }

    @Test func takesEverybodyAlongWhereverTheyAre() throws {
        let (bench, quick, slow) = try start()
        setLog(["5-1", "5-2", "7-1"], on: bench)
        rewind(to: "5-2", on: bench)
        deliver("7-1", after: "5-2", on: bench)
        bench.run()
        slow.isWritable = true
        bench.hubs[0].writable(slow)
        bench.run()
        #expect(quick.texts == ["rewind 5-2", "7-1"])
        #expect(slow.texts == ["5-2", "7-1"], "who has not seen what is void need not hear of it")
    }

    @Test func anAnswerFromBeforeIsNotUsedAfterwards() throws {
        let (bench, _, slow) = try start()
        // The read brings what is void by the time that it arrives.
        slow.isWritable = true
        bench.hubs[0].writable(slow)
        let bob = TestSession("bob")
        let box = JoinBox()
        bench.hubs[0].join(general, session: bob, replay: .since(position("5-3"), limit: nil)) { box.result = $0 }
        setLog(["5-1", "5-2", "7-1"], on: bench)
        rewind(to: "5-2", on: bench)
        deliver("7-1", after: "5-2", on: bench)
        bench.run()
        #expect(slow.texts.filter { $0 != "+bob 3" } == ["5-2", "7-1"])
        #expect(box.outcome?.recovered == false)
        #expect(bob.texts == ["rewind 5-2", "7-1"])
    }

    @Test func whatWasReadBeforeIsForgotten() throws {
        let (bench, _, _) = try start()
        let bob = TestSession("bob")
        bench.join(general, bob, replay: .since(position("5-2"), limit: nil))
        #expect(bob.texts == ["joined 5-4", "5-3", "5-4"])
        setLog(["5-1", "5-2", "7-1"], on: bench)
        rewind(to: "5-2", on: bench)
        deliver("7-1", after: "5-2", on: bench)
        let carol = TestSession("carol")
        let joined = bench.join(general, carol, replay: .since(position("5-2"), limit: nil))
        #expect(joined.outcome?.recovered == true)
        #expect(carol.texts == ["joined 7-1", "7-1"])
        #expect(bob.texts.filter { $0 != "+carol 4" } == ["joined 5-4", "5-3", "5-4", "rewind 5-2", "7-1"])
    }
}

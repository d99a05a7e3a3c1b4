import ChatProtocol
import NIOCore
import TestSupport
import Testing

@testable import ChatHub

@Suite("A member whose socket takes no more")
struct SlowMemberTests {
    private let general = RoomName.of("general")

    private func stalled(on bench: HubBench) -> TestSession {
        let slow = TestSession("slow")
        bench.join(general, slow)
        slow.isWritable = false
        slow.texts = []
        slow.writes = 0
        return slow
    }

    private func resumeReading(_ session: TestSession, on bench: HubBench) {
        session.isWritable = true
        bench.hubs[0].writable(session)
        bench.run()
    }

    @Test func isSentNothingAtAllUntilItTakesData() throws {
        let bench = try HubBench()
        let slow = stalled(on: bench)
        var typing = ByteBuffer()
        ServerMessage.typing(room: general, user: .of("alice"), active: true).write(into: &typing)
        for index in 0..<100 {
            bench.post("\(index)", to: general)
            bench.hubs[0].commands.announce(typing, from: .random(), in: general)
            let visitor = TestSession("visitor\(index)")
            bench.join(general, visitor)
            bench.hubs[0].leave(general, session: visitor)
        }
        bench.run()
        #expect(slow.writes == 0)
        #expect(bench.hubs[0].metrics.droppedSignals == 100)
        resumeReading(slow, on: bench)
        #expect(slow.messages == (0..<100).map { "\($0)" })
        #expect(slow.texts.filter { $0.hasPrefix("+") } == (0..<100).map { "+visitor\($0) 2" })
        #expect(slow.texts.filter { $0.hasPrefix("-") } == (0..<100).map { "-visitor\($0) 1" })
        #expect(slow.texts.count == 300)
    }

    @Test func isNotEvenAskedWhileMessagesFlowAndItTakesNone() throws {
        let bench = try HubBench()
        let slow = stalled(on: bench)
        let other = TestSession("other")
        bench.join(general, other)
        bench.post("0", to: general)
        bench.run()
        slow.asked = 0
        for index in 1...100 {
            bench.post("\(index)", to: general)
            bench.run()
        }
        #expect(slow.asked == 0)
        #expect(other.messages == (0...100).map { "\($0)" })
        resumeReading(slow, on: bench)
        bench.post("101", to: general)
        bench.run()
        #expect(slow.messages == (0...101).map { "\($0)" })
    }

    @Test func thatJoinsAgainMeanwhileGetsAllTheSame() throws {
        let bench = try HubBench()
        let slow = stalled(on: bench)
        bench.post("0", to: general)
        bench.run()
        bench.join(general, slow, replay: .since(.zero, limit: nil))
        bench.post("1", to: general)
        bench.run()
        #expect(slow.messages == [])
        resumeReading(slow, on: bench)
        bench.post("2", to: general)
        bench.run()
        #expect(slow.messages == ["0", "1", "2"])
    }

    @Test func hearsOfPresenceOnceAndInOrderWhenItTakesDataAgain() throws {
        let bench = try HubBench()
        let slow = stalled(on: bench)
        let other = stalled(on: bench)
        slow.texts = []
        let bob = TestSession("bob")
        bench.join(general, bob)
        // It takes data again, but has not said so yet, when the next one comes.
        slow.isWritable = true
        bench.hubs[0].leave(general, session: bob)
        bench.run()
        #expect(slow.texts == ["+bob 2", "-bob 1"])
        bench.hubs[0].writable(slow)
        bench.run()
        #expect(slow.texts == ["+bob 2", "-bob 1"])
        resumeReading(other, on: bench)
        #expect(other.texts == ["+bob 2", "-bob 1"])
    }

    @Test func isNotKeptWhenItHasMissedMorePresenceThanIsKept() throws {
        let bench = try HubBench()
        let slow = stalled(on: bench)
        let bob = TestSession("bob")
        for _ in 0...(MissedNotices.limit / 2) {
            bench.join(general, bob)
            bench.hubs[0].leave(general, session: bob)
            bench.run()
        }
        #expect(slow.texts == [])
        let hasty = stalled(on: bench)
        bench.join(general, bob)
        resumeReading(slow, on: bench)
        resumeReading(hasty, on: bench)
        #expect(slow.texts == ["closed 1013"])
        #expect(hasty.texts == ["+bob 2"])
    }

    @Test func thatLeavesIsWaitedForNoMore() throws {
        let bench = try HubBench()
        let slow = stalled(on: bench)
        bench.join(general, TestSession("bob"))
        bench.hubs[0].leave(general, session: slow)
        bench.run()
        let room = try #require(bench.hubs[0].rooms[general])
        #expect(room.arrears == nil)
    }
}

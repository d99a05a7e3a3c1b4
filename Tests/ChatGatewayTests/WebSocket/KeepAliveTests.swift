import NIOCore
import NIOEmbedded
import Testing

@testable import ChatGateway

@Suite("Heartbeats and deadlines")
struct KeepAliveTests {
    @Test("two pings without an answer are enough")
    func silence() {
        var keepAlive = KeepAlive()
        #expect([keepAlive.beat(), keepAlive.beat(), keepAlive.beat()] == [.ping, .ping, .giveUp])
    }

    @Test("any sign of life starts the count anew")
    func life() {
        var keepAlive = KeepAlive()
        for _ in 0..<5 {
            #expect(keepAlive.beat() == .ping)
            #expect(keepAlive.beat() == .ping)
            keepAlive.heard()
        }
    }

    private final class Rider: WheelPassenger {
        var seat: WheelSeat?
        var beats = 0
        var deadlines = 0
        var onDeadline: () -> Void = {}
        func beat() { beats += 1 }
        func deadlinePassed() {
            deadlines += 1
            onDeadline()
        }
    }

    @Test("a rider is woken once per period from boarding to leaving")
    func beats() {
        let loop = EmbeddedEventLoop()
        let wheel = HeartbeatWheel(eventLoop: loop, period: .seconds(16), precision: .seconds(1))
        let (early, late) = (Rider(), Rider())
        wheel.board(early)
        loop.advanceTime(by: .seconds(8))
        wheel.board(late)
        loop.advanceTime(by: .seconds(7))
        #expect([early.beats, late.beats] == [0, 0])
        loop.advanceTime(by: .seconds(1))
        #expect([early.beats, late.beats] == [1, 0])
        loop.advanceTime(by: .seconds(8))
        #expect([early.beats, late.beats] == [1, 1])
        loop.advanceTime(by: .seconds(160))
        #expect([early.beats, late.beats] == [11, 11])
        wheel.leave(early)
        wheel.leave(late)
        wheel.leave(late)
        loop.advanceTime(by: .seconds(64))
        #expect([early.beats, late.beats] == [11, 11])
    }

    @Test("whoever leaves takes nobody else along")
    func leaving() {
        let loop = EmbeddedEventLoop()
        let wheel = HeartbeatWheel(eventLoop: loop, period: .seconds(16), precision: .seconds(1))
        let riders = (0..<5).map { _ in Rider() }
        for rider in riders { wheel.board(rider) }
        for rider in [riders[1], riders[0], riders[4]] { wheel.leave(rider) }
        loop.advanceTime(by: .seconds(16))
        #expect(riders.map(\.beats) == [0, 0, 1, 1, 0])
        wheel.leave(riders[2])
        loop.advanceTime(by: .seconds(16))
        #expect(riders.map(\.beats) == [0, 0, 1, 2, 0])
    }

    @Test("a deadline passes once, may be moved, and may be cleared")
    func deadlines() {
        let loop = EmbeddedEventLoop()
        let wheel = HeartbeatWheel(eventLoop: loop, period: .seconds(16), precision: .milliseconds(100))
        let (moved, cleared) = (Rider(), Rider())
        wheel.setDeadline(of: moved, in: .seconds(2))
        wheel.setDeadline(of: cleared, in: .seconds(2))
        loop.advanceTime(by: .seconds(1))
        wheel.setDeadline(of: moved, in: .seconds(5))
        wheel.clearDeadline(of: cleared)
        loop.advanceTime(by: .seconds(4))
        #expect([moved.deadlines, cleared.deadlines] == [0, 0])
        loop.advanceTime(by: .seconds(20))
        #expect([moved.deadlines, cleared.deadlines] == [1, 0])
    }

    @Test("one rider's deadline may take another rider off the wheel")
    func removalWithinATurn() {
        let loop = EmbeddedEventLoop()
        let wheel = HeartbeatWheel(eventLoop: loop, period: .seconds(16), precision: .milliseconds(100))
        let (one, two) = (Rider(), Rider())
        one.onDeadline = { wheel.clearDeadline(of: two) }
        two.onDeadline = { wheel.clearDeadline(of: one) }
        wheel.setDeadline(of: one, in: .seconds(1))
        wheel.setDeadline(of: two, in: .seconds(1))
        loop.advanceTime(by: .seconds(3))
        #expect(one.deadlines + two.deadlines == 1)
    }
}

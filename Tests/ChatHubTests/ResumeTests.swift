import ChatProtocol
import NIOCore
import NIOEmbedded
import TestSupport
import Testing

@testable import ChatHub

@Suite("Coming back")
struct ResumeTests {
    private let general = RoomName.of("general")

    /// A room with somebody in it and so many messages, "1", "2" and so on; their positions.
    private func talk(_ count: Int, on bench: HubBench) -> [Position] {
        bench.join(general, TestSession("host"))
        return (1...count).map { bench.post("\($0)", to: general)?.position ?? .zero }
    }

    private func withoutRing(_ change: (inout LoopHub.Settings) -> Void = { _ in }) throws -> HubBench {
        var settings = LoopHub.Settings()
        settings.ringBytes = 0
        change(&settings)
        return try HubBench(hub: settings)
    }

    @Test func whatIsStillInMemoryIsReplayedWithoutAskingTheStore() throws {
        let bench = try HubBench()
        let positions = talk(20, on: bench)
        let bob = TestSession("bob")
        #expect(bench.join(general, bob, replay: .since(positions[9], limit: nil)).outcome?.recovered == true)
        bench.post("21", to: general)
        #expect(bob.texts.dropFirst() == (11...21).map { "\($0)" }[...])
        let carol = TestSession("carol")
        #expect(bench.join(general, carol, replay: .since(positions[9], limit: 11)).outcome?.recovered == true)
        #expect(carol.texts.dropFirst() == (11...21).map { "\($0)" }[...])
        #expect(bench.hubs[0].metrics.ringResumes == 2)
        #expect(bench.store.reads == [])
        // More was missed than is wanted: the latest are in memory too.
        let dave = TestSession("dave")
        #expect(bench.join(general, dave, replay: .since(.zero, limit: 5)).outcome?.recovered == false)
        #expect(dave.texts.dropFirst() == (17...21).map { "\($0)" }[...])
        let erin = TestSession("erin")
        bench.join(general, erin, replay: .latest(3))
        #expect(erin.texts.dropFirst() == ["19", "20", "21"])
        let frank = TestSession("frank")
        bench.join(general, frank, replay: .latest(100))
        #expect(frank.texts.dropFirst() == (1...21).map { "\($0)" }[...])
        #expect(bench.store.latestReads == 0)
    }

    @Test func aLossThatTheRingRemembersMakesAResumeNotWhole() throws {
        let bench = try HubBench()
        let last = talk(1, on: bench)[0]
        var json = ByteBuffer()
        ServerMessage.gap(room: general, after: last, before: nil).write(into: &json)
        let (body, _) = StoredMessage.render(
            room: general, user: .of("alice"), id: nil, to: nil, content: Content(string: "new"))
        var builder = DeliveryBuilder()
        builder.append(json, as: .gap)
        let next = Position(epoch: last.epoch, seq: 5)
        builder.append(body, at: next, after: last, time: 1, sentAt: 0, exceptFor: nil)
        bench.hubs[0].deliver([(general, builder.finish(at: next))])
        let bob = TestSession("bob")
        #expect(bench.join(general, bob, replay: .since(last, limit: nil)).outcome?.recovered == false)
        #expect(bob.texts == ["joined \(next)", "new"])
    }

    @Test func tenThousandThatComeBackAtOnceCostAHandfulOfReads() throws {
        let bench = try withoutRing { $0.catchUpSlice = 10 }
        let starts = [Position.zero] + talk(30, on: bench)
        let reference = PlainSession()
        bench.hubs[0].join(general, session: reference, replay: .since(.zero, limit: nil)) { _ in }
        bench.run()
        bench.advance(by: .seconds(5))
        bench.store.reads = []

        let crowd = (0..<10_000).map { _ in PlainSession() }
        var recovered = 0
        for (index, session) in crowd.enumerated() {
            bench.hubs[0].join(general, session: session, replay: .since(starts[index % 29], limit: nil)) {
                if case .success(let outcome) = $0, outcome.recovered == true { recovered += 1 }
            }
        }
        // They are taken on some at a time.
        for _ in 0..<20 {
            bench.run()
            bench.advance(by: .milliseconds(10))
        }
        bench.post("31", to: general)
        #expect(recovered == 10_000)
        #expect(bench.store.reads.count <= 4)
        #expect(bench.hubs[0].metrics.mergedReads >= 9_990)
        let messages = reference.frames
        #expect(messages.count == 31)
        for (index, session) in crowd.enumerated() {
            #expect(session.bytes == PlainSession.joined(messages[(index % 29)...]), "session \(index)")
        }
    }

    @Test func aCrowdThatAsksForHistoryCostsOneRead() throws {
        let bench = try withoutRing()
        _ = talk(50, on: bench)
        let crowd = (0..<100).map { TestSession("user\($0)") }
        for (index, session) in crowd.enumerated() {
            bench.hubs[0].join(general, session: session, replay: .latest(index == 0 ? 20 : 5)) { _ in }
        }
        for _ in 0..<5 { bench.run() }
        #expect(bench.store.latestReads == 1)
        for (index, session) in crowd.enumerated() {
            #expect(session.messages == ((index == 0 ? 31 : 46)...50).map { "\($0)" })
        }
    }

    @Test func whoComesMomentsLaterIsServedFromTheSameFrames() throws {
        let bench = try withoutRing()
        let positions = talk(50, on: bench)
        for index in 0..<20 {
            let bob = TestSession("bob")
            let joined = bench.join(general, bob, replay: .since(positions[index], limit: nil))
            #expect(joined.outcome?.recovered == true)
            #expect(bob.messages == ((index + 2)...50).map { "\($0)" })
        }
        #expect(bench.store.reads == [positions[0]])
        bench.advance(by: .seconds(3))
        #expect(bench.hubs[0].replays.isEmpty)
        #expect(bench.hubs[0].replays.byteCount == 0)
        bench.join(general, TestSession("late"), replay: .since(positions[0], limit: nil))
        #expect(bench.store.reads.count == 2)
    }

    @Test func membersThatFellBehindTogetherReadTogether() throws {
        let bench = try withoutRing()
        let slow = (0..<300).map { TestSession("slow\($0)") }
        for session in slow { bench.join(general, session) }
        for session in slow {
            session.texts = []
            session.isWritable = false
        }
        for index in 1...40 { bench.post("\(index)", to: general) }
        for session in slow {
            session.isWritable = true
            bench.hubs[0].writable(session)
        }
        for _ in 0..<3 {
            bench.run()
            bench.advance(by: .milliseconds(10))
        }
        #expect(bench.store.reads.count == 1)
        #expect(bench.hubs[0].metrics.caughtUpBytes > 300 * 40 * 80)
        for session in slow { #expect(session.messages == (1...40).map { "\($0)" }) }
    }

    /// The answer was made before the last message, for which the newcomer waits: it says nothing about its loss.
    @Test func anAnswerThatIsOlderThanAQuestionDoesNotAnswerIt() throws {
        let bench = try withoutRing()
        let early = TestSession("early")
        let late = TestSession("late")
        bench.join(general, early)
        bench.join(general, late)
        early.isWritable = false
        bench.post("1", to: general)
        early.isWritable = true
        bench.hubs[0].writable(early)
        bench.brokerLoop.run()
        late.isWritable = false
        // The first read's answer is on its way while the second message is appended and delivered.
        bench.postWithoutRunning("2", to: general)
        bench.brokerLoop.run()
        late.isWritable = true
        bench.run()
        bench.hubs[0].writable(late)
        bench.run()
        #expect(early.messages == ["1", "2"])
        #expect(late.messages == ["1", "2"])
        #expect(!(early.texts + late.texts).contains { $0.hasPrefix("gap") })
    }

    @Test func whenTheStoreDoesNotAnswerJoinsFailAndMembersAskAgainTogether() throws {
        let bench = try withoutRing()
        let positions = talk(5, on: bench)
        let slow = (0..<10).map { TestSession("slow\($0)") }
        for session in slow {
            bench.join(general, session)
            session.texts = []
            session.isWritable = false
        }
        bench.post("6", to: general)
        bench.store.isBroken = true
        let bob = TestSession("bob")
        #expect(bench.join(general, bob, replay: .since(positions[0], limit: nil)).outcome == nil)
        #expect(bob.memberships.isEmpty)
        for session in slow {
            session.isWritable = true
            bench.hubs[0].writable(session)
        }
        bench.run()
        bench.store.isBroken = false
        bench.store.reads = []
        bench.advance(by: .seconds(1))
        #expect(bench.store.reads.count == 1)
        for session in slow { #expect(session.messages == ["6"]) }
    }

    @Test func theRingsOfAllRoomsTogetherAreBoundedAndTheQuietestRoomsGoFirst() throws {
        var settings = LoopHub.Settings()
        settings.allRingsBytes = 500
        let bench = try HubBench(hub: settings)
        let rooms = (0..<10).map { RoomName.of("room\($0)") }
        let alice = TestSession("alice")
        for room in rooms { bench.join(room, alice) }
        #expect(bench.hubs[0].rings.byteCount == 0)
        for round in 0..<5 {
            for room in rooms { bench.post("\(round)", to: room) }
        }
        let hub = bench.hubs[0]
        #expect(hub.rings.byteCount <= 500)
        #expect(hub.rings.byteCount == rooms.reduce(0) { $0 + (hub.rooms[$1]?.ring.byteCount ?? 0) })
        #expect(hub.rooms[rooms[9]]?.ring.byteCount ?? 0 > 0)
        #expect(hub.rooms[rooms[0]]?.ring.byteCount == 0)
        for room in rooms { hub.leave(room, session: alice) }
        bench.advance(by: .seconds(2))
        #expect(hub.roomCount == 0)
        #expect(hub.rings.byteCount == 0)
    }
}

/// A session that keeps frames as they come: cheap enough to be ten thousand.
private final class PlainSession: HubSession {
    let id = SessionID.random()
    let user = UserName.of("bob")
    let wantsEcho = true
    var isWritable: Bool { true }
    var isAwaitingFlush = false
    private(set) var memberships: RoomTable<Member> = [:]
    var lagging: [RoomName] = []
    private(set) var bytes = ByteBuffer()

    func member(of room: RoomName) -> Member? { memberships[room] }
    func setMember(_ member: Member?, of room: RoomName) { memberships[room] = member }
    func write(_ frames: ByteBuffer) { bytes.writeImmutableBuffer(frames) }
    func flush() {}
    func close(_ code: CloseCode, reason: String) {}

    /// One by one. They are long enough that their length takes two bytes or none.
    var frames: [ByteBuffer] {
        var rest = bytes
        var frames: [ByteBuffer] = []
        while let head: UInt16 = rest.getInteger(at: rest.readerIndex) {
            let short = Int(head & 0x7f)
            let length =
                short == 126 ? 4 + Int(rest.getInteger(at: rest.readerIndex + 2, as: UInt16.self) ?? 0) : 2 + short
            guard let frame = rest.readSlice(length: length) else { break }
            frames.append(frame)
        }
        return frames
    }

    static func joined(_ frames: ArraySlice<ByteBuffer>) -> ByteBuffer {
        var all = ByteBuffer()
        for frame in frames { all.writeImmutableBuffer(frame) }
        return all
    }
}

import ChatHub
import ChatProtocol
import Logging
import NIOCore
import NIOEmbedded
import TestSupport

/// What a publication costs from the moment it is decoded until it has been written to every member of its room. One
/// event loop; sessions that take everything and send nothing.
enum FanOutBenchmarks {
    static var all: [Benchmark] {
        get throws {
            try [(1, 2_000), (100, 200), (1_000, 50), (10_000, 5)].map { members, publications in
                let room = try BusyRoom(members: members)
                let each = members == 1 ? "to one member" : "to each of \(members) members"
                return Benchmark(
                    "fan-out: a publication \(each)", operations: members * publications,
                    run: { room.publish(publications) }, check: room.check)
            }
        }
    }
}

/// A room in which somebody speaks.
final class BusyRoom {
    private let name = RoomName.of("general")
    private let loop = EmbeddedEventLoop()
    private let directory: RoomDirectory
    private let hub: LoopHub
    private var sessions: [SilentSession] = []
    private let body: ByteBuffer
    private var position = Position.zero

    init(members: Int) throws {
        let broker = MemoryBroker(eventLoop: loop, loops: [loop], settings: .init(), clock: { 1_000_000 })
        directory = RoomDirectory(
            broker: broker, logger: Logger(label: "benchmark", factory: { _ in SwiftLogNoOpLogHandler() }))
        hub = LoopHub(eventLoop: loop, index: 0, broker: broker, directory: directory, clock: { 1_000_000_000 })
        body =
            StoredMessage.render(
                room: name, user: .of("alice"), id: nil, to: nil,
                content: Content(string: String(repeating: "x", count: 128))
            ).body
        let started = directory.start(hubs: [hub])
        loop.run()
        try started.wait()
        for _ in 0..<members {
            let session = SilentSession()
            sessions.append(session)
            hub.join(name, session: session, replay: .none) { joined in
                guard case .success = joined else { preconditionFailure("\(joined)") }
            }
            loop.run()
        }
        for _ in 0..<12 { loop.run() }
    }

    func publish(_ count: Int) {
        for _ in 0..<count {
            let previous = position
            position = Position(epoch: 1_700_000_000_000, seq: position.seq + 1)
            publish(
                .messages(
                    MessageBatch(
                        previous: previous, first: position, time: 1_700_000_000_000, sentAt: 999_999_000,
                        messages: [.init(body: body, exceptFor: nil)])))
        }
    }

    func publish(_ publication: Publication) {
        directory.received(publication, in: name)
        directory.receivedAllForNow()
        loop.run()
    }

    /// The next so many messages as Redis sends them to who has subscribed.
    func publication(of count: Int) -> ByteBuffer {
        let first = Position(epoch: 1_700_000_000_000, seq: position.seq + 1)
        var payload = ByteBuffer(string: "m \(position) \(first) 1700000000000 999999000 \(count)\n")
        for _ in 0..<count {
            payload.writeString("\(body.readableBytes) \n")
            payload.writeImmutableBuffer(body)
        }
        position = Position(epoch: first.epoch, seq: position.seq + UInt64(count))
        var bytes = ByteBuffer(string: "*3\r\n$7\r\nmessage\r\n$15\r\nroost:{general}\r\n")
        bytes.writeString("$\(payload.readableBytes)\r\n")
        bytes.writeImmutableBuffer(payload)
        bytes.writeString("\r\n")
        return bytes
    }

    func check() {
        let wanted = Int(position.seq) * body.readableBytes
        precondition(sessions.allSatisfy { $0.bytes > wanted }, "something was not delivered")
    }
}

/// A session whose socket takes everything.
private final class SilentSession: HubSession {
    let id = SessionID.random()
    /// The same of all: who comes and goes is not what is measured.
    let user = UserName.of("bob")
    let wantsEcho = true
    let isWritable = true
    var isAwaitingFlush = false
    private(set) var memberships: RoomTable<Member> = [:]
    var lagging: [RoomName] = []
    private(set) var bytes = 0

    func member(of room: RoomName) -> Member? { memberships[room] }
    func setMember(_ member: Member?, of room: RoomName) { memberships[room] = member }
    func write(_ frames: ByteBuffer) { bytes += frames.readableBytes }
    func flush() {}
    func close(_ code: CloseCode, reason: String) { preconditionFailure("closed: \(reason)") }
}

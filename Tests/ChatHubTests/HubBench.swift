import ChatHub
import ChatProtocol
import Logging
import NIOCore
import NIOEmbedded
import TestSupport

/// A node in a test: a memory broker and one or two hubs on loops that run when told.
final class HubBench {
    let brokerLoop = EmbeddedEventLoop()
    let loops: [EmbeddedEventLoop]
    let broker: MemoryBroker
    /// What stands between the node and the broker.
    let store: WatchedBroker
    let directory: RoomDirectory
    let hubs: [LoopHub]
    let time = TestTime()

    init(
        loops count: Int = 1, history: Int = 10_000, hub settings: LoopHub.Settings = .init(),
        directory directorySettings: RoomDirectory.Settings = .init()
    ) throws {
        loops = (0..<count).map { _ in EmbeddedEventLoop() }
        var memory = MemoryBroker.Settings()
        memory.historyMessages = history
        let time = time
        broker = MemoryBroker(eventLoop: brokerLoop, loops: loops, settings: memory, clock: { time.milliseconds })
        store = WatchedBroker(broker)
        directory = RoomDirectory(
            broker: store, settings: directorySettings,
            logger: Logger(label: "test", factory: { _ in SwiftLogNoOpLogHandler() }))
        var hubs: [LoopHub] = []
        for (index, loop) in loops.enumerated() {
            hubs.append(
                LoopHub(
                    eventLoop: loop, index: index, broker: store, directory: directory, settings: settings,
                    clock: { time.milliseconds * 1000 }))
        }
        self.hubs = hubs
        let started = directory.start(hubs: hubs)
        run()
        try started.wait()
    }

    /// Lets every loop work until all have nothing left to do.
    func run() {
        for _ in 0..<12 {
            brokerLoop.run()
            for loop in loops { loop.run() }
        }
    }

    func advance(by amount: TimeAmount) {
        time.milliseconds += UInt64(amount.nanoseconds / 1_000_000)
        brokerLoop.advanceTime(by: amount)
        for loop in loops { loop.advanceTime(by: amount) }
        run()
    }

    @discardableResult
    func join(_ room: RoomName, _ session: TestSession, loop: Int = 0, replay: Replay = .none) -> JoinBox {
        let box = JoinBox()
        hubs[loop].join(room, session: session, replay: replay) {
            box.result = $0
            if case .success(let outcome) = $0 { session.texts.append("joined \(outcome.position)") }
        }
        run()
        return box
    }

    @discardableResult
    func post(_ text: String, to room: RoomName, by user: String = "alice", exceptFor: SessionID? = nil) -> Receipt? {
        postWithoutRunning(text, to: room, by: user, exceptFor: exceptFor)
        run()
        return lastReceipt
    }

    private(set) var lastReceipt: Receipt?

    func postWithoutRunning(_ text: String, to room: RoomName, by user: String = "alice", exceptFor: SessionID? = nil) {
        let (body, length) = StoredMessage.render(
            room: room, user: UserName.of(user), id: nil, to: nil, content: Content(string: text))
        hubs[0].commands.append(
            Draft(body: body, identityLength: length, isRetry: false, exceptFor: exceptFor), to: room, known: .zero
        ) { self.lastReceipt = try? $0.get() }
    }
}

final class JoinBox {
    var result: Result<JoinOutcome, BrokerError>?
    var outcome: JoinOutcome? { try? result?.get() }
}

/// A clock that stands still until moved.
///
/// `@unchecked Sendable`: used on the test's thread only.
final class TestTime: @unchecked Sendable {
    var milliseconds: UInt64 = 1_000_000
}

/// A session that keeps what it is sent.
final class TestSession: HubSession {
    let id = SessionID.random()
    let user: UserName
    let wantsEcho: Bool
    var isWritable: Bool {
        get {
            asked += 1
            return takesData
        }
        set { takesData = newValue }
    }
    private var takesData = true
    /// How often it was asked whether it takes more.
    var asked = 0
    var isAwaitingFlush = false
    private(set) var memberships: RoomTable<Member> = [:]
    var lagging: [RoomName] = []
    /// Texts of messages, and other events by type.
    var texts: [String] = []
    /// The messages among them, which tests number.
    var messages: [String] { texts.filter { Int($0) != nil } }
    var writes = 0
    /// Then it takes no more, until it is flushed.
    var becomesUnwritableAfterWrites = Int.max
    var flushes = 0

    init(_ user: String, wantsEcho: Bool = true) {
        self.user = UserName.of(user)
        self.wantsEcho = wantsEcho
    }

    func member(of room: RoomName) -> Member? { memberships[room] }
    func setMember(_ member: Member?, of room: RoomName) { memberships[room] = member }
    func write(_ frames: ByteBuffer) {
        writes += 1
        becomesUnwritableAfterWrites -= 1
        if becomesUnwritableAfterWrites == 0 { isWritable = false }
        var frames = frames
        while let payload = Self.nextPayload(&frames) {
            switch try? ServerMessage.parse(payload) {
            case .message(let message): texts.append(message.text ?? "?")
            case .userJoined(_, let user, let count): texts.append("+\(user) \(count)")
            case .userLeft(_, let user, let count): texts.append("-\(user) \(count)")
            case .count(_, let count): texts.append("count \(count)")
            case .rewind(_, let position): texts.append("rewind \(position)")
            case .gap(_, let after, let before): texts.append("gap \(after) \(before.map { "\($0)" } ?? "-")")
            case .typing(_, let user, _): texts.append("typing \(user)")
            case let other: texts.append("unexpected \(String(describing: other))")
            }
        }
    }

    func close(_ code: CloseCode, reason: String) { texts.append("closed \(code.rawValue)") }

    func flush() {
        flushes += 1
        if becomesUnwritableAfterWrites <= 0 { isWritable = true }
    }

    static func nextPayload(_ frames: inout ByteBuffer) -> ByteBuffer? {
        guard let head = frames.readInteger(as: UInt8.self), head == 0x81,
            let short = frames.readInteger(as: UInt8.self)
        else { return nil }
        let length: Int? =
            switch short {
            case 126: frames.readInteger(as: UInt16.self).map(Int.init)
            case 127: frames.readInteger(as: UInt64.self).map(Int.init)
            default: Int(short)
            }
        return length.flatMap { frames.readSlice(length: $0) }
    }
}

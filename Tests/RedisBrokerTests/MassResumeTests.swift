import ChatHub
import ChatProtocol
import Logging
import NIOCore
import TestSupport
import Testing

/// Who comes back rarely comes alone: a room's clients after a restart of their gateway, seen from Redis.
@Suite("Resuming in masses", .timeLimit(.minutes(2)))
struct MassResumeTests {
    private let missed = 40

    @Test func tenThousandThatComeBackAtOnceCostRedisAHandfulOfReadsAndTensOfEntries() async throws {
        try await withBrokers(1) { server, brokers in
            let store = brokers[0]
            let general = try room()
            let drafts = try (0..<missed).map { number in
                let (body, length) = StoredMessage.render(
                    room: general, user: try user("alice"), id: RequestID("\(number)"), to: nil,
                    content: Content(string: "message \(number)"))
                return Draft(body: body, identityLength: length, isRetry: false, exceptFor: nil)
            }
            let positions = [Position.zero] + (try await store.node.append(drafts, to: general).map(\.position))
            // The rings of recent frames begin empty: everything missed must come from the log.
            let hubs = try await hubs(of: store)
            try await server.command("CONFIG", "RESETSTAT")

            let crowds = try await withThrowingTaskGroup(of: Crowd.self) { group in
                for hub in hubs {
                    group.addTask { try await Crowd.comeBack(5_000, to: general, on: hub, from: positions).get() }
                }
                return try await group.reduce(into: [Crowd]()) { $0.append($1) }
            }
            for crowd in crowds {
                #expect(crowd.recovered == 5_000)
                // To the byte what followed its position, whatever others asked for.
                try await eventually("each has what it missed") {
                    let bytes = try await crowd.bytes(of: positions.count)
                    let isAlike = bytes.allSatisfy { $0.count == 1 }
                    let lengths = bytes.compactMap(\.first)
                    return isAlike && lengths.last == 0 && lengths == Array(Set(lengths)).sorted(by: >) ? true : nil
                }
                #expect(try await crowd.logReads <= 12)
            }
            let scripts = try await calls(of: "evalsha", in: server)
            // Presence goes in by five hundreds, and lives by heartbeats; the rest are pages of the log.
            #expect(scripts >= 2)
            #expect(scripts < 100)
            #expect(try await server.command("HLEN", "roost:{room}:sessions").hasPrefix("1000"))
        }
    }

    private func hubs(of store: TestBroker) async throws -> [LoopHub] {
        var settings = LoopHub.Settings()
        settings.catchUpSlice = 10
        settings.joinDeadline = .seconds(30)
        let directory = RoomDirectory(
            broker: store.broker, logger: Logger(label: "test", factory: { _ in SwiftLogNoOpLogHandler() }))
        var hubs: [LoopHub] = []
        for (index, loop) in store.loops.enumerated() {
            hubs.append(
                try await loop.submit { [settings] in
                    LoopHub(
                        eventLoop: loop, index: index, broker: store.broker, directory: directory, settings: settings,
                        clock: { 0 })
                }.get())
        }
        try await directory.start(hubs: hubs).get()
        return hubs
    }

    /// How often Redis has run a command since its counters began.
    private func calls(of command: String, in server: RedisServer) async throws -> Int {
        let page = try await server.command("INFO", "commandstats")
        let line = page.split(whereSeparator: \.isNewline).first { $0.hasPrefix("cmdstat_\(command):calls=") }
        return try require(
            line?.split(separator: "=")[1].split(separator: ",").first.flatMap { Int($0) }, "calls of \(command)")
    }
}

/// Sessions that came back to one loop.
private struct Crowd: Sendable {
    let hub: LoopHub
    let sessions: NIOLoopBound<[ReturningSession]>
    /// How many were told that they get everything that they missed.
    let recovered: Int

    /// Resumes so many in one turn of the loop, from each of the positions in turn.
    static func comeBack(
        _ count: Int, to room: RoomName, on hub: LoopHub, from positions: [Position]
    ) -> EventLoopFuture<Crowd> {
        let loop = hub.eventLoop
        return loop.flatSubmit {
            let sessions = (0..<count).map { _ in ReturningSession() }
            let joins = sessions.enumerated().map { index, session in
                let joined = loop.makePromise(of: Bool.self)
                let since = positions[index % positions.count]
                hub.join(room, session: session, replay: .since(since, limit: nil)) { result in
                    joined.completeWith(result.map { $0.recovered == true }.mapError { $0 as any Error })
                }
                return joined.futureResult
            }
            let bound = NIOLoopBound(sessions, eventLoop: loop)
            return EventLoopFuture.whenAllSucceed(joins, on: loop).map { answers in
                Crowd(hub: hub, sessions: bound, recovered: answers.count { $0 })
            }
        }
    }

    /// By the place in the log that they came back from: how many bytes they were sent.
    func bytes(of places: Int) async throws -> [Set<Int>] {
        try await hub.eventLoop.submit { [sessions] in
            let sessions = sessions.value
            return (0..<places).map { place in
                Set(stride(from: place, to: sessions.count, by: places).map { sessions[$0].bytes })
            }
        }.get()
    }

    var logReads: Int {
        get async throws { try await hub.eventLoop.submit { [hub] in hub.metrics.logReads }.get() }
    }
}

/// One of a user's many sessions, which are no news to anybody.
private final class ReturningSession: HubSession {
    let id = SessionID.random()
    let user = UserName.of("bob")
    let wantsEcho = true
    var isWritable: Bool { true }
    var isAwaitingFlush = false
    private(set) var memberships: RoomTable<Member> = [:]
    var lagging: [RoomName] = []
    private(set) var bytes = 0

    func member(of room: RoomName) -> Member? { memberships[room] }
    func setMember(_ member: Member?, of room: RoomName) { memberships[room] = member }
    func write(_ frames: ByteBuffer) { bytes += frames.readableBytes }
    func flush() {}
    func close(_ code: CloseCode, reason: String) {}
}

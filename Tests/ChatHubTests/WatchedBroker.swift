import ChatHub
import ChatProtocol
import NIOCore
import TestSupport

/// Stands before a broker: counts how often loops read logs, lets reads fail, and shows logs that no broker would make.
///
/// `@unchecked Sendable`: all loops of these tests run on the test's own thread.
final class WatchedBroker: Broker, @unchecked Sendable {
    private let broker: MemoryBroker
    private var faces: [ObjectIdentifier: WatchedCommands] = [:]
    /// Reads by sessions' loops: after a position, and of the latest.
    var reads: [Position] = []
    var latestReads = 0
    /// Whether reads fail.
    var isBroken = false
    /// Gives the directory the answers about heads of logs that are held back; nil when none are.
    var heldBack: [() -> Void]?
    /// The rooms whose logs the directory has asked about, call by call.
    var compared: [[RoomName]] = []
    /// What rooms' logs hold instead.
    var logs: [RoomName: ScriptedLog] = [:]

    init(_ broker: MemoryBroker) { self.broker = broker }

    var eventLoop: any EventLoop { broker.eventLoop }

    func commands(on loop: any EventLoop) -> any BrokerCommands {
        if let face = faces[ObjectIdentifier(loop)] { return face }
        let face = WatchedCommands(broker.commands(on: loop), on: loop, of: self)
        faces[ObjectIdentifier(loop)] = face
        return face
    }

    func setDelegate(_ delegate: any BrokerDelegate) { broker.setDelegate(delegate) }
    func subscribe(to room: RoomName) { broker.subscribe(to: room) }
    func unsubscribe(from room: RoomName) { broker.unsubscribe(from: room) }
}

/// Entries of one log, with whatever holes, in pages of a few.
struct ScriptedLog {
    var entries: [LogEntry]
    /// A page ends after so many, whatever was asked for.
    var pageLength = Int.max

    init(_ positions: [Position], in room: RoomName, pageLength: Int = .max) {
        entries = positions.map { position in
            let (body, _) = StoredMessage.render(
                room: room, user: .of("alice"), id: nil, to: nil, content: Content(string: "\(position)"))
            return LogEntry(position: position, time: 1, body: body)
        }
        self.pageLength = pageLength
    }

    private var head: Position { entries.last?.position ?? .zero }

    func slice(after position: Position, limit: Int) -> LogSlice {
        let rest = entries.filter { $0.position > position }
        let page = Array(rest.prefix(min(limit, pageLength)))
        return LogSlice(
            after: position, floor: entries.last { $0.position <= position }?.position, entries: page,
            hasMore: page.count < rest.count, head: head)
    }

    func latest(_ limit: Int) -> LogSlice {
        let page = Array(entries.suffix(min(limit, pageLength)))
        return LogSlice(entries: page, isComplete: true, hasMore: page.count < entries.count, head: head)
    }
}

private final class WatchedCommands: BrokerCommands {
    private let commands: any BrokerCommands
    private let loop: any EventLoop
    private unowned let broker: WatchedBroker

    init(_ commands: any BrokerCommands, on loop: any EventLoop, of broker: WatchedBroker) {
        self.commands = commands
        self.loop = loop
        self.broker = broker
    }

    /// The directory's own reads are not counted.
    private var isWatched: Bool { loop !== broker.eventLoop }

    /// Answers later, as a store does.
    private func answer(_ slice: LogSlice) -> EventLoopFuture<LogSlice> { loop.submit { slice } }

    private var failure: EventLoopFuture<LogSlice> {
        loop.makeFailedFuture(BrokerError(code: .unavailable, message: "broken"))
    }

    func read(_ room: RoomName, after position: Position, limit: Int) -> EventLoopFuture<LogSlice> {
        if isWatched { broker.reads.append(position) }
        if isWatched, broker.isBroken { return failure }
        if let log = broker.logs[room] { return answer(log.slice(after: position, limit: limit)) }
        return commands.read(room, after: position, limit: limit)
    }

    func readLatest(_ room: RoomName, before position: Position?, limit: Int) -> EventLoopFuture<LogSlice> {
        if isWatched { broker.latestReads += 1 }
        if isWatched, broker.isBroken { return failure }
        if let log = broker.logs[room] { return answer(log.latest(limit)) }
        return commands.readLatest(room, before: position, limit: limit)
    }

    func ends(of logs: [ExpectedEnd]) -> EventLoopFuture<[LogEnd]> {
        if !isWatched { broker.compared.append(logs.map(\.room)) }
        if !isWatched, broker.heldBack != nil {
            let promise = loop.makePromise(of: [LogEnd].self)
            broker.heldBack?.append { [commands] in promise.completeWith(commands.ends(of: logs)) }
            return promise.futureResult
        }
        let scripted = logs.map { broker.logs[$0.room]?.latest(1).head }
        return commands.ends(of: logs).map { ends in
            zip(ends, scripted).map { end, head in head.map { .at($0) } ?? end }
        }
    }

    func restore(_ tail: [LogEntry], after previous: Position?, to room: RoomName) -> EventLoopFuture<Restoration> {
        commands.restore(tail, after: previous, to: room)
    }

    func append(
        _ draft: Draft, to room: RoomName, known: Position,
        completion: @escaping (Result<Receipt, BrokerError>) -> Void
    ) {
        commands.append(draft, to: room, known: known, completion: completion)
    }

    func announce(_ event: ByteBuffer, from origin: SessionID, in room: RoomName) {
        commands.announce(event, from: origin, in: room)
    }

    func enter(_ room: RoomName, session: SessionID, user: UserName) -> EventLoopFuture<Roster> {
        commands.enter(room, session: session, user: user)
    }

    func leave(_ room: RoomName, session: SessionID) { commands.leave(room, session: session) }

    func roster(of room: RoomName, limit: Int) -> EventLoopFuture<Roster> { commands.roster(of: room, limit: limit) }

    func members(of room: RoomName, after user: UserName?, limit: Int) -> EventLoopFuture<Roster> {
        commands.members(of: room, after: user, limit: limit)
    }
}

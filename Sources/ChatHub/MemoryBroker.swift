package import ChatProtocol
package import NIOCore

/// The broker of a server that runs alone: rooms, logs and presence in this process's memory, gone when it ends.
///
/// `@unchecked Sendable`: everything is confined to ``eventLoop``, where commands hop and from where their answers hop back,
/// but for the table of commands, which is complete when the initializer ends.
package final class MemoryBroker: ModeratedBroker, @unchecked Sendable {
    package struct Settings: Sendable {
        /// Messages kept per room.
        package var historyMessages = 10_000
        /// How long the log of a room without members outlives its last message.
        package var historyAge: TimeAmount = .hours(24)
        /// How long the identity of a retried message is remembered apart from the log.
        package var retryMemory: TimeAmount = .minutes(5)
        /// In one room, of all users together; 0: no limit.
        package var messagesPerSecond = 0
        /// Of one user, of those that take a seat; 0: no limit.
        package var sessionsPerUser = 0

        package init() {}
    }

    package let eventLoop: any EventLoop
    private let store: MemoryStore
    private var commandsByLoop: [ObjectIdentifier: MemoryCommands] = [:]
    private let orders: MemoryOrders
    private var delegate: (any BrokerDelegate)?
    private var subscriptions: Set<RoomName> = []
    private var unconfirmed: [RoomName] = []
    private var isFlushScheduled = false

    /// - Parameters:
    ///   - loops: every loop whose sessions will use the broker.
    ///   - clock: milliseconds since 1970.
    package init(
        eventLoop: any EventLoop, loops: [any EventLoop], settings: Settings = Settings(),
        clock: @escaping @Sendable () -> UInt64
    ) {
        self.eventLoop = eventLoop
        store = MemoryStore(settings: settings, clock: clock)
        orders = MemoryOrders(clock: clock)
        for loop in loops + [eventLoop] {
            commandsByLoop[ObjectIdentifier(loop)] = MemoryCommands(loop: loop, broker: self)
        }
    }

    package var moderation: any ModerationStore { MemoryModeration(broker: self, orders: orders) }

    package func commands(on loop: any EventLoop) -> any BrokerCommands {
        guard let commands = commandsByLoop[ObjectIdentifier(loop)] else {
            preconditionFailure("the broker was not made for this loop")
        }
        return commands
    }

    package func setDelegate(_ delegate: any BrokerDelegate) {
        eventLoop.assertInEventLoop()
        self.delegate = delegate
        delegate.statusChanged(to: .available)
    }

    package func subscribe(to room: RoomName) {
        eventLoop.assertInEventLoop()
        guard subscriptions.insert(room).inserted else { return }
        unconfirmed.append(room)
        scheduleFlush()
    }

    package func unsubscribe(from room: RoomName) {
        eventLoop.assertInEventLoop()
        subscriptions.remove(room)
    }

    /// Runs on the store's loop, then hands on what was published.
    func perform<Value>(_ body: (MemoryStore) throws -> Value) rethrows -> Value {
        eventLoop.assertInEventLoop()
        let value = try body(store)
        for (room, publication) in store.takePublications() where subscriptions.contains(room) {
            delegate?.received(publication, in: room)
        }
        scheduleFlush()
        return value
    }

    private func scheduleFlush() {
        guard !isFlushScheduled else { return }
        isFlushScheduled = true
        eventLoop.execute { [self] in
            isFlushScheduled = false
            let confirmed = unconfirmed.filter(subscriptions.contains)
            unconfirmed = []
            if !confirmed.isEmpty { delegate?.subscribed(to: confirmed) }
            delegate?.receivedAllForNow()
        }
    }
}

/// The face of a memory broker on one loop.
private final class MemoryCommands: BrokerCommands, Sendable {
    private let loop: any EventLoop
    private unowned let broker: MemoryBroker

    init(loop: any EventLoop, broker: MemoryBroker) {
        self.loop = loop
        self.broker = broker
    }

    func append(
        _ draft: Draft, to room: RoomName, known: Position,
        completion: @escaping (Result<Receipt, BrokerError>) -> Void
    ) {
        let answer = NIOLoopBound(completion, eventLoop: loop)
        broker.eventLoop.execute { [broker, loop] in
            let receipt = broker.perform { $0.append(draft, to: room, known: known) }
            loop.execute { answer.value(receipt) }
        }
    }

    func announce(_ event: ByteBuffer, from origin: SessionID, in room: RoomName) {
        submit { $0.publish(.signal(event, origin: origin), in: room) }
    }

    func read(_ room: RoomName, after position: Position, limit: Int) -> EventLoopFuture<LogSlice> {
        answer { $0.read(room, after: position, limit: limit) }
    }

    func readLatest(_ room: RoomName, before position: Position?, limit: Int) -> EventLoopFuture<LogSlice> {
        answer { $0.readLatest(room, before: position, limit: limit) }
    }

    func ends(of logs: [ExpectedEnd]) -> EventLoopFuture<[LogEnd]> {
        answer { store in
            logs.map { log in
                let head = store.head(of: log.room)
                return head == log.position ? .asExpected : .at(head)
            }
        }
    }

    func restore(_ tail: [LogEntry], after previous: Position?, to room: RoomName) -> EventLoopFuture<Restoration> {
        answer { $0.restore(tail, after: previous, to: room) }
    }

    func enter(_ room: RoomName, session: SessionID, user: UserName) -> EventLoopFuture<Roster> {
        answer { try $0.enter(room, session: session, user: user) }
    }

    func leave(_ room: RoomName, session: SessionID) {
        submit { $0.leave(room, session: session) }
    }

    func members(of room: RoomName, after user: UserName?, limit: Int) -> EventLoopFuture<Roster> {
        answer { $0.members(of: room, after: user, limit: limit) }
    }

    func roster(of room: RoomName, limit: Int) -> EventLoopFuture<Roster> {
        answer { $0.roster(of: room, limit: limit) }
    }

    private func submit(_ body: @escaping @Sendable (MemoryStore) -> Void) {
        broker.eventLoop.execute { [broker] in broker.perform(body) }
    }

    private func answer<Value: Sendable>(
        _ body: @escaping @Sendable (MemoryStore) throws -> Value
    ) -> EventLoopFuture<Value> {
        broker.eventLoop.submit { [broker] in try broker.perform(body) }.hop(to: loop)
    }
}

package import ChatHub
package import ChatProtocol
package import NIOCore
import NIOPosix

/// A broker as a test speaks to it: from outside its loops, waiting for answers.
package struct BrokerNode: Sendable {
    package let broker: any Broker
    package let listener: BrokerListener
    /// The loop whose commands are used.
    package let loop: any EventLoop

    /// Becomes the broker's delegate.
    package init(_ broker: any Broker, commandsOn loop: (any EventLoop)? = nil) async throws {
        let listener = BrokerListener()
        self.broker = broker
        self.listener = listener
        self.loop = loop ?? broker.eventLoop
        try await broker.eventLoop.submit { broker.setDelegate(listener) }.get()
    }

    private init(broker: any Broker, listener: BrokerListener, loop: any EventLoop) {
        self.broker = broker
        self.listener = listener
        self.loop = loop
    }

    /// The same broker and listener, with the commands of another loop.
    package func on(_ loop: any EventLoop) -> BrokerNode { BrokerNode(broker: broker, listener: listener, loop: loop) }

    package func subscribe(to room: RoomName) async throws {
        try await broker.eventLoop.submit { [broker] in broker.subscribe(to: room) }.get()
        try await listener.hearsSubscribed(to: room)
    }

    package func unsubscribe(from room: RoomName) async throws {
        try await broker.eventLoop.submit { [broker] in broker.unsubscribe(from: room) }.get()
    }

    /// Appends all of them in one turn of the loop.
    package func append(
        _ drafts: [Draft], to room: RoomName, known: Position = .zero
    ) async throws -> [Receipt] {
        try await loop.flatSubmit { [broker, loop] in
            let commands = broker.commands(on: loop)
            let answers = drafts.map { draft in
                let promise = loop.makePromise(of: Receipt.self)
                commands.append(draft, to: room, known: known) { result in
                    switch result {
                    case .success(let receipt): promise.succeed(receipt)
                    case .failure(let error): promise.fail(error)
                    }
                }
                return promise.futureResult
            }
            return EventLoopFuture.whenAllSucceed(answers, on: loop)
        }.get()
    }

    package func append(_ draft: Draft, to room: RoomName, known: Position = .zero) async throws -> Receipt {
        guard let receipt = try await append([draft], to: room, known: known).first else {
            throw Impatience(description: "no receipt")
        }
        return receipt
    }

    package func announce(_ event: String, from origin: SessionID, in room: RoomName) async throws {
        try await loop.submit { [broker, loop] in
            broker.commands(on: loop).announce(ByteBuffer(string: event), from: origin, in: room)
        }.get()
    }

    package func read(_ room: RoomName, after position: Position, limit: Int = 1_000) async throws -> LogSlice {
        try await loop.flatSubmit { [broker, loop] in
            broker.commands(on: loop).read(room, after: position, limit: limit)
        }.get()
    }

    package func readLatest(
        _ room: RoomName, before position: Position? = nil, limit: Int = 1_000
    ) async throws -> LogSlice {
        try await loop.flatSubmit { [broker, loop] in
            broker.commands(on: loop).readLatest(room, before: position, limit: limit)
        }.get()
    }

    package func ends(of logs: [ExpectedEnd]) async throws -> [LogEnd] {
        try await loop.flatSubmit { [broker, loop] in broker.commands(on: loop).ends(of: logs) }.get()
    }

    package func head(of room: RoomName) async throws -> Position {
        guard case .at(let head) = try await ends(of: [ExpectedEnd(room: room, position: nil)]).first else {
            throw Impatience(description: "the end of the log is not known")
        }
        return head
    }

    package func restore(
        _ tail: [LogEntry], after previous: Position? = nil, to room: RoomName
    ) async throws -> Restoration {
        try await loop.flatSubmit { [broker, loop] in
            broker.commands(on: loop).restore(tail, after: previous, to: room)
        }.get()
    }

    package func enter(_ room: RoomName, _ session: SessionID, _ user: UserName) async throws -> Roster {
        try await loop.flatSubmit { [broker, loop] in
            broker.commands(on: loop).enter(room, session: session, user: user)
        }.get()
    }

    package func leave(_ room: RoomName, _ session: SessionID) async throws {
        try await loop.submit { [broker, loop] in broker.commands(on: loop).leave(room, session: session) }.get()
    }

    package func members(of room: RoomName, after user: UserName? = nil, limit: Int = 100) async throws -> Roster {
        try await loop.flatSubmit { [broker, loop] in
            broker.commands(on: loop).members(of: room, after: user, limit: limit)
        }.get()
    }
}

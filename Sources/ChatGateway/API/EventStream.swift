import ChatHub
import ChatProtocol
import NIOCore

/// A member of a room that listens by Server-Sent Events (the HTML standard, section 9.2). Confined to its loop.
final class EventStream: HubSession {
    let id = SessionID.random()
    let identity: Identity
    let openedAt = NIODeadline.now()
    let wantsEcho = true
    var isAwaitingFlush = false
    private var member: Member?
    var lagging: [RoomName] = []
    /// Where it stands in the registry.
    var registryIndex = 0

    let room: RoomName
    private let hub: LoopHub
    /// Bytes that may wait for the client before it is no longer written to.
    private let bufferLimit: Int
    private let grace: TimeAmount
    private var pending = ByteBuffer()
    private var reader: EventLoopPromise<ByteBuffer?>?
    private var heartbeat: Scheduled<Void>?
    private var ending: Scheduled<Void>?
    private(set) var hasEnded = false
    /// Something was not taken at the last beat, and nothing since.
    private var isWaiting = false
    private let onEnd: (EventStream) -> Void

    /// - Parameters:
    ///   - grace: how long the listener still counts as present when it has ended.
    ///   - onEnd: called once.
    init(
        identity: Identity, room: RoomName, hub: LoopHub, bufferLimit: Int = 64 * 1024, grace: TimeAmount,
        onEnd: @escaping (EventStream) -> Void
    ) {
        self.identity = identity
        self.room = room
        self.hub = hub
        self.bufferLimit = bufferLimit
        self.grace = grace
        self.onEnd = onEnd
    }

    var user: UserName { identity.user }

    func member(of room: RoomName) -> Member? { room == self.room ? member : nil }

    func setMember(_ member: Member?, of room: RoomName) { self.member = member }

    // MARK: Life

    /// - Parameters:
    ///   - since: resume after this position.
    ///   - heartbeat: between two comments.
    ///   - lifetime: after which the stream ends; nil: never.
    func start(since: Position?, heartbeat interval: TimeAmount, lifetime: TimeAmount?) -> EventLoopFuture<Void> {
        hub.eventLoop.assertInEventLoop()
        let joined = hub.eventLoop.makePromise(of: Void.self)
        hub.join(room, session: self, replay: since.map { .since($0, limit: nil) } ?? .none) { [self] result in
            switch result {
            case .failure(let error):
                end()
                joined.fail(HTTPRefusal(error, room: room))
            case .success(let outcome):
                said(outcome, since: since)
                joined.succeed()
            }
        }
        beat(every: interval)
        if let lifetime {
            ending = hub.eventLoop.assumeIsolated().scheduleTask(in: lifetime) { [weak self] in self?.end() }
        }
        return joined.futureResult
    }

    /// A comment now and then keeps what is in between from taking the stream for dead, and finds out who has gone.
    private func beat(every interval: TimeAmount) {
        guard !hasEnded else { return }
        heartbeat = hub.eventLoop.assumeIsolated().scheduleTask(in: interval) { [weak self] in
            guard let self else { return }
            // What waited at the last beat and still does waits for nobody: the request may have gone before its answer.
            if pending.readableBytes > 0, isWaiting { return end() }
            isWaiting = pending.readableBytes > 0
            append(":\n\n")
            beat(every: interval)
        }
    }

    private func said(_ outcome: JoinOutcome, since: Position?) {
        var json = ByteBuffer()
        ServerMessage.joined(
            Joined(
                id: nil, room: room, position: outcome.position, recovered: outcome.recovered,
                members: outcome.roster?.members, count: outcome.roster?.count)
        ).write(into: &json)
        let isReplayed = since.map { $0 != outcome.position } ?? false
        pending.writeEvent("joined", json, id: isReplayed ? nil : outcome.position.description)
        deliver()
    }

    /// Ends the stream, and with it the membership.
    ///
    /// - Parameter retry: after how long the client may come back.
    func end(retry: TimeAmount? = nil) {
        hub.eventLoop.assertInEventLoop()
        guard !hasEnded else { return }
        if let retry { append("retry: \(retry.nanoseconds / 1_000_000)\n\n") }
        hasEnded = true
        heartbeat?.cancel()
        ending?.cancel()
        hub.leave(room, session: self, grace: grace)
        reader?.succeed(pending.readableBytes > 0 ? pending : nil)
        if reader != nil { pending.clear() }
        reader = nil
        onEnd(self)
    }

    // MARK: What the client takes

    /// The next piece; nil at the end.
    func next() -> EventLoopFuture<ByteBuffer?> {
        hub.eventLoop.assertInEventLoop()
        isWaiting = false
        if pending.readableBytes > 0 {
            let piece = pending
            pending = ByteBuffer()
            if !hasEnded { hub.writable(self) }
            return hub.eventLoop.makeSucceededFuture(piece)
        }
        if hasEnded { return hub.eventLoop.makeSucceededFuture(nil) }
        let promise = hub.eventLoop.makePromise(of: ByteBuffer?.self)
        reader?.succeed(nil)
        reader = promise
        return promise.futureResult
    }

    private func append(_ text: String) {
        guard !hasEnded else { return }
        pending.writeString(text)
        deliver()
    }

    private func deliver() {
        guard let reader, pending.readableBytes > 0 else { return }
        self.reader = nil
        let piece = pending
        pending = ByteBuffer()
        reader.succeed(piece)
    }

    // MARK: HubSession

    var isWritable: Bool { !hasEnded && pending.readableBytes < bufferLimit }

    func write(_ frames: ByteBuffer) {
        guard !hasEnded else { return }
        var frames = frames
        while let json = TextFrame.readPayload(from: &frames) {
            guard let type = StreamedEvent(json) else { continue }
            pending.writeEvent(type.name, json, id: type.position)
        }
    }

    func flush() { deliver() }

    /// Later, as the hub may be in the middle of its members.
    func close(_ code: CloseCode, reason: String) {
        hub.eventLoop.assumeIsolated().execute { [self] in end(retry: code.shouldReconnect ? .seconds(1) : nil) }
    }
}

/// The events that listeners get.
private struct StreamedEvent {
    var name: String
    /// Of a message.
    var position: String?

    /// - Returns: nil for events that only sockets get.
    init?(_ json: ByteBuffer) {
        let view = json.readableBytesView
        for name in ["message", "gap", "rewind"] where view.starts(with: "{\"type\":\"\(name)\"".utf8) {
            self.name = name
            // Where the node writes it, right after the type.
            let head = "{\"type\":\"message\",\"position\":\""
            if name == "message", view.starts(with: head.utf8) {
                position = String(
                    decoding: view.dropFirst(head.utf8.count).prefix { $0 != UInt8(ascii: "\"") }, as: UTF8.self)
            }
            return
        }
        return nil
    }
}

extension ByteBuffer {
    /// One event. Line ends within the JSON are white space there, and would end the field.
    fileprivate mutating func writeEvent(_ name: String, _ json: ByteBuffer, id: String?) {
        if let id { writeString("id: \(id)\n") }
        writeString("event: \(name)\ndata: ")
        let lineEnds: Set<UInt8> = [UInt8(ascii: "\r"), UInt8(ascii: "\n")]
        if json.readableBytesView.contains(where: { lineEnds.contains($0) }) {
            writeBytes(json.readableBytesView.map { lineEnds.contains($0) ? UInt8(ascii: " ") : $0 })
        } else {
            writeImmutableBuffer(json)
        }
        writeString("\n\n")
    }
}

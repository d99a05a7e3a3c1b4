import ChatProtocol
import NIOCore
import NIOHTTP1
import NIOPosix
import NIOWebSocket

/// Nodes that share their rooms, all in one place, and keep their promises only as far as a test wants.
final class FakeCluster: Sendable {
    /// What becomes of a message on its way to a member.
    enum Fate: Sendable {
        case arrives, lost, doubled
        /// Lost, and the member is told by `gap`.
        case told
        /// It comes behind the next one.
        case late
        /// It comes with the position of another.
        case elsewhere
    }

    /// A message on its way.
    struct Delivery: Sendable {
        /// The number of the member in the run.
        var client: Int
        var seq: UInt64
        /// To a member that has come back.
        var isReplay: Bool
    }

    struct Behaviour: Sendable {
        var fate: @Sendable (Delivery) -> Fate = { _ in .arrives }
        /// Whether a message that is acknowledged is stored at all.
        var stores: @Sendable (_ seq: UInt64) -> Bool = { _ in true }
        /// Whether it is acknowledged.
        var acknowledges: @Sendable (_ seq: UInt64) -> Bool = { _ in true }
        /// What a member that comes back is told.
        var recovered = true
        /// Messages with these numbers are refused.
        var refuses: @Sendable (_ seq: UInt64) -> Bool = { _ in false }
    }

    let urls: [String]

    private init(urls: [String]) {
        self.urls = urls
    }

    static func run<Value: Sendable>(
        nodes: Int = 2, _ behaviour: Behaviour = Behaviour(), _ work: (FakeCluster) async throws -> Value
    ) async throws -> Value {
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        let loop = group.any()
        let house = try await loop.submit { NIOLoopBound(FakeHouse(behaviour), eventLoop: loop) }.get()
        do {
            var urls: [String] = []
            for number in 1...nodes {
                let listener = try await listen(on: group, node: "fake-\(number)", house)
                urls.append("ws://127.0.0.1:\(listener.localAddress?.port ?? 0)/ws")
            }
            let value = try await work(FakeCluster(urls: urls))
            try await group.shutdownGracefully()
            return value
        } catch {
            try await group.shutdownGracefully()
            throw error
        }
    }

    private static func listen(
        on group: any EventLoopGroup, node: String, _ house: NIOLoopBound<FakeHouse>
    ) async throws -> any Channel {
        try await ServerBootstrap(group: group)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    let upgrader = NIOWebSocketServerUpgrader(
                        shouldUpgrade: { channel, _ in channel.eventLoop.makeSucceededFuture([:]) },
                        upgradePipelineHandler: { channel, request in
                            channel.eventLoop.makeCompletedFuture {
                                let user = request.uri.split(separator: "user=").last.map(String.init) ?? ""
                                guard let session = FakeSession(user: user, node: node, house: house.value) else {
                                    throw ChannelError.inappropriateOperationForState
                                }
                                try channel.pipeline.syncOperations.addHandler(session)
                            }
                        })
                    try channel.pipeline.syncOperations.configureHTTPServerPipeline(
                        withServerUpgrade: (upgraders: [upgrader], completionHandler: { _ in }))
                }
            }
            .bind(host: "127.0.0.1", port: 0).get()
    }
}

/// The rooms; confined to the one loop.
private final class FakeHouse {
    struct Entry {
        var body: ByteBuffer
        var seq: UInt64
        var id: RequestID
    }

    struct Room {
        var log: [Entry] = []
        var members: [FakeSession] = []
        var last: UInt64 = 0
    }

    let behaviour: FakeCluster.Behaviour
    private var rooms: [RoomName: Room] = [:]

    init(_ behaviour: FakeCluster.Behaviour) {
        self.behaviour = behaviour
    }

    func join(_ room: RoomName, _ session: FakeSession, since: Position?, id: RequestID?) {
        let here = rooms[room] ?? Room()
        rooms[room, default: Room()].members.append(session)
        session.send(
            .joined(
                Joined(
                    id: id, room: room, position: Position(epoch: 1, seq: here.last),
                    recovered: since == nil ? nil : behaviour.recovered,
                    members: here.members.map(\.user) + [session.user], count: here.members.count + 1)))
        guard let since else { return }
        for entry in here.log where entry.seq > since.seq { session.deliver(entry, in: room, isReplay: true) }
    }

    func post(_ post: Post, from session: FakeSession) {
        guard let id = post.id else { return }
        if post.isRetry, let known = rooms[post.room]?.log.first(where: { $0.id == id }) {
            return acknowledge(id, in: post.room, at: known.seq, to: session)
        }
        let seq = (rooms[post.room]?.last ?? 0) + 1
        rooms[post.room, default: Room()].last = seq
        if behaviour.refuses(seq) {
            return session.send(.error(Refusal(code: .rateLimited, message: "too fast", id: id, room: post.room)))
        }
        if behaviour.acknowledges(seq) { acknowledge(id, in: post.room, at: seq, to: session) }
        guard behaviour.stores(seq) else { return }
        let (body, _) = StoredMessage.render(
            room: post.room, user: session.user, id: id, to: nil, content: post.content)
        let entry = Entry(body: body, seq: seq, id: id)
        rooms[post.room]?.log.append(entry)
        for member in rooms[post.room]?.members ?? [] { member.deliver(entry, in: post.room, isReplay: false) }
    }

    private func acknowledge(_ id: RequestID, in room: RoomName, at seq: UInt64, to session: FakeSession) {
        session.send(.ack(Ack(id: id, room: room, position: Position(epoch: 1, seq: seq), time: 1)))
    }

    func end(_ session: FakeSession) {
        for room in rooms.keys { rooms[room]?.members.removeAll { $0 === session } }
    }
}

/// One connection.
private final class FakeSession: ChannelInboundHandler {
    typealias InboundIn = WebSocketFrame
    typealias OutboundOut = WebSocketFrame

    let user: UserName
    private let client: Int
    private let node: String
    private let house: FakeHouse
    private var context: ChannelHandlerContext?
    private var late: ByteBuffer?

    init?(user: String, node: String, house: FakeHouse) {
        // load-RUN-uNUMBER
        guard let name = UserName(user), let client = user.split(separator: "u").last.flatMap({ Int($0) }) else {
            return nil
        }
        self.user = name
        self.client = client
        self.node = node
        self.house = house
    }

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        send(
            .welcome(
                Welcome(
                    session: "s", user: user, node: node, heartbeat: 25, maxMessageBytes: 16384, limits: .init())))
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let frame = unwrapInboundIn(data)
        switch frame.opcode {
        case .connectionClose: context.close(promise: nil)
        case .text:
            // In a turn of its own: a write that fails can make the loop read from within, and so in between.
            let bound = NIOLoopBound((session: self, text: frame.unmaskedData), eventLoop: context.eventLoop)
            context.eventLoop.execute { bound.value.session.handle(bound.value.text) }
        default: break
        }
    }

    private func handle(_ text: ByteBuffer) {
        switch ClientMessage.parse(text) {
        case .success(.join(let id, let room, _)):
            house.join(room, self, since: nil, id: id)
        case .success(.resume(let id, let rooms, _)):
            for room in rooms { house.join(room.room, self, since: room.since, id: id) }
        case .success(.message(let post)):
            house.post(post, from: self)
        default:
            break
        }
    }

    func deliver(_ entry: FakeHouse.Entry, in room: RoomName, isReplay: Bool) {
        let delivery = FakeCluster.Delivery(client: client, seq: entry.seq, isReplay: isReplay)
        switch house.behaviour.fate(delivery) {
        case .lost:
            break
        case .told:
            send(
                .gap(
                    room: room, after: Position(epoch: 1, seq: entry.seq - 1),
                    before: Position(epoch: 1, seq: entry.seq + 1)))
        case .late:
            late = event(entry, at: entry.seq)
            return
        case .doubled:
            write(event(entry, at: entry.seq))
            write(event(entry, at: entry.seq))
        case .elsewhere:
            write(event(entry, at: entry.seq + 1000))
        case .arrives:
            write(event(entry, at: entry.seq))
        }
        if let late { write(late) }
        late = nil
    }

    private func event(_ entry: FakeHouse.Entry, at seq: UInt64) -> ByteBuffer {
        var text = ByteBuffer()
        StoredMessage.write(entry.body, position: Position(epoch: 1, seq: seq), time: 1, into: &text)
        return text
    }

    func send(_ message: ServerMessage) {
        var text = ByteBuffer()
        message.write(into: &text)
        write(text)
    }

    private func write(_ text: ByteBuffer) {
        context?.writeAndFlush(wrapOutboundOut(WebSocketFrame(fin: true, opcode: .text, data: text)), promise: nil)
    }

    func channelInactive(context: ChannelHandlerContext) {
        house.end(self)
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        self.context = nil
    }
}

import ChatProtocol
import NIOCore
import NIOHTTP1
import NIOPosix
import NIOWebSocket
import Synchronization
import Testing

/// A server that says what a test tells it to say, over real sockets.
final class ScriptedNode: Sendable {
    private let channel: any Channel
    private let connections: Mailbox<ScriptedConnection>
    private let refusals: Refusals
    let url: String

    static func start() async throws -> ScriptedNode {
        let connections = Mailbox<ScriptedConnection>()
        let refusals = Refusals()
        let channel = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    let upgrader = NIOWebSocketServerUpgrader(
                        maxFrameSize: 1 << 20,
                        shouldUpgrade: { channel, _ in
                            let isRefused = refusals.waiting.withLock { !$0.isEmpty }
                            return channel.eventLoop.makeSucceededFuture(isRefused ? nil : [:])
                        },
                        upgradePipelineHandler: { channel, request in
                            let connection = ScriptedConnection(
                                channel: channel, uri: request.uri, headers: request.headers)
                            return channel.eventLoop.makeCompletedFuture {
                                let pipeline = channel.pipeline.syncOperations
                                pipeline.removeHandler(try pipeline.handler(type: Refuser.self), promise: nil)
                                try pipeline.addHandler(Listener(connection))
                                connections.put(connection)
                            }
                        })
                    try channel.pipeline.syncOperations.configureHTTPServerPipeline(
                        withServerUpgrade: (upgraders: [upgrader], completionHandler: { _ in }))
                    try channel.pipeline.syncOperations.addHandler(Refuser(refusals))
                }
            }
            .bind(host: "127.0.0.1", port: 0).get()
        return ScriptedNode(channel: channel, connections: connections, refusals: refusals)
    }

    private init(channel: any Channel, connections: Mailbox<ScriptedConnection>, refusals: Refusals) {
        self.channel = channel
        self.connections = connections
        self.refusals = refusals
        url = "ws://127.0.0.1:\(channel.localAddress?.port ?? 0)/ws"
    }

    /// The next connection that a client made, before any welcome.
    func connection() async -> ScriptedConnection {
        await connections.take()
    }

    /// The next connection, welcomed and in its inbox.
    func welcomed(
        user: String = "alice", node: String = "node-1", inbox: Position = Position(epoch: 1, seq: 0),
        maxMessageBytes: Int = 16384
    ) async throws -> ScriptedConnection {
        let connection = await connections.take()
        let name = try #require(UserName(user))
        connection.send(
            .welcome(
                Welcome(
                    session: "s", user: name, node: node, heartbeat: 25, maxMessageBytes: maxMessageBytes,
                    limits: .init())))
        connection.send(.joined(Joined(id: nil, room: RoomName(inboxOf: name), position: inbox)))
        return connection
    }

    /// The next handshake is answered so.
    func refuseNext(status: Int, headers: [(String, String)] = [], body: String = "") {
        refusals.waiting.withLock { $0.append(Refusals.Refusal(status: status, headers: headers, body: body)) }
    }

    func stop() async throws {
        try await channel.close()
    }
}

/// What a scripted node hears on one connection, and can say there.
final class ScriptedConnection: Sendable {
    enum Heard: Sendable, Equatable {
        case said(ClientMessage)
        case pong(String)
        case closed(UInt16?)
        case ended
    }

    private let channel: any Channel
    let uri: String
    let headers: HTTPHeaders
    fileprivate let heard = Mailbox<Heard>()

    fileprivate init(channel: any Channel, uri: String, headers: HTTPHeaders) {
        self.channel = channel
        self.uri = uri
        self.headers = headers
    }

    func hear() async -> Heard {
        await heard.take()
    }

    func send(_ messages: ServerMessage...) {
        for message in messages {
            var text = ByteBuffer()
            message.write(into: &text)
            channel.write(WebSocketFrame(fin: true, opcode: .text, data: text), promise: nil)
        }
        channel.flush()
    }

    func send(frame: WebSocketFrame) {
        channel.writeAndFlush(frame, promise: nil)
    }

    func close(_ code: UInt16) {
        var data = ByteBuffer()
        data.writeInteger(code)
        channel.writeAndFlush(WebSocketFrame(fin: true, opcode: .connectionClose, data: data), promise: nil)
    }

    /// Ends TCP without a word.
    func cut() {
        channel.close(promise: nil)
    }
}

private final class Listener: ChannelInboundHandler {
    typealias InboundIn = WebSocketFrame

    private let connection: ScriptedConnection

    init(_ connection: ScriptedConnection) {
        self.connection = connection
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let frame = unwrapInboundIn(data)
        var payload = frame.unmaskedData
        switch frame.opcode {
        case .text:
            if case .success(let message) = ClientMessage.parse(payload) { connection.heard.put(.said(message)) }
        case .pong:
            connection.heard.put(.pong(String(buffer: payload)))
        case .connectionClose:
            connection.heard.put(.closed(payload.readInteger()))
            context.close(promise: nil)
        default:
            break
        }
    }

    func channelInactive(context: ChannelHandlerContext) {
        connection.heard.put(.ended)
    }
}

private final class Refusals: Sendable {
    struct Refusal {
        var status: Int
        var headers: [(String, String)]
        var body: String
    }

    let waiting = Mutex<[Refusal]>([])
}

private final class Refuser: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = HTTPServerRequestPart
    typealias OutboundOut = HTTPServerResponsePart

    private let refusals: Refusals

    init(_ refusals: Refusals) {
        self.refusals = refusals
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard case .end = unwrapInboundIn(data) else { return }
        let refusal = refusals.waiting.withLock { $0.isEmpty ? nil : $0.removeFirst() }
        guard let refusal else { return context.close(promise: nil) }
        var headers = HTTPHeaders(refusal.headers)
        headers.add(name: "Content-Length", value: "\(refusal.body.utf8.count)")
        let head = HTTPResponseHead(version: .http1_1, status: .init(statusCode: refusal.status), headers: headers)
        context.write(wrapOutboundOut(.head(head)), promise: nil)
        context.write(wrapOutboundOut(.body(.byteBuffer(ByteBuffer(string: refusal.body)))), promise: nil)
        context.writeAndFlush(wrapOutboundOut(.end(nil)), promise: nil)
    }
}

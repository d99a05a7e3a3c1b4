import ChatProtocol
import NIOCore
import NIOHTTP1
import NIOPosix
import NIOWebSocket
import Testing

@testable import ChatClient

@Suite("The handshake", .timeLimit(.minutes(1)))
struct HandshakeTests {
    @Test(
        "A welcome in one packet with the answer is read, and what it makes the client say leaves at once, however much",
        arguments: [1, 5])
    func onePacket(messages: Int) async throws {
        let heard = Mailbox<Void>()
        let server = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(OnePacketServer(heard))
                }
            }
            .bind(host: "127.0.0.1", port: 0).get()
        let port = try #require(server.localAddress?.port)
        let client = try ChatClient(.init(urls: ["ws://127.0.0.1:\(port)"], user: "alice"))
        let sends = (0..<messages).map { _ in
            Task { try await client.send(text: String(repeating: "x", count: 10_000), to: "@bob") }
        }
        let start = ContinuousClock.now
        try await client.connect()
        await heard.take()
        // Without the end of a burst it would leave when the client next looks after unanswered messages, in 15 s.
        #expect(ContinuousClock.now - start < .seconds(10))
        await client.close()
        for send in sends { #expect(await failure(of: send)?.code == .closed) }
        try await server.close()
    }

    @Test("An answer with a wrong key, or with an extension that nobody offered, is no handshake")
    func wrongAnswer() async throws {
        for change in [
            ("Sec-WebSocket-Accept", "AAAAAAAAAAAAAAAAAAAAAAAAAAA="), ("Sec-WebSocket-Extensions", "x-unknown"),
        ] {
            let server = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
                .childChannelInitializer { channel in
                    channel.eventLoop.makeCompletedFuture {
                        try channel.pipeline.syncOperations.addHandler(OnePacketServer(Mailbox(), change: change))
                    }
                }
                .bind(host: "127.0.0.1", port: 0).get()
            let port = try #require(server.localAddress?.port)
            let client = try ChatClient(.init(urls: ["ws://127.0.0.1:\(port)"], user: "alice"))
            var events = EventReader(client)
            let connect = Task { try await client.connect() }
            let reason = await events.first { if case .disconnected(let reason, _) = $0 { reason } else { nil } }
            #expect(reason?.contains("wrong answer to the handshake") == true)
            await client.close()
            #expect(await failure(of: connect)?.code == .closed)
            try await server.close()
        }
    }
}

/// Answers the handshake and says welcome in one write, then tells of the first bytes that come back.
private final class OnePacketServer: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer

    private let heard: Mailbox<Void>
    private let change: (name: String, value: String)?
    private var request = ""
    private var hasAnswered = false
    private var hasHeard = false

    init(_ heard: Mailbox<Void>, change: (name: String, value: String)? = nil) {
        self.heard = heard
        self.change = change
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard !hasAnswered else {
            // First what the welcome led to, later the client's goodbye.
            if hasHeard { context.close(promise: nil) } else { heard.put(()) }
            hasHeard = true
            return
        }
        request += String(buffer: unwrapInboundIn(data))
        guard request.hasSuffix("\r\n\r\n") else { return }
        hasAnswered = true
        var headers = HTTPHeaders()
        for line in request.split(separator: "\r\n").dropFirst() {
            let parts = line.split(separator: ": ", maxSplits: 1)
            if parts.count == 2 { headers.add(name: String(parts[0]), value: String(parts[1])) }
        }
        let head = HTTPRequestHead(version: .http1_1, method: .GET, uri: "/ws", headers: headers)
        let upgrader = NIOWebSocketServerUpgrader(
            shouldUpgrade: { channel, _ in channel.eventLoop.makeSucceededFuture([:]) },
            upgradePipelineHandler: { channel, _ in channel.eventLoop.makeSucceededVoidFuture() })
        let channel = context.channel
        let change = change
        upgrader.buildUpgradeResponse(channel: channel, upgradeRequest: head, initialResponseHeaders: [:])
            .whenSuccess { headers in
                var headers = headers
                if let change { headers.replaceOrAdd(name: change.name, value: change.value) }
                var out = ByteBuffer(string: "HTTP/1.1 101 Switching Protocols\r\n")
                headers.replaceOrAdd(name: "Upgrade", value: "websocket")
                headers.replaceOrAdd(name: "Connection", value: "upgrade")
                for (name, value) in headers { out.writeString("\(name): \(value)\r\n") }
                out.writeString("\r\n")
                guard let user = UserName("alice") else { return }
                var welcome = ByteBuffer()
                ServerMessage.welcome(
                    Welcome(
                        session: "s", user: user, node: "n", heartbeat: 25, maxMessageBytes: 16384, limits: .init())
                ).write(into: &welcome)
                TextFrame.writeHeader(payload: welcome.readableBytes, into: &out)
                out.writeBuffer(&welcome)
                channel.writeAndFlush(out, promise: nil)
            }
    }
}

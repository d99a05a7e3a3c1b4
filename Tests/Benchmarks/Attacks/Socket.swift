import NIOCore
import NIOPosix
import TestSupport

/// A connection that tells what it reads, and can be written to as fast as the other side takes it.
final class Socket: ChannelInboundHandler, Sendable {
    typealias InboundIn = ByteBuffer

    private struct Reading {
        var bytes = ByteBuffer()
        var isUpgraded = false
    }

    private let reading: NIOLoopBoundBox<Reading>
    private let opened: EventLoopPromise<Void>
    private let heard: @Sendable (String, any Channel) -> Void

    private init(
        _ loop: any EventLoop, _ opened: EventLoopPromise<Void>,
        _ heard: @escaping @Sendable (String, any Channel) -> Void
    ) {
        reading = NIOLoopBoundBox(Reading(), eventLoop: loop)
        self.opened = opened
        self.heard = heard
    }

    /// Connects and opens a WebSocket.
    ///
    /// - Parameter heard: each text, on the channel's loop.
    static func open(
        port: Int, token: String, heard: @escaping @Sendable (String, any Channel) -> Void = { _, _ in }
    ) async throws -> any Channel {
        let loop = MultiThreadedEventLoopGroup.singleton.next()
        let opened = loop.makePromise(of: Void.self)
        do {
            let channel = try await ClientBootstrap(group: loop).connectTimeout(.seconds(5))
                .channelInitializer { channel in
                    channel.eventLoop.makeCompletedFuture {
                        try channel.pipeline.syncOperations.addHandler(Socket(channel.eventLoop, opened, heard))
                    }
                }
                .connect(host: "127.0.0.1", port: port).get()
            try await channel.writeAndFlush(ByteBuffer(string: handshake(port: port, token: token)))
            try await opened.futureResult.get()
            return channel
        } catch {
            opened.fail(error)
            throw error
        }
    }

    static func handshake(port: Int, token: String) -> String {
        """
        GET /ws HTTP/1.1\r
        Host: 127.0.0.1:\(port)\r
        Authorization: Bearer \(token)\r
        Upgrade: websocket\r
        Connection: Upgrade\r
        Sec-WebSocket-Version: 13\r
        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r
        \r

        """
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        var state = reading.value
        reading.value = Reading()
        var arrived = Self.unwrapInboundIn(data)
        state.bytes.writeBuffer(&arrived)
        do {
            if !state.isUpgraded, let answer = try HTTPProbe.parse(&state.bytes) {
                guard answer.status == 101 else { throw ChannelError.eof }
                state.isUpgraded = true
                opened.succeed()
            }
            while state.isUpgraded, let frame = try RawWebSocket.parse(&state.bytes) {
                switch frame {
                case .text(let text): heard(text, context.channel)
                case .ping(let payload):
                    let pong = RawWebSocket.Frame(firstByte: 0x8A, payload: payload)
                    context.writeAndFlush(NIOAny(pong.bytes), promise: nil)
                case .compressedText, .pong, .close, .end: break
                }
            }
        } catch {
            context.close(promise: nil)
        }
        state.bytes.discardReadBytes()
        reading.value = state
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }

    func channelInactive(context: ChannelHandlerContext) { opened.fail(ChannelError.eof) }
}

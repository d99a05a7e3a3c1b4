import NIOCore
import NIOPosix

/// A member of the room, as little of a WebSocket client as will do.
enum Client {
    enum Conduct: Sendable {
        /// Reads everything, and notes how long messages took.
        case reading(Latencies?)
        /// Reads nothing once it is in the room.
        case stalled
    }

    /// Connects and joins; returns when the gateway has said so.
    static func join(port: Int, user: String, on loop: any EventLoop, _ conduct: Conduct) async throws -> any Channel {
        let joined = loop.makePromise(of: Void.self)
        let bootstrap = ClientBootstrap(group: loop)
            .channelOption(.socketOption(.so_rcvbuf), value: 16 * 1024)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(Member(conduct, joined: joined))
                }
            }
        let channel = try await bootstrap.connect(host: "127.0.0.1", port: port).get()
        try await channel.writeAndFlush(
            ByteBuffer(
                string: """
                    GET /ws?user=\(user) HTTP/1.1\r
                    Host: 127.0.0.1:\(port)\r
                    Upgrade: websocket\r
                    Connection: Upgrade\r
                    Sec-WebSocket-Version: 13\r
                    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r
                    \r

                    """))
        try await channel.writeAndFlush(frame(#"{"type":"join","id":"j","room":"\#(SlowReaders.room)"}"#))
        try await joined.futureResult.get()
        return channel
    }

    /// A message of 1 KiB that tells when it was sent.
    static func message(sentAt: NIODeadline) -> ByteBuffer {
        let text = "\(sentAt.uptimeNanoseconds) " + String(repeating: "x", count: 960)
        return frame(#"{"type":"message","room":"\#(SlowReaders.room)","text":"\#(text)"}"#)
    }

    /// A masked text frame; the mask is 0, which leaves the payload as it is.
    private static func frame(_ text: String) -> ByteBuffer {
        let payload = text.utf8
        var frame = ByteBuffer()
        frame.writeInteger(0x81 as UInt8)
        if payload.count < 126 {
            frame.writeInteger(0x80 | UInt8(payload.count))
        } else {
            frame.writeMultipleIntegers(0xFE as UInt8, UInt16(payload.count))
        }
        frame.writeInteger(0 as UInt32)
        frame.writeString(text)
        return frame
    }
}

private final class Member: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer

    private let conduct: Client.Conduct
    private let joined: EventLoopPromise<Void>
    private var bytes = ByteBuffer()
    private var isUpgraded = false

    init(_ conduct: Client.Conduct, joined: EventLoopPromise<Void>) {
        self.conduct = conduct
        self.joined = joined
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        var arrived = Self.unwrapInboundIn(data)
        bytes.writeBuffer(&arrived)
        while let event = nextEvent() { take(event, context: context) }
        bytes.discardReadBytes()
    }

    /// The answer to the handshake first, then the payloads of frames.
    private func nextEvent() -> ByteBufferView? {
        let view = bytes.readableBytesView
        guard isUpgraded else {
            guard let end = view.firstRange(of: Array("\r\n\r\n".utf8)) else { return nil }
            isUpgraded = true
            bytes.moveReaderIndex(to: end.upperBound)
            return view[view.startIndex..<end.upperBound]
        }
        guard view.count >= 2 else { return nil }
        var header = 2
        var length = Int(view[view.startIndex + 1])
        if length == 126 {
            guard let long = bytes.getInteger(at: bytes.readerIndex + 2, as: UInt16.self) else { return nil }
            (header, length) = (4, Int(long))
        }
        guard view.count >= header + length else { return nil }
        bytes.moveReaderIndex(forwardBy: header + length)
        return view.dropFirst(header).prefix(length)
    }

    private func take(_ event: ByteBufferView, context: ChannelHandlerContext) {
        if event.starts(with: #"{"type":"joined""#.utf8) {
            if case .stalled = conduct { try? context.channel.syncOptions?.setOption(.autoRead, value: false) }
            joined.succeed()
        }
        guard case .reading(let latencies?) = conduct, event.starts(with: #"{"type":"message""#.utf8),
            let text = event.firstRange(of: Array(#""text":""#.utf8))
        else { return }
        let digits = event[text.upperBound...].prefix { $0 != UInt8(ascii: " ") }
        guard let sentAt = UInt64(String(decoding: digits, as: UTF8.self)) else { return }
        latencies.add(Double(NIODeadline.now().uptimeNanoseconds - sentAt) / 1e6)
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }

    func channelInactive(context: ChannelHandlerContext) { joined.fail(ChannelError.eof) }
}

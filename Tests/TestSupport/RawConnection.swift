package import NIOCore
import NIOPosix

/// A TCP connection that sends and receives plain bytes: for what a well-behaved client would never send.
package final class RawConnection: Sendable {
    private let channel: any Channel
    private let inbox: NIOLoopBound<Inbox>

    private init(channel: any Channel, inbox: NIOLoopBound<Inbox>) {
        self.channel = channel
        self.inbox = inbox
    }

    /// - Parameters:
    ///   - receiveBuffer: bytes that the kernel takes while nobody reads; nil: as many as it likes.
    ///   - prepare: adds handlers below, such as TLS.
    package static func connect(
        host: String, port: Int, receiveBuffer: Int? = nil,
        prepare: @escaping @Sendable (any Channel) throws -> Void = { _ in }
    ) async throws -> RawConnection {
        var bootstrap = ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton).connectTimeout(.seconds(5))
        if let receiveBuffer {
            bootstrap = bootstrap.channelOption(.socketOption(.so_rcvbuf), value: .init(receiveBuffer))
        }
        return
            try await bootstrap
            .connect(host: host, port: port) { channel in
                channel.eventLoop.makeCompletedFuture {
                    try prepare(channel)
                    let inbox = Inbox()
                    try channel.pipeline.syncOperations.addHandler(inbox)
                    return RawConnection(
                        channel: channel, inbox: NIOLoopBound(inbox, eventLoop: channel.eventLoop))
                }
            }
    }

    package func send(_ bytes: ByteBuffer) async throws {
        try await channel.writeAndFlush(bytes)
    }

    package func send(_ text: String) async throws {
        try await send(ByteBuffer(string: text))
    }

    /// Waits until `take` finds what it looks for at the front of what has been received; it consumes what it takes.
    ///
    /// - Returns: nil when the peer closed before that.
    package func receive<Value: Sendable>(
        _ what: String, within limit: TimeAmount = .seconds(20),
        _ take: @escaping @Sendable (inout ByteBuffer) throws -> Value?
    ) async throws -> Value? {
        let result = channel.eventLoop.makePromise(of: Value?.self)
        channel.eventLoop.execute { [inbox, channel] in
            let alarm = channel.eventLoop.scheduleTask(in: limit) {
                inbox.value.giveUp()
                result.fail(Impatience(description: "not received within \(limit): \(what)"))
            }
            result.futureResult.whenComplete { _ in alarm.cancel() }
            inbox.value.wait { bytes, isClosed in
                do {
                    if let value = try take(&bytes) {
                        result.succeed(value)
                    } else if isClosed {
                        result.succeed(nil)
                    } else {
                        return false
                    }
                } catch {
                    result.fail(error)
                }
                return true
            }
        }
        return try await result.futureResult.get()
    }

    /// Stops reading from the socket, so that the peer's output piles up; and goes on.
    package func setReading(_ isReading: Bool) async throws {
        try await channel.setOption(ChannelOptions.autoRead, value: isReading).get()
    }

    /// Ends the connection without a word.
    package func close() async {
        try? await channel.close()
    }
}

/// What was received and nobody took yet. Confined to the channel's loop.
private final class Inbox: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer

    private var bytes = ByteBuffer()
    private var isClosed = false
    private var waiter: ((inout ByteBuffer, Bool) -> Bool)?

    /// One at a time.
    func wait(_ waiter: @escaping (inout ByteBuffer, Bool) -> Bool) {
        if !waiter(&bytes, isClosed) { self.waiter = waiter }
    }

    /// What comes from now on is for the next waiter.
    func giveUp() { waiter = nil }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        var read = unwrapInboundIn(data)
        bytes.writeBuffer(&read)
        look()
    }

    func channelInactive(context: ChannelHandlerContext) {
        isClosed = true
        look()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        context.close(promise: nil)
    }

    private func look() {
        if let waiter, waiter(&bytes, isClosed) { self.waiter = nil }
    }
}

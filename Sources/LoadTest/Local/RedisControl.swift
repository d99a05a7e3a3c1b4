import NIOCore
import NIOPosix

/// Says one command to a Redis, and hears its answer.
enum RedisControl {
    /// - Parameter command: words that need no quotes.
    /// - Returns: the answer: a line without its sign, or a text.
    /// - Throws: ``LoadRunError`` with Redis's error, or when no answer comes.
    @discardableResult
    static func say(_ command: String, port: Int) async throws -> String {
        let loop = MultiThreadedEventLoopGroup.singleton.next()
        let promise = loop.makePromise(of: String.self)
        let late = loop.scheduleTask(in: .seconds(5)) {
            promise.fail(LoadRunError(description: "Redis did not answer \(command)"))
        }
        defer { late.cancel() }
        let connecting = ClientBootstrap(group: loop)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(Line(command, promise))
                }
            }
            .connect(host: "127.0.0.1", port: port)
        connecting.whenFailure { promise.fail($0) }
        defer { connecting.whenSuccess { $0.close(promise: nil) } }
        let line = try await promise.futureResult.get()
        guard !line.hasPrefix("-") else { throw LoadRunError(description: "Redis: \(line.dropFirst())") }
        return String(line.dropFirst())
    }

    private final class Line: ChannelInboundHandler {
        typealias InboundIn = ByteBuffer
        typealias OutboundOut = ByteBuffer

        private let command: String
        private let promise: EventLoopPromise<String>
        private var text = ""

        init(_ command: String, _ promise: EventLoopPromise<String>) {
            self.command = command
            self.promise = promise
        }

        func channelActive(context: ChannelHandlerContext) {
            context.writeAndFlush(wrapOutboundOut(ByteBuffer(string: command + "\r\n")), promise: nil)
        }

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            text += String(buffer: unwrapInboundIn(data))
            // The two characters are one to Swift.
            guard let end = text.firstIndex(of: "\r\n") else { return }
            // $LENGTH, then so many bytes and a line's end.
            guard text.first == "$", let length = Int(text[..<end].dropFirst()) else {
                return promise.succeed(String(text[..<end]))
            }
            let body = text[text.index(after: end)...]
            if body.utf8.count >= length {
                promise.succeed("+" + String(decoding: body.utf8.prefix(length), as: UTF8.self))
            }
        }

        func channelInactive(context: ChannelHandlerContext) {
            promise.fail(LoadRunError(description: "Redis closed the connection"))
        }
    }
}

import ChatClient
import NIOCore
import NIOHTTP1
import NIOPosix

/// Why a page could not be read.
package struct HTTPGetError: Error, CustomStringConvertible {
    package var description: String
}

/// One page of a node's operations port: `http://HOST[:PORT]/PATH`.
package struct HTTPGet: Sendable, Equatable {
    private var address: ServerAddress
    package let url: String

    /// - Throws: ``HTTPGetError`` with what is wrong with the URL.
    package init(_ url: String) throws {
        guard url.lowercased().hasPrefix("http://") else {
            throw HTTPGetError(description: "\"\(url)\": expected http://HOST:PORT/metrics")
        }
        do {
            // The same form, but for the scheme and the path, which is not that of a WebSocket.
            let rest = url.dropFirst("http://".count)
            address = try ServerAddress("ws://" + rest)
            address.target = rest.firstIndex(of: "/").map { String(rest[$0...]) } ?? "/metrics"
        } catch {
            throw HTTPGetError(description: "\"\(url)\": expected http://HOST:PORT/metrics")
        }
        self.url = url
    }

    /// Host and port.
    package var authority: String { address.authority }

    /// - Returns: status and body.
    /// - Throws: ``HTTPGetError``, or what NIO says, when no answer comes within `timeout`.
    package func fetch(timeout: Duration = .seconds(2)) async throws -> (status: Int, body: String) {
        let loop = MultiThreadedEventLoopGroup.singleton.next()
        let promise = loop.makePromise(of: (status: Int, body: String).self)
        let late = loop.scheduleTask(in: TimeAmount(timeout)) { [url] in
            promise.fail(HTTPGetError(description: "\(url) did not answer in time"))
        }
        let address = address
        let connecting = ClientBootstrap(group: loop)
            .connectTimeout(TimeAmount(timeout))
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHTTPClientHandlers()
                    try channel.pipeline.syncOperations.addHandler(Exchange(address, promise))
                }
            }
            .connect(host: address.host, port: address.port)
        connecting.whenFailure { promise.fail($0) }
        defer {
            late.cancel()
            connecting.whenSuccess { $0.close(promise: nil) }
        }
        return try await promise.futureResult.get()
    }

    private final class Exchange: ChannelInboundHandler {
        typealias InboundIn = HTTPClientResponsePart
        typealias OutboundOut = HTTPClientRequestPart

        /// A node's page has some kilobytes.
        private static let limit = 4 << 20

        private let address: ServerAddress
        private let promise: EventLoopPromise<(status: Int, body: String)>
        private var status = 0
        private var body = ""

        init(_ address: ServerAddress, _ promise: EventLoopPromise<(status: Int, body: String)>) {
            self.address = address
            self.promise = promise
        }

        func channelActive(context: ChannelHandlerContext) {
            let headers: HTTPHeaders = ["Host": address.authority, "Connection": "close"]
            let head = HTTPRequestHead(version: .http1_1, method: .GET, uri: address.target, headers: headers)
            context.write(wrapOutboundOut(.head(head)), promise: nil)
            context.writeAndFlush(wrapOutboundOut(.end(nil)), promise: nil)
        }

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            switch unwrapInboundIn(data) {
            case .head(let head):
                status = Int(head.status.code)
            case .body(let part):
                guard body.utf8.count < Self.limit else {
                    return promise.fail(HTTPGetError(description: "\(address.authority) sent too much"))
                }
                body += String(buffer: part)
            case .end:
                promise.succeed((status, body))
            }
        }

        func errorCaught(context: ChannelHandlerContext, error: any Error) {
            promise.fail(error)
            context.close(promise: nil)
        }

        func channelInactive(context: ChannelHandlerContext) {
            promise.fail(HTTPGetError(description: "\(address.authority) closed without an answer"))
        }
    }
}

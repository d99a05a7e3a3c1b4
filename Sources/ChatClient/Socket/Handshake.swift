import ChatProtocol
import FoundationEssentials
import NIOCore
import NIOHTTP1
import NIOWebSocket

/// Asks for the upgrade to WebSocket (RFC 6455, section 4.1) and reads the answer, whatever it is.
final class Handshake: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = HTTPClientResponsePart
    typealias OutboundOut = HTTPClientRequestPart
    typealias Codec = (encoder: HTTPRequestEncoder, decoder: ByteToMessageHandler<HTTPResponseDecoder>)

    /// The most of a refusal's body that is kept.
    private static let bodyLimit = 4096

    private let request: HTTPRequestHead
    /// Only for the key and the check of its answer: what it does with a pipeline is not for this connection.
    private let upgrader = NIOWebSocketClientUpgrader { channel, _ in channel.eventLoop.makeSucceededVoidFuture() }
    private let codec: Codec
    private let connection: ClientConnection
    private var response: HTTPResponseHead?
    private var body = ByteBuffer()

    init(
        address: ServerAddress, options: ClientConnection.Options, codec: Codec, connection: ClientConnection
    ) {
        var headers = HTTPHeaders()
        headers.add(name: "Host", value: address.authority)
        headers.add(name: "Connection", value: "Upgrade")
        headers.add(name: "Upgrade", value: "websocket")
        headers.add(name: "Sec-WebSocket-Protocol", value: "roost.v1")
        if let token = options.token { headers.add(name: "Authorization", value: "Bearer \(token)") }
        for (name, value) in options.headers { headers.add(name: name, value: value) }
        upgrader.addCustom(upgradeRequestHeaders: &headers)
        request = HTTPRequestHead(
            version: .http1_1, method: .GET, uri: address.target(user: options.user, echo: options.echo),
            headers: headers)
        self.codec = codec
        self.connection = connection
    }

    func handlerAdded(context: ChannelHandlerContext) {
        if context.channel.isActive { ask(context) }
    }

    func channelActive(context: ChannelHandlerContext) {
        ask(context)
    }

    private func ask(_ context: ChannelHandlerContext) {
        context.write(wrapOutboundOut(.head(request)), promise: nil)
        context.writeAndFlush(wrapOutboundOut(.end(nil)), promise: nil)
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch unwrapInboundIn(data) {
        case .head(let head):
            response = head
        case .body(var part):
            if let start = part.readSlice(length: min(part.readableBytes, Self.bodyLimit - body.readableBytes)) {
                body.writeImmutableBuffer(start)
            }
        case .end:
            guard let response else { return }
            answered(context, with: response)
        }
    }

    private func answered(_ context: ChannelHandlerContext, with head: HTTPResponseHead) {
        guard head.status == .switchingProtocols else {
            connection.fail(.refused(refusal(head)))
            return
        }
        guard upgrader.shouldAllowUpgrade(upgradeResponse: head), isUpgrade(head) else {
            connection.fail(.violated("a wrong answer to the handshake"))
            return
        }
        let pipeline = context.pipeline.syncOperations
        do {
            try connection.handshakeDone(in: pipeline, after: self)
        } catch {
            connection.fail(.violated("\(error)"))
            return
        }
        // The decoder goes last: it then hands on the frames that came in one packet with the answer.
        pipeline.removeHandler(codec.encoder, promise: nil)
        pipeline.removeHandler(self, promise: nil)
        pipeline.removeHandler(codec.decoder, promise: nil)
        // It does so in the next turn of the loop, where no end of a read follows that would be the end of a burst.
        let bound = NIOLoopBound(connection, eventLoop: context.eventLoop)
        context.eventLoop.execute { bound.value.upgraded() }
    }

    /// RFC 6455, section 4.1, for what the upgrader does not check: nothing that was not offered may be chosen.
    private func isUpgrade(_ head: HTTPResponseHead) -> Bool {
        head.headers[canonicalForm: "upgrade"].contains { $0.lowercased() == "websocket" }
            && head.headers[canonicalForm: "connection"].contains { $0.lowercased() == "upgrade" }
            && head.headers["Sec-WebSocket-Extensions"].isEmpty
            && head.headers["Sec-WebSocket-Protocol"].allSatisfy { $0 == "roost.v1" }
    }

    private func refusal(_ head: HTTPResponseHead) -> HandshakeRefusal {
        struct Body: Decodable {
            var error: String
            var message: String
        }
        let said = try? JSONDecoder().decode(Body.self, from: Data(body.readableBytesView))
        return HandshakeRefusal(
            status: Int(head.status.code), code: said?.error ?? "", message: said?.message ?? head.status.reasonPhrase,
            retryAfter: head.headers.first(name: "Retry-After").flatMap { Int($0) }.map { min(max($0, 0), 3600) })
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        connection.fail(.unreachable("\(error)"))
    }

    func channelInactive(context: ChannelHandlerContext) {
        connection.fail(.unreachable("the connection ended within the handshake"))
    }
}

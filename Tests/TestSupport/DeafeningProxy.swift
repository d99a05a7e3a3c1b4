import NIOCore
import NIOPosix
import Synchronization

/// Stands between a broker and Redis, and can make subscribing connections deaf: they stay open and carry nothing more,
/// as those to a Redis that a failover has left behind.
package final class DeafeningProxy: Sendable {
    package let port: Int
    private let listener: any Channel
    private let accepted: Accepted

    /// - Parameter target: the port of the real server on 127.0.0.1.
    package static func start(before target: Int) async throws -> DeafeningProxy {
        let group = MultiThreadedEventLoopGroup.singleton
        let accepted = Accepted()
        let listener = try await ServerBootstrap(group: group)
            .childChannelInitializer { client in
                let relay = Relay()
                accepted.add(relay)
                let outwards = NIOLoopBound(Relay.Half(relay, isFromClient: true), eventLoop: client.eventLoop)
                // On the client's loop, so that the two halves never run at the same time.
                return ClientBootstrap(group: client.eventLoop)
                    .channelInitializer { server in
                        server.eventLoop.makeCompletedFuture {
                            let inwards = Relay.Half(relay, isFromClient: false)
                            inwards.peer = client
                            try server.pipeline.syncOperations.addHandler(inwards)
                        }
                    }
                    .connect(host: "127.0.0.1", port: target)
                    .flatMapThrowing { server in
                        outwards.value.peer = server
                        try client.pipeline.syncOperations.addHandler(outwards.value)
                    }
            }
            .bind(host: "127.0.0.1", port: 0).get()
        guard let port = listener.localAddress?.port else { throw Impatience(description: "no port for a proxy") }
        return DeafeningProxy(port: port, listener: listener, accepted: accepted)
    }

    private init(port: Int, listener: any Channel, accepted: Accepted) {
        self.port = port
        self.listener = listener
        self.accepted = accepted
    }

    /// Makes the connections deaf that have subscribed to something. How many.
    package func deafen() -> Int { accepted.deafen() }

    package func stop() async throws { try await listener.close().get() }
}

private final class Accepted: Sendable {
    private let relays = Mutex<[Relay]>([])

    func add(_ relay: Relay) { relays.withLock { $0.append(relay) } }

    func deafen() -> Int {
        relays.withLock { relays in
            let subscriptions = relays.filter { $0.hasSubscribed.load(ordering: .relaxed) }
            for relay in subscriptions { relay.isDeaf.store(true, ordering: .relaxed) }
            return subscriptions.count
        }
    }
}

/// One connection through the proxy.
private final class Relay: Sendable {
    let hasSubscribed = Atomic(false)
    let isDeaf = Atomic(false)

    /// Passes on what one side says.
    final class Half: ChannelInboundHandler {
        typealias InboundIn = ByteBuffer

        var peer: (any Channel)?
        private let relay: Relay
        private let isFromClient: Bool

        init(_ relay: Relay, isFromClient: Bool) {
            self.relay = relay
            self.isFromClient = isFromClient
        }

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            let bytes = unwrapInboundIn(data)
            if isFromClient {
                if String(buffer: bytes).contains("SUBSCRIBE") { relay.hasSubscribed.store(true, ordering: .relaxed) }
            } else if relay.isDeaf.load(ordering: .relaxed) {
                return
            }
            peer?.writeAndFlush(bytes, promise: nil)
        }

        func channelInactive(context: ChannelHandlerContext) { peer?.close(promise: nil) }

        func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }
    }
}

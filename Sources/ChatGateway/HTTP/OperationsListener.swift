import ChatProtocol
import HTTPTypes
package import Hummingbird
import HummingbirdCore
package import Logging
package import NIOCore
import ServiceLifecycle

/// The operations port: whether the node lives, whether it takes clients, and its metrics.
package struct OperationsListener: Service {
    /// Whether the node takes clients.
    package enum Readiness: Sendable, Equatable {
        case ready
        /// - Parameter code: such as `draining`.
        case notReady(HTTPRefusal)
    }

    private let host: String
    private let port: Int
    private let group: any EventLoopGroup
    private let tls: TLSIdentity?
    private let responder: RouterResponder<HTTPContext>
    private let logger: Logger
    private let onListening: @Sendable (SocketAddress) async -> Void

    /// - Parameters:
    ///   - port: 0 for any free one.
    ///   - metrics: the text that Prometheus reads (exposition format 0.0.4).
    ///   - addRoutes: adds what else there is.
    ///   - onListening: told the address, with the port that was chosen.
    package init(
        host: String, port: Int, group: any EventLoopGroup, tls: TLSIdentity? = nil, logger: Logger,
        readiness: @escaping @Sendable () async -> Readiness,
        metrics: @escaping @Sendable () async -> ByteBuffer,
        addRoutes: (Router<HTTPContext>) -> Void = { _ in },
        onListening: @escaping @Sendable (SocketAddress) async -> Void = { _ in }
    ) {
        self.host = host
        self.port = port
        self.group = group
        self.tls = tls
        self.logger = logger
        self.onListening = onListening
        let router = Router(context: HTTPContext.self, options: .autoGenerateHeadEndpoints)
        router.middlewares.add(JSONErrors())
        router.get("/healthz") { _, _ in Self.text("ok\n") }
        router.get("/readyz") { _, _ in
            switch await readiness() {
            case .ready: return Self.text("ok\n")
            case .notReady(let refusal): return HTTPErrors.response(to: refusal)
            }
        }
        router.get("/metrics") { _, _ in
            Response(
                status: .ok, headers: [.contentType: "text/plain; version=0.0.4; charset=utf-8"],
                body: .init(byteBuffer: await metrics()))
        }
        addRoutes(router)
        responder = router.buildResponder()
    }

    /// Serves until graceful shutdown.
    ///
    /// - Throws: ``ListenError``.
    package func run() async throws {
        // What Hummingbird has to say is said by us, but that its connections are cut at the end is no error.
        var logger = logger
        logger.logLevel = .critical
        let application = Application(
            responder: responder,
            server: server,
            configuration: .init(address: .hostname(host, port: port)),
            onServerRunning: { channel in
                if let address = channel.localAddress { await onListening(address) }
            },
            eventLoopGroupProvider: .shared(group),
            logger: logger)
        do {
            try await application.run()
        } catch let error as IOError {
            throw ListenError(host: host, port: port, underlying: error)
        } catch let error as SocketAddressError {
            throw ListenError(host: host, port: port, underlying: error)
        }
    }

    private var server: HTTPServerBuilder {
        let configuration = HTTP1Channel.Configuration(idleTimeout: .seconds(60))
        guard let tls else { return .http1(configuration: configuration) }
        return HTTPServerBuilder { responder in
            TLSChildChannel(base: HTTP1Channel(responder: responder, configuration: configuration), identity: tls)
        }
    }

    private static func text(_ text: String) -> Response {
        Response(
            status: .ok, headers: [.contentType: "text/plain; charset=utf-8", .cacheControl: "no-store"],
            body: .init(byteBuffer: ByteBuffer(string: text)))
    }
}

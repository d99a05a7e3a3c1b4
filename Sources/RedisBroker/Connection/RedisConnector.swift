import NIOCore
import NIOPosix
import NIOSSL

/// Opens connections to Redis: TCP, TLS or a unix socket.
struct RedisConnector: Sendable {
    private let endpoint: RedisURL.Endpoint
    private let tls: (context: NIOSSLContext, serverName: String?)?
    private let connectTimeout: TimeAmount
    private let unsentBytes: Int

    /// Throws ``RedisTLSError`` when the TLS settings cannot be used.
    init(_ configuration: RedisBrokerConfiguration) throws {
        let url = configuration.url
        endpoint = url.endpoint
        connectTimeout = configuration.connectTimeout
        unsentBytes = configuration.unsentBytes
        guard url.usesTLS else {
            tls = nil
            return
        }
        var settings = TLSConfiguration.makeClientConfiguration()
        settings.minimumTLSVersion = .tlsv12
        do {
            if let file = configuration.tlsCAFile {
                settings.trustRoots = .certificates(try NIOSSLCertificate.fromPEMFile(file))
            }
            let context = try NIOSSLContext(configuration: settings)
            tls = (context, Self.serverName(configuration))
        } catch {
            let file = configuration.tlsCAFile.map { " from the CA file \($0)" } ?? ""
            throw RedisTLSError("TLS to Redis cannot be set up\(file): \(error)")
        }
    }

    /// The name to be proved by the certificate. nil for an IP address: then it must hold that address.
    private static func serverName(_ configuration: RedisBrokerConfiguration) -> String? {
        if let name = configuration.tlsServerName { return name }
        guard case .tcp(let host, _) = configuration.url.endpoint,
            (try? SocketAddress(ipAddress: host, port: 0)) == nil
        else { return nil }
        return host
    }

    /// Opens a channel on `loop` with `connection` as its handler, unless that was given up meanwhile.
    ///
    /// A host of several addresses is tried through several channels: the handler is added to the one that won.
    func connect(_ connection: RedisConnection, on loop: any EventLoop) -> EventLoopFuture<any Channel> {
        let tls = tls
        let handler = NIOLoopBound(connection, eventLoop: loop)
        let bootstrap = ClientBootstrap(group: loop)
            .connectTimeout(connectTimeout)
            .channelOption(.socketOption(.so_keepalive), value: 1)
            // Redis is read until it has no more, in large pieces (one reading serves a thousand sockets).
            .channelOption(.recvAllocator, value: FixedSizeRecvByteBufferAllocator(capacity: 64 << 10))
            .channelOption(.maxMessagesPerRead, value: 16)
            .channelOption(.writeBufferWaterMark, value: .init(low: unsentBytes / 4, high: unsentBytes))
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    guard let tls else { return }
                    let client = try NIOSSLClientHandler(context: tls.context, serverHostname: tls.serverName)
                    try channel.pipeline.syncOperations.addHandler(client)
                }
            }
        let winner =
            switch endpoint {
            case .tcp(let host, let port): bootstrap.connect(host: host, port: port)
            case .unixSocket(let path): bootstrap.connect(unixDomainSocketPath: path)
            }
        return winner.flatMapThrowing { channel in
            do {
                guard !handler.value.isClosed else { throw ChannelError.ioOnClosedChannel }
                try channel.pipeline.syncOperations.addHandler(handler.value)
            } catch {
                channel.close(promise: nil)
                throw error
            }
            return channel
        }
    }

    /// Why a connection failed, in words for an operator.
    static func describe(_ error: any Error) -> String {
        switch error {
        case let error as NIOConnectionError:
            guard let first = error.connectionErrors.first else {
                return "the host \(error.host) cannot be found"
            }
            return "cannot connect to \(error.host):\(error.port): \(describe(first.error))"
        case let error as IOError: return error.description
        case ChannelError.connectTimeout: return "no connection in time"
        case let error as NIOSSLError: return "TLS failed: \(error)"
        case let error as NIOSSLExtraError: return "TLS failed: \(error)"
        default: return "\(error)"
        }
    }
}

/// The TLS settings cannot be used.
package struct RedisTLSError: Error, CustomStringConvertible {
    package let description: String

    init(_ description: String) { self.description = description }
}

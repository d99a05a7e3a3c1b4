import NIOCore
import NIOPosix
import NIOSSL

/// Opens connections to Redis: TCP, TLS or a unix socket.
struct RedisConnector: Sendable {
    private let tls: NIOSSLContext?
    /// The name that certificates must bear whatever the host; nil: the host's.
    private let serverName: String?
    private let unsentBytes: Int

    /// Throws ``RedisTLSError`` when the TLS settings cannot be used.
    init(_ configuration: RedisBrokerConfiguration) throws {
        unsentBytes = configuration.unsentBytes
        serverName = configuration.tlsServerName
        guard configuration.url.usesTLS else {
            tls = nil
            return
        }
        var settings = TLSConfiguration.makeClientConfiguration()
        settings.minimumTLSVersion = .tlsv12
        do {
            if let file = configuration.tlsCAFile {
                settings.trustRoots = .certificates(try NIOSSLCertificate.fromPEMFile(file))
            }
            tls = try NIOSSLContext(configuration: settings)
        } catch {
            let file = configuration.tlsCAFile.map { " from the CA file \($0)" } ?? ""
            throw RedisTLSError("TLS to Redis cannot be set up\(file): \(error)")
        }
    }

    /// The name to be proved by the certificate. nil for an IP address: then it must hold that address.
    private func serverName(of endpoint: RedisURL.Endpoint) -> String? {
        if let serverName { return serverName }
        guard case .tcp(let host, _) = endpoint, (try? SocketAddress(ipAddress: host, port: 0)) == nil
        else { return nil }
        return host
    }

    /// Opens a channel to `endpoint` on `loop` with `connection` as its handler, unless that was given up meanwhile.
    ///
    /// A host of several addresses is tried through several channels: the handler is added to the one that won.
    func connect(
        _ connection: RedisConnection, to endpoint: RedisURL.Endpoint, on loop: any EventLoop,
        within timeout: TimeAmount
    ) -> EventLoopFuture<any Channel> {
        let tls = tls
        let serverName = serverName(of: endpoint)
        let handler = NIOLoopBound(connection, eventLoop: loop)
        let bootstrap = ClientBootstrap(group: loop)
            .connectTimeout(timeout)
            .channelOption(.socketOption(.so_keepalive), value: 1)
            // Redis is read until it has no more, in large pieces (one reading serves a thousand sockets).
            .channelOption(.recvAllocator, value: FixedSizeRecvByteBufferAllocator(capacity: 64 << 10))
            .channelOption(.maxMessagesPerRead, value: 16)
            .channelOption(.writeBufferWaterMark, value: .init(low: unsentBytes / 4, high: unsentBytes))
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    guard let tls else { return }
                    let client = try NIOSSLClientHandler(context: tls, serverHostname: serverName)
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

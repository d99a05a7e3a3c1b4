import NIOCore

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#else
import Darwin
#endif

/// A port cannot be listened on.
package struct ListenError: Error, CustomStringConvertible {
    package enum Code: Sendable, Equatable {
        case inUse
        case notPermitted
        /// The host is not one of this machine's addresses, or cannot be resolved.
        case noSuchAddress
        case other
    }

    package var code: Code
    package var host: String
    package var port: Int
    /// For the operator: which address, what is wrong, what to do.
    package var message: String
    package var underlying: any Error

    package var description: String { message }

    package init(host: String, port: Int, underlying: any Error) {
        let address = host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)"
        self.host = host
        self.port = port
        self.underlying = underlying
        switch (underlying as? IOError)?.errnoCode {
        case EADDRINUSE:
            code = .inUse
            message = "\(address) is already in use: stop what listens there, or choose another port"
        case EACCES, EPERM:
            code = .notPermitted
            message = "\(address) may not be listened on: ports below 1024 need privileges"
        case EADDRNOTAVAIL:
            code = .noSuchAddress
            message = "\(address) is not an address of this machine"
        case nil where underlying is SocketAddressError:
            code = .noSuchAddress
            message = "\(host) cannot be resolved to an address"
        default:
            code = .other
            message = "\(address) cannot be listened on: \(underlying)"
        }
    }
}

extension SocketAddress {
    /// `HOST:PORT`, as an operator writes it.
    var hostAndPort: String {
        guard let ipAddress, let port else { return description }
        return ipAddress.contains(":") ? "[\(ipAddress)]:\(port)" : "\(ipAddress):\(port)"
    }
}

import NIOCore
import NIOPosix

/// Finds TCP ports that nobody uses.
package enum FreePort {
    /// A port on 127.0.0.1 that was free a moment ago: the kernel gives ports in turn, so that it will not give the same
    /// one to somebody else soon.
    package static func find() throws -> Int {
        let listener = try ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .bind(host: "127.0.0.1", port: 0).wait()
        defer { try? listener.close().wait() }
        guard let port = listener.localAddress?.port else { throw Impatience(description: "no port for a listener") }
        return port
    }
}

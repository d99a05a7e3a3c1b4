import NIOCore
import NIOPosix

/// Finds TCP ports of the loopback address that nobody uses.
enum FreePorts {
    /// So many, all different: they are held together and let go together.
    static func find(_ count: Int) async throws -> [Int] {
        var listeners: [any Channel] = []
        for _ in 0..<count {
            listeners.append(
                try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
                    .bind(host: "127.0.0.1", port: 0).get())
        }
        let ports = listeners.compactMap { $0.localAddress?.port }
        for listener in listeners { try await listener.close().get() }
        guard ports.count == count else { throw LoadRunError(description: "no free ports") }
        return ports
    }
}

import NIOCore
import NIOPosix

/// Lets time go by: for a fault that lasts, and for a client that keeps a pace.
package func pause(_ time: Duration) async throws {
    try await MultiThreadedEventLoopGroup.singleton.any().scheduleTask(in: TimeAmount(time)) {}.futureResult.get()
}

package import Hummingbird
package import NIOCore

/// What routes of the public port know of a request beside the request itself.
package struct HTTPContext: RequestContext {
    package var coreContext: CoreRequestContextStorage
    /// The client's IP address as the socket tells it, or a proxy that is trusted; empty for a socket without one.
    package let peerAddress: String
    /// That of the connection.
    package let loop: any EventLoop
    private let onLasting: (@Sendable () -> Void)?

    package init(source: ApplicationRequestContextSource) {
        self.init(
            source: source, peerAddress: source.channel.remoteAddress?.ipAddress ?? "", onLasting: nil)
    }

    /// - Parameters:
    ///   - peerAddress: the client's.
    ///   - onLasting: what has to be done when the request turns out to last.
    init(
        source: ApplicationRequestContextSource, peerAddress: String, onLasting: (@Sendable () -> Void)?
    ) {
        coreContext = .init(source: source)
        self.peerAddress = peerAddress
        loop = source.channel.eventLoop
        self.onLasting = onLasting
    }

    /// The answer will take long: the request gives its place back to ordinary ones, and ends when the client says that it
    /// sends nothing more.
    func lasts() { onLasting?() }
}

package import Hummingbird

/// What routes of the public port know of a request beside the request itself.
package struct HTTPContext: RequestContext {
    package var coreContext: CoreRequestContextStorage
    /// The client's IP address as the socket tells it; empty for a socket without one.
    package let peerAddress: String

    package init(source: ApplicationRequestContextSource) {
        coreContext = .init(source: source)
        peerAddress = source.channel.remoteAddress?.ipAddress ?? ""
    }
}

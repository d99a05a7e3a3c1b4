import Logging
import NIOCore
import NIOEmbedded
import Testing

@testable import ChatGateway

@Suite("Accepting at the limit of descriptors")
struct AcceptPauseTests {
    @Test("it pauses for a second, then goes on")
    func pause() throws {
        let channel = EmbeddedChannel()
        let silent = Logger(label: "test", factory: { _ in SwiftLogNoOpLogHandler() })
        try channel.pipeline.syncOperations.addHandler(AcceptPause(logger: silent))
        func accepts() -> Bool? {
            channel.options.last { $0.option is ChannelOptions.Types.AutoReadOption }?.value as? Bool
        }
        channel.pipeline.fireErrorCaught(IOError(errnoCode: 24, reason: "accept"))
        #expect(accepts() == false)
        channel.embeddedEventLoop.advanceTime(by: .milliseconds(900))
        #expect(accepts() == false)
        channel.embeddedEventLoop.advanceTime(by: .milliseconds(100))
        #expect(accepts() == true)
    }
}

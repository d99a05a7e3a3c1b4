import Logging
import NIOCore
import NIOEmbedded
import Testing

@testable import ChatGateway

@Suite("Accepting")
struct AcceptPauseTests {
    @Test("At the limit of descriptors it pauses for a second, then goes on")
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

    private final class Reads: ChannelOutboundHandler {
        typealias OutboundIn = Never
        var count = 0

        func read(context: ChannelHandlerContext) { count += 1 }
    }

    @Test("While very many wait for their turns nobody is accepted; when one of them is served it goes on")
    func longLine() throws {
        let channel = EmbeddedChannel()
        let reads = Reads()
        let pending = PendingHandshakes(limit: 0)
        let silent = Logger(label: "test", factory: { _ in SwiftLogNoOpLogHandler() })
        try channel.pipeline.syncOperations.addHandlers([reads, AcceptPause(pending: pending, logger: silent)])
        for _ in 1..<AcceptPause.longLine { pending.delay() }
        channel.pipeline.read()
        #expect(reads.count == 1)
        pending.delay()
        for _ in 0..<3 { channel.pipeline.read() }
        channel.embeddedEventLoop.advanceTime(by: .milliseconds(10))
        #expect(reads.count == 1)
        pending.endDelay()
        channel.embeddedEventLoop.advanceTime(by: .milliseconds(1))
        #expect(reads.count == 2)
    }
}

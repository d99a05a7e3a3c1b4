import NIOCore
import NIOEmbedded
import Testing

@testable import ChatGateway

@Suite("Strangers at the gate")
struct ReceptionGateTests {
    /// What gets past the gate, and what is asked of the socket.
    private final class Recorder: ChannelInboundHandler {
        typealias InboundIn = ByteBuffer
        var log: [String] = []

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            log.append(String(buffer: Self.unwrapInboundIn(data)))
        }
        func channelReadComplete(context: ChannelHandlerContext) { log.append("complete") }
        func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
            if event as? ChannelEvent == .inputClosed { log.append("end") }
        }
    }

    private final class Reads: ChannelOutboundHandler {
        typealias OutboundIn = ByteBuffer
        var count = 0

        func read(context: ChannelHandlerContext) { count += 1 }
    }

    private struct Stranger {
        let channel: EmbeddedChannel
        let gate: ReceptionGate
        let recorder = Recorder()
        let reads = Reads()

        init(_ reception: Reception, on loop: EmbeddedEventLoop) throws {
            channel = EmbeddedChannel(loop: loop)
            gate = ReceptionGate(reception: reception, address: "")
            try channel.pipeline.syncOperations.addHandlers([reads, gate, recorder])
        }

        func say(_ text: String) { channel.pipeline.fireChannelRead(ByteBuffer(string: text)) }
        func endBurst() { channel.pipeline.fireChannelReadComplete() }
    }

    private let loop = EmbeddedEventLoop()
    private let pending = PendingHandshakes(limit: 0)
    private let reception: Reception

    init() {
        reception = Reception(eventLoop: loop, pending: pending)
    }

    private func passTime() { loop.advanceTime(by: .seconds(1)) }

    @Test("Who comes alone is let in at once")
    func alone() throws {
        let alice = try Stranger(reception, on: loop)
        alice.say("hello")
        alice.endBurst()
        alice.channel.pipeline.read()
        #expect(alice.recorder.log == ["hello", "complete"])
        #expect(alice.reads.count == 1)
        #expect(pending.delayed == 0)
    }

    @Test("Who comes in another's turn waits, is not read from meanwhile, and misses nothing, the end included")
    func waiting() throws {
        let alice = try Stranger(reception, on: loop)
        let bob = try Stranger(reception, on: loop)
        alice.say("a")
        bob.say("b")
        bob.endBurst()
        bob.channel.pipeline.read()
        bob.say("c")
        bob.channel.pipeline.fireUserInboundEventTriggered(ChannelEvent.inputClosed)
        #expect(bob.recorder.log.isEmpty)
        #expect(bob.reads.count == 0)
        alice.endBurst()
        passTime()
        #expect(bob.recorder.log == ["bc", "complete", "end"])
        #expect(bob.reads.count == 1)
        #expect(pending.delayed == 1)
        #expect(pending.waiting == 0)
        // The turn is over: what comes later asks again, and waits if the rest after it is not over.
        bob.say("d")
        bob.endBurst()
        passTime()
        #expect(bob.recorder.log.suffix(2) == ["d", "complete"])
    }

    @Test("Who has gone while waiting holds up nobody")
    func gone() throws {
        let strangers = try (0..<3).map { _ in try Stranger(reception, on: loop) }
        for stranger in strangers { stranger.say("x") }
        try strangers[1].channel.close().wait()
        strangers[0].endBurst()
        passTime()
        #expect(strangers[1].recorder.log.isEmpty)
        #expect(strangers[2].recorder.log == ["x", "complete"])
        #expect(pending.waiting == 0)
    }

    @Test("Who goes in the middle of a turn leaves it to the next")
    func goneInTurn() throws {
        let alice = try Stranger(reception, on: loop)
        let bob = try Stranger(reception, on: loop)
        alice.say("a")
        bob.say("b")
        try alice.channel.close().wait()
        loop.run()
        bob.endBurst()
        passTime()
        #expect(bob.recorder.log == ["b", "complete"])
    }

    @Test("A connection that has become a WebSocket has no gate any more, and its turn is over")
    func retired() throws {
        let alice = try Stranger(reception, on: loop)
        let bob = try Stranger(reception, on: loop)
        alice.say("upgrade")
        alice.gate.retire()
        bob.say("b")
        alice.endBurst()
        #expect(alice.recorder.log == ["upgrade", "complete"])
        #expect(throws: ChannelPipelineError.self) {
            try alice.channel.pipeline.syncOperations.handler(type: ReceptionGate.self)
        }
        // Never waits again.
        alice.say("frame")
        #expect(alice.recorder.log.last == "frame")
        passTime()
        #expect(bob.recorder.log == ["b"] + ["complete"])
    }
}

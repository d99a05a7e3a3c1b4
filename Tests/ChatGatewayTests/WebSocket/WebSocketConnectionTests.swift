import ChatProtocol
import NIOCore
import NIOEmbedded
import Testing

@testable import ChatGateway

@Suite("A WebSocket connection")
struct WebSocketConnectionTests {
    /// A connection on a channel without a network, and everything around it.
    private final class Rig {
        let channel: EmbeddedChannel
        let session = RecordingSession()
        let connection: WebSocketConnection
        let wheel: HeartbeatWheel
        let flushes = FlushCounter()

        convenience init(_ configure: (inout WebSocketLimits) -> Void = { _ in }) throws {
            var limits = WebSocketLimits()
            configure(&limits)
            let loop = EmbeddedEventLoop()
            try self.init(loop, HeartbeatWheel(eventLoop: loop, limits: limits))
        }

        /// On the same loop as another.
        convenience init(beside other: Rig) throws { try self.init(other.channel.embeddedEventLoop, other.wheel) }

        private init(_ loop: EmbeddedEventLoop, _ wheel: HeartbeatWheel) throws {
            channel = EmbeddedChannel(loop: loop)
            self.wheel = wheel
            connection = WebSocketConnection(session: session, wheel: wheel, peerAddress: "192.0.2.1")
            try channel.pipeline.syncOperations.addHandlers([flushes, connection])
            try channel.connect(to: SocketAddress(ipAddress: "192.0.2.1", port: 1)).wait()
            connection.start()
        }

        func receive(_ frames: [UInt8]...) throws {
            for frame in frames { channel.pipeline.fireChannelRead(ByteBuffer(bytes: frame)) }
            channel.pipeline.fireChannelReadComplete()
            takeTurns()
        }

        /// Lets all have their turns who wait for nothing else.
        func takeTurns() { wait(.milliseconds(1)) }

        /// Everything that was flushed since the last look.
        func sent() throws -> [UInt8] {
            var bytes: [UInt8] = []
            while let buffer = try channel.readOutbound(as: ByteBuffer.self) { bytes += buffer.readableBytesView }
            return bytes
        }

        func setWritable(_ isWritable: Bool) {
            channel.isWritable = isWritable
            channel.pipeline.fireChannelWritabilityChanged()
            takeTurns()
        }

        func wait(_ amount: TimeAmount) { channel.embeddedEventLoop.advanceTime(by: amount) }

        var readsItself: Bool? {
            channel.options.last { $0.option is ChannelOptions.Types.AutoReadOption }?.value as? Bool
        }
    }

    private final class FlushCounter: ChannelOutboundHandler {
        typealias OutboundIn = ByteBuffer
        var count = 0
        var outputIsShut = false

        func flush(context: ChannelHandlerContext) {
            count += 1
            context.flush()
        }

        func close(context: ChannelHandlerContext, mode: CloseMode, promise: EventLoopPromise<Void>?) {
            // The embedded channel knows no half-closure; that it was asked for is what matters.
            if mode == .output { outputIsShut = true } else { context.close(mode: mode, promise: promise) }
        }
    }

    private func closeFrame(_ code: UInt16, _ reason: String = "") -> [UInt8] {
        [0x88, UInt8(2 + reason.utf8.count), UInt8(code >> 8), UInt8(code & 0xFF)] + Array(reason.utf8)
    }

    @Test("messages reach the session, and what it answers leaves in one flush at the end of the burst")
    func burst() throws {
        let rig = try Rig()
        rig.session.then = { event, connection in
            guard case .text(let text) = event else { return }
            connection.send(text: ByteBuffer(string: text))
            connection.flush()
        }
        let before = rig.flushes.count
        try rig.receive(ClientFrame.bytes(ClientFrame.text, "a") + ClientFrame.bytes(ClientFrame.text, "b"))
        #expect(rig.session.events == [.opened, .text("a"), .text("b"), .burstOver])
        #expect(try rig.sent() == [0x81, 1, 0x61, 0x81, 1, 0x62])
        #expect(rig.flushes.count == before + 1)
    }

    @Test("outside a burst a flush is at once, and a second one without output is none")
    func flushing() throws {
        let rig = try Rig()
        let before = rig.flushes.count
        rig.connection.send(frames: ByteBuffer(bytes: [0x81, 0]))
        #expect(try rig.sent() == [])
        rig.connection.flush()
        rig.connection.flush()
        #expect(try rig.sent() == [0x81, 0])
        #expect(rig.flushes.count == before + 1)
    }

    @Test("each ping has its pong while the client reads")
    func pongs() throws {
        let rig = try Rig()
        try rig.receive(ClientFrame.bytes(ClientFrame.ping, "1") + ClientFrame.bytes(ClientFrame.ping, "2"))
        #expect(try rig.sent() == [0x8A, 1, 0x31, 0x8A, 1, 0x32])
    }

    @Test("only the latest ping is answered once a client reads again that did not")
    func latestPing() throws {
        let rig = try Rig()
        rig.setWritable(false)
        try rig.receive(ClientFrame.bytes(ClientFrame.ping, "1") + ClientFrame.bytes(ClientFrame.ping, "2"))
        #expect(try rig.sent() == [])
        rig.setWritable(true)
        #expect(try rig.sent() == [0x8A, 1, 0x32])
    }

    @Test("while output is stuck nothing is read")
    func backPressure() throws {
        let rig = try Rig()
        rig.setWritable(false)
        #expect(rig.readsItself == false)
        rig.setWritable(true)
        #expect(rig.readsItself == true)
        #expect(rig.session.events == [.opened, .writable(false), .writable(true)])
    }

    @Test("who sends more frames than it may is read from again when it has waited for them")
    func pacing() throws {
        let rig = try Rig {
            $0.framesPerSecond = 10
            $0.heartbeat = .seconds(1)
        }
        let ping = ClientFrame.bytes(ClientFrame.ping)
        // A message in 10 frames counts for 10.
        let fragments = [ClientFrame.bytes(0x01)] + Array(repeating: ClientFrame.bytes(0x00), count: 9)
        try rig.receive(Array((Array(repeating: ping, count: 10) + fragments).joined()))
        #expect(rig.readsItself == nil)
        try rig.receive(Array(Array(repeating: ping, count: 40).joined()))
        #expect(rig.readsItself == false)
        #expect(rig.session.events.last == .burstOver)
        #expect(rig.session.events.count { $0 == .paced } == 1)
        // Not heard meanwhile, it is not taken for dead.
        rig.wait(.milliseconds(3900))
        #expect(rig.readsItself == false)
        // What is writable again does not make it read earlier.
        rig.setWritable(false)
        rig.setWritable(true)
        #expect(rig.readsItself == false)
        rig.wait(.milliseconds(200))
        #expect(rig.readsItself == true)
        #expect(rig.channel.isActive)
    }

    private static let texts = (0..<300).map { "\($0)" }

    /// 300 messages in one buffer, of which the loop has not seen more than the first turn.
    private func flood(_ rig: Rig) {
        let frames = Self.texts.flatMap { ClientFrame.bytes(ClientFrame.text, $0) }
        rig.channel.pipeline.fireChannelRead(ByteBuffer(bytes: frames))
        rig.channel.pipeline.fireChannelReadComplete()
    }

    private func flooded(_ configure: (inout WebSocketLimits) -> Void = { _ in }) throws -> Rig {
        let rig = try Rig(configure)
        flood(rig)
        return rig
    }

    @Test("many small messages that come at once are heard a part in each turn, and nothing is read meanwhile")
    func parts() throws {
        let rig = try flooded()
        #expect(rig.session.texts == Array(Self.texts[..<64]))
        #expect(rig.session.events.last == .burstOver)
        #expect(rig.readsItself == false)
        rig.channel.embeddedEventLoop.run()
        #expect(rig.session.texts.count == 64, "what runs at once runs before the loop looks at its sockets")
        rig.takeTurns()
        #expect(rig.session.texts == Self.texts)
        #expect(rig.session.events.count { $0 == .burstOver } == 5)
        #expect(rig.readsItself == true)
        try rig.receive(ClientFrame.bytes(ClientFrame.text, "more"))
        #expect(rig.session.texts == Self.texts + ["more"])
    }

    @Test("those who send much take turns, and who sends little waits for none of them")
    func turns() throws {
        let alice = try flooded()
        let bob = try Rig(beside: alice)
        let carol = try Rig(beside: alice)
        var lead = 0
        alice.session.then = { _, _ in lead = max(lead, alice.session.texts.count - bob.session.texts.count) }
        flood(bob)
        #expect(bob.session.texts == [], "alice's rest waits already")
        let long = String(repeating: "x", count: 5000)
        carol.channel.pipeline.fireChannelRead(ByteBuffer(bytes: ClientFrame.bytes(ClientFrame.text, "little")))
        #expect(carol.session.texts == ["little"])
        carol.channel.pipeline.fireChannelRead(ByteBuffer(bytes: ClientFrame.bytes(ClientFrame.text, long)))
        #expect(carol.session.texts == ["little"])
        alice.takeTurns()
        #expect(alice.session.texts == Self.texts)
        #expect(bob.session.texts == Self.texts)
        #expect(lead == 2 * 64)
        #expect(carol.session.texts == ["little", long])
    }

    @Test("what waits for its turn is paid for before it is heard")
    func pacedParts() throws {
        let rig = try flooded { $0.framesPerSecond = 50 }
        rig.takeTurns()
        #expect(rig.session.texts == Array(Self.texts[..<128]))
        rig.wait(.milliseconds(500))
        #expect(rig.session.texts == Array(Self.texts[..<128]), "28 frames too many take 560 ms")
        rig.wait(.milliseconds(100))
        #expect(rig.session.texts == Array(Self.texts[..<192]))
        #expect(rig.readsItself == false)
        rig.wait(.seconds(10))
        #expect(rig.session.texts == Self.texts)
        #expect(rig.readsItself == true)
    }

    @Test("what waits for its turn waits for the client to read, too")
    func stuckParts() throws {
        let rig = try flooded()
        rig.setWritable(false)
        #expect(rig.session.texts == Array(Self.texts[..<64]))
        rig.setWritable(true)
        #expect(rig.session.texts == Self.texts)
        #expect(rig.readsItself == true)
    }

    @Test("what waits for its turn is heard by turns before the end of the input, or of TCP, is")
    func partsBeforeTheEnd() throws {
        let rig = try flooded { $0.framesPerSecond = 50 }
        rig.channel.pipeline.fireUserInboundEventTriggered(ChannelEvent.inputClosed)
        #expect(rig.session.texts.count == 64)
        rig.takeTurns()
        #expect(rig.session.texts == Self.texts)
        #expect(rig.session.events.last == .closed(.lost))
        #expect(!rig.channel.isActive)
        let other = try flooded()
        other.channel.close(promise: nil)
        #expect(other.session.texts.count == 64)
        other.takeTurns()
        #expect(other.session.texts == Self.texts)
        #expect(other.session.events.last == .closed(.lost))
    }

    @Test("a Close that waits for its turn behind many messages is answered though the node closes, too")
    func closeBehindParts() throws {
        let rig = try Rig()
        let frames = Array(repeating: ClientFrame.bytes(ClientFrame.ping), count: 200).flatMap { $0 }
        rig.channel.pipeline.fireChannelRead(ByteBuffer(bytes: frames + ClientFrame.closing(1000)))
        rig.channel.pipeline.fireChannelReadComplete()
        rig.connection.close(.restart, reason: "")
        rig.takeTurns()
        #expect(rig.flushes.outputIsShut)
    }

    @Test("a connection that closes reads the end although it had to wait")
    func pacedClose() throws {
        let rig = try Rig { $0.framesPerSecond = 1 }
        try rig.receive(Array(Array(repeating: ClientFrame.bytes(ClientFrame.ping), count: 9).joined()))
        #expect(rig.readsItself == false)
        rig.connection.close(.restart, reason: "")
        #expect(rig.readsItself == true)
        try rig.receive(ClientFrame.closing(1012))
        #expect(rig.flushes.outputIsShut)
    }

    @Test("the client closes: its code comes back, then output is shut, and the session hears it once")
    func clientCloses() throws {
        let rig = try Rig()
        try rig.receive(ClientFrame.closing(3001, "enough"))
        #expect(try rig.sent() == closeFrame(3001))
        #expect(rig.flushes.outputIsShut)
        #expect(
            rig.session.events == [.opened, .burstOver, .closed(.byPeer(code: 3001))]
                || rig.session.events == [.opened, .closed(.byPeer(code: 3001))])
        rig.channel.pipeline.fireUserInboundEventTriggered(ChannelEvent.inputClosed)
        rig.wait(.seconds(60))
        #expect(!rig.channel.isActive)
        #expect(rig.session.events.count { if case .closed = $0 { true } else { false } } == 1)
    }

    @Test("the node closes: nothing is sent after it, the client's answer shuts output")
    func nodeCloses() throws {
        let rig = try Rig()
        rig.connection.close(.restart, reason: "later")
        #expect(rig.session.events == [.opened])
        rig.channel.embeddedEventLoop.run()
        #expect(rig.session.events == [.opened, .closed(.byNode(.restart))])
        rig.connection.send(frames: ByteBuffer(bytes: [0x81, 0]))
        rig.connection.flush()
        try rig.receive(ClientFrame.bytes(ClientFrame.text, "late"), ClientFrame.bytes(ClientFrame.ping, "late"))
        #expect(try rig.sent() == closeFrame(1012, "later"))
        #expect(!rig.flushes.outputIsShut)
        try rig.receive(ClientFrame.closing(1012))
        #expect(rig.flushes.outputIsShut)
        #expect(rig.session.events == [.opened, .closed(.byNode(.restart))])
    }

    @Test("a client that does not answer the node's Close is cut off")
    func unansweredClose() throws {
        let rig = try Rig { $0.closeTimeout = .seconds(2) }
        rig.connection.close(.goingAway, reason: "")
        rig.wait(.seconds(1))
        #expect(rig.channel.isActive)
        rig.wait(.seconds(2))
        #expect(!rig.channel.isActive)
    }

    @Test("a fault is told before TCP ends")
    func fault() throws {
        let rig = try Rig()
        try rig.receive(ClientFrame.bytes(ClientFrame.text, [0xFF]))
        #expect(try rig.sent() == closeFrame(1007, "the text is not UTF-8"))
        #expect(rig.flushes.outputIsShut)
        #expect(rig.session.events.last == .closed(.byNode(.invalidPayload)))
    }

    @Test("a session may close from within a message; what comes after it in the burst is not for it")
    func closeWithinMessage() throws {
        let rig = try Rig()
        rig.session.then = { event, connection in
            if case .binary = event { connection.close(.unsupportedData, reason: "") }
        }
        try rig.receive(ClientFrame.bytes(ClientFrame.binary, [1]) + ClientFrame.bytes(ClientFrame.text, "more"))
        #expect(rig.session.events == [.opened, .binary([1]), .closed(.byNode(.unsupportedData))])
        #expect(try rig.sent() == closeFrame(1003))
    }

    @Test("every heartbeat a ping; two without an answer, and the connection ends with 1001")
    func heartbeat() throws {
        let rig = try Rig { $0.heartbeat = .seconds(16) }
        rig.wait(.seconds(15))
        #expect(try rig.sent() == [])
        rig.wait(.seconds(1))
        #expect(try rig.sent() == [0x89, 0])
        try rig.receive(ClientFrame.bytes(ClientFrame.pong))
        rig.wait(.seconds(32))
        #expect(try rig.sent() == [0x89, 0, 0x89, 0])
        rig.wait(.seconds(16))
        #expect(try rig.sent() == closeFrame(1001, "no sign of life for two heartbeats"))
        #expect(rig.session.events.last == .closed(.byNode(.goingAway)))
    }

    @Test("a client that reads nothing for too long is ended with 1013, whatever its writes wait for")
    func stall() throws {
        let rig = try Rig { $0.stallTimeout = .seconds(8) }
        rig.setWritable(false)
        rig.wait(.seconds(7))
        #expect(rig.session.events == [.opened, .writable(false)])
        rig.wait(.seconds(2))
        #expect(rig.session.events.last == .closed(.byNode(.overloaded)))
        rig.wait(.seconds(4))
        #expect(!rig.channel.isActive)
    }

    @Test("a client that reads in time is not stalled")
    func recovery() throws {
        let rig = try Rig { $0.stallTimeout = .seconds(8) }
        for _ in 0..<4 {
            rig.setWritable(false)
            rig.wait(.seconds(6))
            rig.setWritable(true)
        }
        #expect(rig.channel.isActive)
        #expect(rig.connection.isWritable)
    }

    @Test("TCP ends without a word: lost, and told once")
    func lost() throws {
        let rig = try Rig()
        rig.channel.pipeline.fireUserInboundEventTriggered(ChannelEvent.inputClosed)
        rig.channel.embeddedEventLoop.run()
        #expect(rig.session.events == [.opened, .closed(.lost)])
        #expect(!rig.channel.isActive)
    }

    @Test("a session that closes as soon as it is opened is closed")
    func closeOnOpen() throws {
        let rig = try Rig()
        let session = RecordingSession()
        session.then = { event, connection in
            if event == .opened { connection.close(.policyViolation, reason: "no") }
        }
        let connection = WebSocketConnection(
            session: session,
            wheel: HeartbeatWheel(eventLoop: rig.channel.embeddedEventLoop, limits: WebSocketLimits()), peerAddress: "")
        try rig.channel.pipeline.syncOperations.addHandler(connection)
        connection.start()
        rig.channel.embeddedEventLoop.run()
        #expect(session.events == [.opened, .closed(.byNode(.policyViolation))])
    }

    @Test("a close reason is cut between characters to what a control frame holds")
    func longReason() {
        let frame = ControlFrame.close(1008, reason: String(repeating: "é", count: 100))
        #expect(frame.readableBytes == 2 + 2 + 122)
        #expect(frame.getInteger(at: 1, as: UInt8.self) == 124)
    }
}

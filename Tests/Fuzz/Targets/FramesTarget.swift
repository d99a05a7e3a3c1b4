import ChatGateway
import ChatProtocol
import Deflate
import NIOCore
import NIOEmbedded

/// What a client sends after its handshake. The first byte says how the others are cut into reads; where it is odd, the
/// client and the node agreed on compression.
struct FramesTarget: FuzzTarget {
    private static let longest = 4096
    private static let fragments = 64

    func check(_ input: [UInt8]) {
        guard let seed = input.first else { return }
        let bytes = Array(input.dropFirst())
        let isDeflating = seed & 1 == 1
        let events = decode(bytes, by: nil, isDeflating: isDeflating)
        precondition(
            events == decode(bytes, by: Cuts(seed), isDeflating: isDeflating), "it matters how the bytes are cut")
        for (index, event) in events.enumerated() { check(event, isLast: index == events.count - 1) }
        // Its answers are longer in the form that is checked.
        if !isDeflating { answer(bytes, by: Cuts(seed), to: events) }
    }

    private func check(_ event: FrameEvent, isLast: Bool) {
        switch event {
        case .text(let text):
            precondition(text.readableBytes <= Self.longest)
            precondition(String(validating: text.readableBytesView, as: UTF8.self) != nil)
        case .binary(let bytes):
            precondition(bytes.readableBytes <= Self.longest)
        case .ping(let payload), .pong(let payload):
            precondition(payload.readableBytes <= 125)
        case .close, .failure:
            precondition(isLast)
        }
    }

    private func decode(_ bytes: [UInt8], by cuts: Cuts?, isDeflating: Bool) -> [FrameEvent] {
        var decoder = FrameDecoder(
            maxMessageBytes: Self.longest, maxFragments: Self.fragments, inflater: isDeflating ? Inflater() : nil)
        var events: [FrameEvent] = []
        forEachRead(of: bytes, by: cuts) { read in
            var read = read
            while let event = decoder.next(&read) { events.append(event) }
            precondition(read.readableBytes == 0, "bytes were left")
            precondition(decoder.heldBytes <= 2 * Self.longest, "more is held than a message may have")
        }
        return events
    }

    private func forEachRead(of bytes: [UInt8], by cuts: Cuts?, _ body: (ByteBuffer) -> Void) {
        guard var cuts else { return body(ByteBuffer(bytes: bytes)) }
        var rest = bytes[...]
        while !rest.isEmpty {
            let read = rest.prefix(cuts.next())
            rest = rest.dropFirst(read.count)
            body(ByteBuffer(bytes: read))
        }
    }

    // MARK: The whole connection

    /// Gives the bytes to a connection that echoes, and reads what it answers.
    private func answer(_ bytes: [UInt8], by cuts: Cuts, to events: [FrameEvent]) {
        let channel = EmbeddedChannel()
        var limits = WebSocketLimits()
        limits.maxMessageBytes = Self.longest
        limits.maxFragments = Self.fragments
        let connection = WebSocketConnection(
            session: EchoSession(),
            wheel: HeartbeatWheel(eventLoop: channel.embeddedEventLoop, limits: limits), peerAddress: "")
        do {
            try channel.pipeline.syncOperations.addHandler(connection)
            try channel.connect(to: SocketAddress(ipAddress: "192.0.2.1", port: 1)).wait()
            connection.start()
            forEachRead(of: bytes, by: cuts) { read in
                channel.pipeline.fireChannelRead(read)
                channel.pipeline.fireChannelReadComplete()
                // Longer than it takes until all that was read has had its turn.
                channel.embeddedEventLoop.advanceTime(by: .milliseconds(1))
            }
            var output = ByteBuffer()
            while let part = try channel.readOutbound(as: ByteBuffer.self) { output.writeImmutableBuffer(part) }
            checkAnswers(&output, to: events)
            channel.pipeline.fireUserInboundEventTriggered(ChannelEvent.inputClosed)
            channel.embeddedEventLoop.advanceTime(by: limits.closeTimeout + .seconds(1))
            precondition(!channel.isActive, "the connection outlives its client")
            _ = try? channel.finish(acceptAlreadyClosed: true)
        } catch {
            preconditionFailure("\(error)")
        }
    }

    private func checkAnswers(_ output: inout ByteBuffer, to events: [FrameEvent]) {
        for event in events {
            switch event {
            case .text(let text): expect(0x81, text, in: &output)
            case .binary(let bytes): expect(0x82, bytes, in: &output)
            case .ping(let payload): expect(0x8A, payload, in: &output)
            case .pong: break
            case .close(let code, _):
                expect(0x88, code.map { ByteBuffer(integer: $0) } ?? ByteBuffer(), in: &output)
            case .failure(let code, let reason):
                var payload = ByteBuffer(integer: code.rawValue)
                payload.writeString(reason)
                expect(0x88, payload, in: &output)
            }
        }
        precondition(output.readableBytes == 0, "more was said than was to be answered")
    }

    private func expect(_ first: UInt8, _ payload: ByteBuffer, in output: inout ByteBuffer) {
        var frame = ByteBuffer()
        TextFrame.writeHeader(payload: payload.readableBytes, into: &frame)
        frame.setInteger(first, at: frame.readerIndex)
        frame.writeImmutableBuffer(payload)
        precondition(output.readSlice(length: frame.readableBytes) == frame, "another answer was due")
    }
}

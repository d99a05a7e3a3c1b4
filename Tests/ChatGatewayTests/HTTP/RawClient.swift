import NIOCore
import NIOPosix

/// A TCP client that says exactly what it is told to, and reads HTTP answers and a server's frames.
final class RawClient {
    struct Frame: Equatable {
        var first: UInt8
        var payload: [UInt8]

        static func text(_ text: String) -> Frame { Frame(first: 0x81, payload: Array(text.utf8)) }

        /// The code of a Close frame.
        var closeCode: UInt16? {
            first == 0x88 && payload.count >= 2 ? UInt16(payload[0]) << 8 | UInt16(payload[1]) : nil
        }
    }

    struct Answer {
        var head: String
        var body: String

        var status: Int { Int(head.split(separator: " ").dropFirst().first ?? "") ?? 0 }

        func field(_ name: String) -> String? {
            for line in head.split(separator: "\r\n").dropFirst() {
                let halves = line.split(separator: ":", maxSplits: 1)
                if halves.count == 2, halves[0].lowercased() == name.lowercased() {
                    return String(halves[1].drop { $0 == " " })
                }
            }
            return nil
        }
    }

    struct Ended: Error {}

    static let handshake =
        "Host: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        + "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"

    let channel: any Channel
    private var inbound: NIOAsyncChannelInboundStream<ByteBuffer>.AsyncIterator
    private let outbound: NIOAsyncChannelOutboundWriter<ByteBuffer>
    private var buffer = ByteBuffer()

    private init(
        channel: any Channel, inbound: NIOAsyncChannelInboundStream<ByteBuffer>,
        outbound: NIOAsyncChannelOutboundWriter<ByteBuffer>
    ) {
        self.channel = channel
        self.inbound = inbound.makeAsyncIterator()
        self.outbound = outbound
    }

    /// Connects, does what it is told, and closes.
    static func connect<Value: Sendable>(
        to address: SocketAddress, _ body: @Sendable (RawClient) async throws -> Value
    ) async throws -> Value {
        let channel = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .channelOption(.allowRemoteHalfClosure, value: true)
            .connect(to: address) { channel in
                channel.eventLoop.makeCompletedFuture {
                    try NIOAsyncChannel<ByteBuffer, ByteBuffer>(
                        wrappingChannelSynchronously: channel, configuration: .init(isOutboundHalfClosureEnabled: true))
                }
            }
        return try await channel.executeThenClose { inbound, outbound in
            try await body(RawClient(channel: channel.channel, inbound: inbound, outbound: outbound))
        }
    }

    func send(_ text: String) async throws { try await outbound.write(ByteBuffer(string: text)) }

    func send(_ bytes: [UInt8]) async throws { try await outbound.write(ByteBuffer(bytes: bytes)) }

    func endOutput() { outbound.finish() }

    /// Opens a WebSocket and returns the answer to the handshake.
    @discardableResult
    func upgrade(_ target: String = "/echo", fields: String = "") async throws -> Answer {
        try await send("GET \(target) HTTP/1.1\r\n" + fields + Self.handshake)
        return try await answer()
    }

    private func more() async throws {
        guard var bytes = try await inbound.next() else { throw Ended() }
        buffer.writeBuffer(&bytes)
    }

    func answer(hasBody: Bool = true) async throws -> Answer {
        var head = ""
        while true {
            let text = String(buffer: buffer)
            if let end = text.range(of: "\r\n\r\n") {
                head = String(text[..<end.lowerBound])
                buffer.moveReaderIndex(forwardBy: head.utf8.count + 4)
                break
            }
            try await more()
        }
        var answer = Answer(head: head, body: "")
        let length = hasBody ? Int(answer.field("Content-Length") ?? "") ?? 0 : 0
        while buffer.readableBytes < length { try await more() }
        answer.body = buffer.readString(length: length) ?? ""
        return answer
    }

    func frame() async throws -> Frame {
        while true {
            if let frame = takeFrame() { return frame }
            try await more()
        }
    }

    private func takeFrame() -> Frame? {
        var peek = buffer
        guard let first = peek.readInteger(as: UInt8.self), let short = peek.readInteger(as: UInt8.self) else {
            return nil
        }
        var length = Int(short)
        if short == 126 {
            guard let long = peek.readInteger(as: UInt16.self) else { return nil }
            length = Int(long)
        } else if short == 127 {
            guard let long = peek.readInteger(as: UInt64.self) else { return nil }
            length = Int(long)
        }
        guard let payload = peek.readBytes(length: length) else { return nil }
        buffer = peek
        return Frame(first: first, payload: payload)
    }

    /// Waits for the orderly end of TCP.
    ///
    /// - Returns: how many bytes came before it.
    @discardableResult
    func end() async throws -> Int {
        var count = buffer.readableBytes
        while let bytes = try await inbound.next() { count += bytes.readableBytes }
        return count
    }
}

extension String {
    fileprivate func range(of text: String) -> Range<String.Index>? { ranges(of: text).first }
}

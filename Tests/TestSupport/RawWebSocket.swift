package import NIOCore

/// A WebSocket client that does exactly what it is told, right or wrong.
package final class RawWebSocket: Sendable {
    /// A frame as a client sends it. The mask key is fixed: nobody here needs it to be a secret.
    package struct Frame: Sendable {
        package var firstByte: UInt8
        package var isMasked: Bool
        package var payload: [UInt8]

        package init(firstByte: UInt8, isMasked: Bool = true, payload: [UInt8]) {
            self.firstByte = firstByte
            self.isMasked = isMasked
            self.payload = payload
        }

        package static func text(_ text: String) -> Frame { Frame(firstByte: 0x81, payload: Array(text.utf8)) }
        package static func close(_ code: UInt16) -> Frame {
            Frame(firstByte: 0x88, payload: [UInt8(code >> 8), UInt8(code & 0xFF)])
        }

        package var bytes: ByteBuffer {
            var out = ByteBuffer()
            let mask: UInt8 = isMasked ? 0x80 : 0
            out.writeInteger(firstByte)
            switch payload.count {
            case ..<126: out.writeInteger(mask | UInt8(payload.count))
            case ..<65_536: out.writeMultipleIntegers(mask | 126, UInt16(payload.count))
            default: out.writeMultipleIntegers(mask | 127, UInt64(payload.count))
            }
            guard isMasked else {
                out.writeBytes(payload)
                return out
            }
            let key: [UInt8] = [0x37, 0xFA, 0x21, 0x3D]
            out.writeBytes(key)
            out.writeBytes(payload.enumerated().map { $1 ^ key[$0 & 3] })
            return out
        }
    }

    /// What a server sends.
    package enum Incoming: Sendable, Equatable {
        case text(String)
        /// A text that is compressed.
        case compressedText([UInt8])
        case ping([UInt8])
        case pong([UInt8])
        case close(UInt16?)
        /// TCP ended.
        case end
    }

    private let connection: RawConnection

    private init(connection: RawConnection) {
        self.connection = connection
    }

    /// - Throws: ``RefusedHandshake`` when the answer is not 101.
    package static func open(
        port: Int, query: String, headers: [String: String] = [:], receiveBuffer: Int? = nil,
        prepare: @escaping @Sendable (any Channel) throws -> Void = { _ in }
    ) async throws -> RawWebSocket {
        let fields = [
            "Host": "127.0.0.1:\(port)", "Upgrade": "websocket", "Connection": "Upgrade",
            "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
        ].merging(headers) { $1 }
        let connection = try await RawConnection.connect(
            host: "127.0.0.1", port: port, receiveBuffer: receiveBuffer, prepare: prepare)
        do {
            try await connection.send(
                "GET /ws?\(query) HTTP/1.1\r\n" + fields.map { "\($0): \($1)\r\n" }.joined() + "\r\n")
            let answer = try await connection.receive("the answer to a handshake") { try HTTPProbe.parse(&$0) }
            guard let answer, answer.status == 101,
                answer.headers["sec-websocket-accept"] == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
            else { throw RefusedHandshake(answer: answer) }
            return RawWebSocket(connection: connection)
        } catch {
            await connection.close()
            throw error
        }
    }

    package func send(_ frame: Frame) async throws { try await connection.send(frame.bytes) }

    /// In one write.
    package func send(_ frames: [Frame]) async throws {
        var bytes = ByteBuffer()
        for frame in frames { bytes.writeImmutableBuffer(frame.bytes) }
        try await connection.send(bytes)
    }

    package func send(bytes: [UInt8]) async throws { try await connection.send(ByteBuffer(bytes: bytes)) }

    package func next(within limit: TimeAmount = .seconds(20)) async throws -> Incoming {
        try await connection.receive("a frame", within: limit) { try Self.parse(&$0) } ?? .end
    }

    /// Stops reading from the socket, so that the gateway's output piles up; and goes on.
    package func setReading(_ isReading: Bool) async throws { try await connection.setReading(isReading) }

    /// Ends TCP without a word.
    package func cut() async { await connection.close() }

    /// Takes a frame from the front; nil when it is not whole yet.
    package static func parse(_ bytes: inout ByteBuffer) throws -> Incoming? {
        var rest = bytes
        guard let first: UInt8 = rest.readInteger(), let second: UInt8 = rest.readInteger() else { return nil }
        var length = Int(second)
        if second == 126 {
            guard let long: UInt16 = rest.readInteger() else { return nil }
            length = Int(long)
        } else if second == 127 {
            guard let long: UInt64 = rest.readInteger() else { return nil }
            length = Int(long)
        }
        guard let payload = rest.readBytes(length: length) else { return nil }
        bytes = rest
        switch first {
        case 0x81: return .text(String(decoding: payload, as: UTF8.self))
        case 0xC1: return .compressedText(payload)
        case 0x89: return .ping(payload)
        case 0x8A: return .pong(payload)
        case 0x88: return .close(payload.count >= 2 ? UInt16(payload[0]) << 8 | UInt16(payload[1]) : nil)
        default: throw Impatience(description: "a server must not send a frame that begins with \(first)")
        }
    }
}

/// The gateway answered the handshake otherwise than by 101.
package struct RefusedHandshake: Error {
    /// nil: it closed without an answer.
    package var answer: HTTPAnswer?
}

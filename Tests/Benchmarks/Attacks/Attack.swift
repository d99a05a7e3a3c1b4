import NIOCore
import NIOPosix
import TestSupport

/// What somebody may try. Each goes on until its process is ended.
enum Attack: String, CaseIterable {
    case pings = "ping flood"
    case tinyFrames = "1-byte frames"
    case fullJSON = "JSON full of keys"
    case hugeJSON = "huge JSON"
    case slowHandshakes = "slow handshakes"
    case badTokens = "bad tokens"
    case churn = "connection churn"
    case stalledReaders = "stalled readers"
    case history = "history"
    case replays = "replays"

    func run(port: Int, token: String) async throws {
        switch self {
        case .pings:
            try await flood(.init(firstByte: 0x89, payload: []), port: port, token: token)
        case .tinyFrames:
            try await flood(.text("x"), port: port, token: token)
        case .fullJSON:
            try await flood(.text(Self.json(bytes: 16 * 1024)), port: port, token: token)
        case .hugeJSON:
            try await flood(.text(Self.json(bytes: 64 * 1024)), port: port, token: token)
        case .history:
            let page = #"{"type":"history","id":"1","room":"calm","limit":1000}"#
            try await flood(.text(page), by: 1, port: port, token: token)
        case .replays:
            let join = #"{"type":"join","room":"calm","since":"0-0"}"#
            try await flood(.text(join), by: 1, port: port, token: token)
        case .slowHandshakes:
            let words = Array(Socket.handshake(port: port, token: token).utf8)
            try await together(1000) {
                guard let connection = try? await RawConnection.connect(host: "127.0.0.1", port: port) else { return }
                for word in words {
                    try await Task.sleep(for: .milliseconds(200))
                    guard (try? await connection.send(ByteBuffer(integer: word))) != nil else { break }
                }
                await connection.close()
            }
        case .badTokens:
            try await together(16) { _ = try? await Socket.open(port: port, token: token + "x") }
        case .churn:
            try await together(16) {
                guard let channel = try? await Socket.open(port: port, token: token) else { return }
                let join = RawWebSocket.Frame.text(#"{"type":"join","room":"noise"}"#)
                try? await channel.writeAndFlush(join.bytes)
                try? await channel.close()
            }
        case .stalledReaders:
            try await together(200) {
                let channel = try await Socket.open(port: port, token: token)
                try await channel.writeAndFlush(RawWebSocket.Frame.text(#"{"type":"join","room":"calm"}"#).bytes)
                try await channel.setOption(ChannelOptions.autoRead, value: false).get()
                try await channel.closeFuture.get()
            }
        }
    }

    /// An object that has as many keys as fit, each to be told from all others, for a room that the sender is not in.
    private static func json(bytes: Int) -> String {
        var text = #"{"type":"message","room":"calm","data":{"#
        var number = 0
        while text.utf8.count < bytes - 16 {
            text += "\"\(String(number, radix: 36))\":1,"
            number += 1
        }
        return text + #""":1}}"#
    }

    /// Connections that send one frame again and again, as fast as it is taken, and read what is answered.
    private func flood(_ frame: RawWebSocket.Frame, by count: Int = 8, port: Int, token: String) async throws {
        let one = frame.bytes
        var block = ByteBuffer()
        repeat { block.writeImmutableBuffer(one) } while block.readableBytes < 64 * 1024
        let bytes = block
        try await together(count) {
            guard let channel = try? await Socket.open(port: port, token: token) else { return }
            while (try? await channel.writeAndFlush(bytes)) != nil {}
        }
    }

    private func together(_ count: Int, _ body: @escaping @Sendable () async throws -> Void) async throws {
        try await withThrowingDiscardingTaskGroup { tasks in
            for _ in 0..<count { tasks.addTask { while true { try await body() } } }
        }
    }
}

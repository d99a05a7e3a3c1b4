import ChatProtocol
import Hiredis
import NIOCore
import TestSupport

/// The wrapper over hiredis: what Redis publishes becomes Swift values, what is stored becomes the bytes of a command.
enum WrapperBenchmarks {
    static var all: [Benchmark] {
        [decoding(messages: 2_000), encoding(times: 1_000), appending(batches: 200)]
    }

    /// As many publications as come in reads of 16 KiB.
    private static func decoding(messages: Int) -> Benchmark {
        let channel = ByteBuffer(string: "roost:{general}")
        let payload = ByteBuffer(repeating: UInt8(ascii: "x"), count: 256)
        var wire = ByteBuffer()
        for _ in 0..<messages {
            wire.writeString("*3\r\n$7\r\nmessage\r\n$\(channel.readableBytes)\r\n")
            wire.writeImmutableBuffer(channel)
            wire.writeString("\r\n$\(payload.readableBytes)\r\n")
            wire.writeImmutableBuffer(payload)
            wire.writeString("\r\n")
        }
        var reads: [ByteBuffer] = []
        while wire.readableBytes > 0, let read = wire.readSlice(length: min(16 << 10, wire.readableBytes)) {
            // A buffer of its own, as each read from a socket has.
            reads.append(ByteBuffer(bytes: read.readableBytesView))
        }
        return Benchmark("hiredis: decode a published message", operations: messages) {
            let reader = ReplyReader()
            var bytes = 0
            do {
                for read in reads {
                    try reader.feed(read)
                    while case .array(let elements)? = try reader.next() {
                        if case .bulk(let payload) = elements[2] { bytes += payload.readableBytes }
                    }
                }
            } catch {
                preconditionFailure("\(error)")
            }
            precondition(bytes == messages * 256)
        }
    }

    /// One call of a script with one message.
    private static func encoding(times: Int) -> Benchmark {
        let body = ByteBuffer(repeating: UInt8(ascii: "x"), count: 200)
        return Benchmark("hiredis: encode EVALSHA with a message", operations: times) {
            var out = ByteBuffer()
            for _ in 0..<times {
                out.clear()
                CommandFormatter.write(call(of: [body]), into: &out)
            }
            consume(out.readableBytes)
        }
    }

    /// What a turn in which a room got ten messages costs: each is rendered for the log, and one call takes them all.
    private static func appending(batches: Int) -> Benchmark {
        let room = RoomName.of("general")
        let user = UserName.of("alice")
        let id = RequestID("7f2c0b9e-5a41-4d0c-9f6e-2b1d8c3a4e5f")
        let content = Content(string: String(repeating: "x", count: 128))
        return Benchmark("append: render and encode a message of ten", operations: batches * 10) {
            var out = ByteBuffer()
            for _ in 0..<batches {
                out.clear()
                let bodies = (0..<10).map { _ in
                    StoredMessage.render(room: room, user: user, id: id, to: nil, content: content).body
                }
                CommandFormatter.write(call(of: bodies), into: &out)
            }
            consume(out.readableBytes)
        }
    }

    /// As `RedisBroker` writes it: the script, four keys, six arguments, and two for each message.
    static func call(of bodies: [ByteBuffer]) -> [Argument] {
        var arguments: [Argument] = [
            "EVALSHA", "0123456789abcdef0123456789abcdef01234567", .integer(4), "roost:{general}:log",
            "roost:{general}:retried", "roost:{general}:rules", "roost:{general}:pace", "roost:{general}",
            "1700000000000-42", "1700000000000000 1", "0123456789abcdef", "1700000000000-43",
            "10000 86400000 300000 1 0",
        ]
        for body in bodies {
            arguments.append("200 \n")
            arguments.append(.bytes(body))
        }
        return arguments
    }
}

import ChatHub
import ChatProtocol
import NIOCore
import TestSupport

/// The words on the wire: what a client says is read, and what it gets is framed.
enum ProtocolBenchmarks {
    static var all: [Benchmark] {
        [
            reading(
                "a message", #"{"type":"message","id":"7f2c0b9e","room":"general","text":"\#(text)"}"#, times: 1_000),
            reading("a join", #"{"type":"join","id":"1","room":"general","history":20}"#, times: 1_000),
            framing(turns: 200),
        ]
    }

    private static let text = String(repeating: "x", count: 128)

    private static func reading(_ what: String, _ json: String, times: Int) -> Benchmark {
        let frame = ByteBuffer(string: json)
        return Benchmark("scan: \(what) of a client", operations: times) {
            for _ in 0..<times {
                guard case .success = ClientMessage.parse(frame) else { preconditionFailure("it is right") }
            }
        }
    }

    /// The frames of a turn that brought ten messages.
    private static func framing(turns: Int) -> Benchmark {
        let body = StoredMessage.render(
            room: .of("general"), user: .of("alice"), id: RequestID("7f2c0b9e"), to: nil,
            content: Content(string: text)
        ).body
        return Benchmark("frames: build one of ten", operations: turns * 10) {
            for _ in 0..<turns {
                var builder = DeliveryBuilder()
                var position = Position(epoch: 1_700_000_000_000, seq: 1)
                for _ in 0..<10 {
                    let previous = position
                    position.seq += 1
                    builder.append(
                        body, at: position, after: previous, time: 1_700_000_000_000, sentAt: 1, exceptFor: nil)
                }
                consume(builder.finish(at: position).frames.readableBytes)
            }
        }
    }
}

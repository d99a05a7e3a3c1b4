import Hiredis
import NIOCore

/// The wrapper at work.
enum Wrapper {
    static func decode(_ traffic: Traffic) -> Int {
        let reader = ReplyReader()
        var seen = 0
        do {
            for feed in traffic.feeds {
                try reader.feed(feed)
                while let reply = try reader.next() {
                    if case .array(let elements) = reply, elements.count == 3, case .bulk(let payload) = elements[2] {
                        seen += payload.readableBytes
                    }
                }
            }
        } catch {
            preconditionFailure("\(error)")
        }
        return seen
    }

    static func encodeBuffers(_ traffic: Traffic) -> Int {
        let name = ByteBuffer(string: "PUBLISH")
        return self.encode(traffic) { CommandFormatter.write([name, traffic.channel, traffic.payload], into: &$0) }
    }

    static func encodeArguments(_ traffic: Traffic) -> Int {
        self.encode(traffic) {
            CommandFormatter.write(["PUBLISH", .text(traffic.channelName), .bytes(traffic.payload)], into: &$0)
        }
    }

    private static func encode(_ traffic: Traffic, _ write: (inout ByteBuffer) -> Void) -> Int {
        var written = 0
        var out = ByteBuffer()
        for _ in 0..<traffic.messages {
            write(&out)
            if out.readableBytes > 32 << 10 {
                written += out.readableBytes
                out.clear()
            }
        }
        return written + out.readableBytes
    }
}

import ChatHub
import ChatProtocol
import Hiredis
import NIOCore
import RedisBroker
import TestSupport

/// The two ways of a message through a gateway, without sockets: from a client's frame to the command that stores it and
/// from the answer to the `ack`, and from the publication to what ten members are sent.
enum PathBenchmarks {
    static var all: [Benchmark] {
        get throws { try [appending(calls: 100, messages: 10), delivering(publications: 100, messages: 10)] }
    }

    private static let text = String(repeating: "x", count: 128)

    private static func appending(calls: Int, messages: Int) -> Benchmark {
        let json = #"{"type":"message","id":"7f2c0b9e","room":"general","text":"\#(text)"}"#
        let frame = ByteBuffer(string: json)
        let answer = ByteBuffer(string: "*2\r\n$15\r\n1700000000000-8\r\n$13\r\n1700000000000\r\n")
        let user = UserName.of("alice")
        let reader = ReplyReader()
        return Benchmark("path: a message to the command, the answer to the ack", operations: calls * messages) {
            var out = ByteBuffer()
            for _ in 0..<calls {
                out.clear()
                var posts: [(post: Post, body: ByteBuffer)] = []
                for _ in 0..<messages {
                    guard case .success(.message(let post)) = ClientMessage.parse(frame) else {
                        preconditionFailure("it is right")
                    }
                    let body = StoredMessage.render(
                        room: post.room, user: user, id: post.id, to: nil, content: post.content
                    ).body
                    posts.append((post, body))
                }
                CommandFormatter.write(WrapperBenchmarks.call(of: posts.map(\.body)), into: &out)
                try? reader.feed(answer)
                guard case .array(let parts)? = try? reader.next(), parts.count == 2, case .bulk(let bytes) = parts[0],
                    var position = bytes.withUnsafeReadableBytes({ Position(decimal: $0) })
                else { preconditionFailure("it is right") }
                for (post, _) in posts {
                    guard let id = post.id else { continue }
                    let ack = Ack(id: id, room: post.room, position: position, time: 1_700_000_000_000)
                    ServerMessage.ack(ack).write(into: &out)
                    position.seq += 1
                }
            }
            consume(out.readableBytes)
        }
    }

    private static func delivering(publications: Int, messages: Int) throws -> Benchmark {
        let room = try BusyRoom(members: 10)
        let reader = ReplyReader()
        // Once to fill caches, and once to be counted.
        var prepared = (0..<(2 * publications)).map { _ in room.publication(of: messages) }.makeIterator()
        return Benchmark(
            "path: a publication of ten, for each message to ten members", operations: publications * messages,
            run: {
                for _ in 0..<publications {
                    guard let bytes = prepared.next(), (try? reader.feed(bytes)) != nil,
                        case .array(let parts)? = try? reader.next(), parts.count == 3,
                        case .bulk(let payload) = parts[2], let publication = try? PublicationCodec.parse(payload)
                    else { preconditionFailure("it is right") }
                    room.publish(publication)
                }
            }, check: room.check)
    }
}

import ChatHub
import ChatProtocol
import Hiredis
import NIOCore
import RedisBroker

/// What Redis sends, through hiredis, and what a publication says. The first byte says how the others are cut into reads.
struct RedisTarget: FuzzTarget {
    private static let limits = ReplyReader.Limits(
        bulkBytes: 1024, lineBytes: 256, arrayElements: 64, depth: 5, unfinishedBytes: 2048)

    private struct Outcome: Equatable {
        var replies: [Reply] = []
        var failure: ReplyProtocolError.Code?
    }

    func check(_ input: [UInt8]) {
        guard let seed = input.first else { return }
        let bytes = Array(input.dropFirst())
        let whole = read([ByteBuffer(bytes: bytes)])
        var cuts = Cuts(seed)
        var reads: [ByteBuffer] = []
        var rest = bytes[...]
        while !rest.isEmpty {
            let read = rest.prefix(cuts.next())
            rest = rest.dropFirst(read.count)
            reads.append(ByteBuffer(bytes: read))
        }
        let cut = read(reads)
        // How much is unfinished is looked at between two reads.
        precondition(cut == whole || cut.failure != nil || whole.failure != nil, "it matters how the bytes are cut")
        let common = min(whole.replies.count, cut.replies.count)
        precondition(whole.replies.prefix(common) == cut.replies.prefix(common))
        for reply in whole.replies { check(reply, depth: 0) }
        checkPublication(ByteBuffer(bytes: bytes))
    }

    private func read(_ reads: [ByteBuffer]) -> Outcome {
        let reader = ReplyReader(limits: Self.limits)
        defer { reader.close() }
        var outcome = Outcome()
        do {
            for read in reads {
                try reader.feed(read)
                while let reply = try reader.next() { outcome.replies.append(reply) }
            }
        } catch {
            outcome.failure = error.code
        }
        return outcome
    }

    private func check(_ reply: Reply, depth: Int) {
        switch reply {
        case .bulk(let bytes):
            precondition(bytes.readableBytes <= Self.limits.bulkBytes)
            checkPublication(bytes)
        case .status(let line): precondition(line.readableBytes <= Self.limits.lineBytes)
        case .error(let line): precondition(line.utf8.count <= 3 * Self.limits.lineBytes)
        case .array(let elements):
            precondition(depth < Self.limits.depth && elements.count <= Self.limits.arrayElements)
            for element in elements { check(element, depth: depth + 1) }
        case .integer, .null: break
        }
    }

    private func checkPublication(_ bytes: ByteBuffer) {
        guard let publication = try? PublicationCodec.parse(bytes) else { return }
        switch publication {
        case .messages(let batch):
            precondition(batch.first > batch.previous && !batch.messages.isEmpty)
            precondition(batch.messages.reduce(0) { $0 + $1.body.readableBytes } < bytes.readableBytes)
        case .signal(let event, let origin):
            precondition(PublicationCodec.signal(event, from: origin).readableBytes <= bytes.readableBytes + 16)
        case .presence(let change):
            precondition(UserName(change.user.text) == change.user)
        case .count, .control: break
        }
    }
}

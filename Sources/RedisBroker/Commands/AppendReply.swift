import ChatHub
import ChatProtocol
import Hiredis
import NIOCore

/// Reads what the append script answers.
enum AppendReply {
    /// The receipts of so many drafts, in their order; nil when the answer is not the script's.
    static func receipts(_ reply: Reply, count: Int) -> [Receipt]? {
        guard case .array(let parts) = reply, parts.count >= 2, (parts.count - 2) % 3 == 0,
            let first = parts[0].position, let time = parts[1].number
        else { return nil }
        var copies: [Int: Receipt] = [:]
        for index in stride(from: 2, to: parts.count, by: 3) {
            guard case .integer(let number) = parts[index], (0..<Int64(count)).contains(number),
                let position = parts[index + 1].position, let time = parts[index + 2].number
            else { return nil }
            copies[Int(number)] = Receipt(position: position, time: time, isDuplicate: true)
        }
        guard copies.count == count || first.seq > 0 else { return nil }
        guard !first.seq.addingReportingOverflow(UInt64(count)).overflow else { return nil }
        var next = first
        return (0..<count).map { number in
            if let copy = copies[number] { return copy }
            defer { next.seq += 1 }
            return Receipt(position: next, time: time, isDuplicate: false)
        }
    }
}

extension Reply {
    /// A bulk string's bytes.
    var bytes: ByteBuffer? {
        guard case .bulk(let bytes) = self else { return nil }
        return bytes
    }

    var position: Position? { bytes.flatMap(PublicationCodec.position) }

    var number: UInt64? { bytes.flatMap(PublicationCodec.number) }
}

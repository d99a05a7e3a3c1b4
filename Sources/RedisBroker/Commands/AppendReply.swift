import ChatHub
import ChatProtocol
import Hiredis
import NIOCore

/// Reads what the append script answers.
enum AppendReply {
    typealias Outcome = Result<Receipt, BrokerError>

    /// What became of so many drafts, in their order; nil when the answer is not the script's.
    static func outcomes(_ reply: Reply, count: Int) -> [Outcome]? {
        guard case .array(let parts) = reply, parts.count >= 2, (parts.count - 2) % 3 == 0,
            let first = parts[0].position, let time = parts[1].number
        else { return nil }
        guard !first.seq.addingReportingOverflow(UInt64(count)).overflow else { return nil }
        if parts.count == 2, first.seq > 0 {
            return (0..<UInt64(count)).map { number in
                let position = Position(epoch: first.epoch, seq: first.seq + number)
                return .success(Receipt(position: position, time: time, isDuplicate: false))
            }
        }
        var others: [Int: Outcome] = [:]
        for index in stride(from: 2, to: parts.count, by: 3) {
            guard case .integer(let number) = parts[index], (0..<Int64(count)).contains(number),
                let bytes = parts[index + 1].bytes, let last = parts[index + 2].number
            else { return nil }
            if let position = PublicationCodec.position(bytes) {
                others[Int(number)] = .success(Receipt(position: position, time: last, isDuplicate: true))
            } else if let why = Prohibition(String(buffer: bytes), wait: Int(clamping: last)) {
                others[Int(number)] = .failure(.forbidden(why))
            } else {
                return nil
            }
        }
        guard others.count == count || first.seq > 0 else { return nil }
        var next = first
        return (0..<count).map { number in
            if let other = others[number] { return other }
            defer { next.seq += 1 }
            return .success(Receipt(position: next, time: time, isDuplicate: false))
        }
    }
}

extension Prohibition {
    /// As the scripts say it.
    init?(_ word: String, wait: Int) {
        switch word {
        case "banned": self = .banned
        case "muted": self = .muted
        case "full": self = .full
        case "seated": self = .seated
        case "slow": self = .slow(wait: wait)
        case "busy": self = .busy(wait: wait)
        default: return nil
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

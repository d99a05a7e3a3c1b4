import Hiredis
import NIOCore

/// What the sentinels say of the primary, and whom to believe.
///
/// Sentinels need not agree: who was cut off knows the past, and who leads a failover knows its outcome seconds before
/// the others. Each answer carries the configuration epoch, which grows with each failover: the greatest is right.
struct SentinelView {
    struct Answer: Equatable {
        var primary: RedisURL.Endpoint
        var epoch: UInt64
    }

    private var answers: [Answer?]
    private var announced: Answer?

    init(sentinels: Int) { answers = Array(repeating: nil, count: sentinels) }

    /// Where the primary is, by what the sentinels said last; nil when none of them knows.
    var primary: RedisURL.Endpoint? { latest?.primary }

    private var latest: Answer? {
        // The first of several with one epoch, so that the choice does not waver.
        answers.lazy.compactMap { $0 }.reduce(nil) { best, next in
            guard let best else { return next }
            return next.epoch > best.epoch ? next : best
        }
    }

    /// A sentinel answered, or said that it knows no such primary. Whether nothing better is known.
    mutating func answered(_ sentinel: Int, _ answer: Answer?) -> Bool {
        answers[sentinel] = answer
        guard let answer, let latest else { return false }
        return answer.epoch >= latest.epoch
    }

    /// Where the primary has moved to since the last call, nil when it has not. A past that comes to the fore because the
    /// sentinel that knew better is away is no news.
    mutating func news() -> RedisURL.Endpoint? {
        guard let latest else { return nil }
        guard let announced else {
            self.announced = latest
            return nil
        }
        guard latest.epoch >= announced.epoch else { return nil }
        self.announced = latest
        return latest.primary == announced.primary ? nil : latest.primary
    }

    /// A sentinel cannot be asked any more: what it said last may be past.
    mutating func lost(_ sentinel: Int) { answers[sentinel] = nil }
}

extension SentinelView.Answer {
    /// Reads what `SENTINEL MASTER` and `SENTINEL GET-MASTER-ADDR-BY-NAME` answer: the first has the epoch, the second
    /// the address, during a failover that of the new primary already. nil when the sentinel does not know.
    init?(master: Reply, address: Reply) {
        guard case .array(let place) = address, place.count == 2,
            let host = place[0].bytes.map({ String(buffer: $0) }), !host.isEmpty,
            let port = place[1].bytes.flatMap({ Int(String(buffer: $0)) }), (1...65535).contains(port)
        else { return nil }
        primary = .tcp(host: host, port: port)
        epoch = 0
        guard case .array(let fields) = master else { return }
        for index in stride(from: 0, to: fields.count - 1, by: 2)
        where fields[index].bytes.map({ String(buffer: $0) }) == "config-epoch" {
            epoch = fields[index + 1].bytes.flatMap { UInt64(String(buffer: $0)) } ?? 0
        }
    }
}

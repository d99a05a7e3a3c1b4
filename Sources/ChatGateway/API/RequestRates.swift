import NIOConcurrencyHelpers
import NIOCore

/// Token buckets by name, such as one for each user. May be asked on any thread.
final class RequestRates: Sendable {
    let perSecond: Int
    private let burst: Int
    private let buckets = NIOLockedValueBox<[String: RateLimit]>([:])

    /// - Parameters:
    ///   - perSecond: 0 for no limit.
    ///   - seconds: how many seconds' worth may come at once.
    init(perSecond: Int, burst seconds: Int = 2) {
        self.perSecond = perSecond
        burst = perSecond * seconds
    }

    /// Takes tokens when there is one. Who takes more than there are waits until they are paid for.
    ///
    /// - Returns: nil when there was one, else the milliseconds until there will be.
    func take(_ count: Int = 1, of name: String, at now: NIODeadline) -> Int? {
        guard perSecond > 0 else { return nil }
        return withBucket(name, at: now) { $0.take(count, at: now) }
    }

    /// Takes tokens, whether there are any or not.
    func charge(_ count: Int, to name: String, at now: NIODeadline) {
        guard perSecond > 0 else { return }
        withBucket(name, at: now) { $0.charge(count, at: now) }
    }

    /// The milliseconds until there is a token; nil when there is one.
    func wait(of name: String, at now: NIODeadline) -> Int? {
        guard perSecond > 0 else { return nil }
        return buckets.withLockedValue { $0[name]?.wait(at: now) }
    }

    private func withBucket<Answer>(
        _ name: String, at now: NIODeadline, _ body: (inout RateLimit) -> Answer
    ) -> Answer {
        buckets.withLockedValue { buckets in
            if buckets.count >= Self.manyBuckets {
                // Who has been away for a while has a full one again.
                buckets = buckets.filter { !$0.value.isFull(at: now) }
            }
            return body(&buckets[name, default: RateLimit(perSecond: perSecond, burst: burst, at: now)])
        }
    }

    private static let manyBuckets = 10_000
}

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

    /// Takes one token.
    ///
    /// - Returns: nil when there was one, else the milliseconds until there will be.
    func take(_ name: String, at now: NIODeadline) -> Int? {
        guard perSecond > 0 else { return nil }
        return buckets.withLockedValue { buckets in
            if buckets.count >= Self.manyBuckets {
                // Who has been away for a while has a full one again.
                buckets = buckets.filter { !$0.value.isFull(at: now) }
            }
            return buckets[name, default: RateLimit(perSecond: perSecond, burst: burst, at: now)].take(at: now)
        }
    }

    private static let manyBuckets = 10_000
}

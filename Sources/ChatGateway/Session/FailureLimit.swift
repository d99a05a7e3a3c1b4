import NIOConcurrencyHelpers
import NIOCore

/// How many tokens each address may guess: twenty at once, and one more each second. May be asked on any thread.
final class FailureLimit: Sendable {
    private let buckets = NIOLockedValueBox<[String: RateLimit]>([:])

    /// - Returns: the milliseconds until the address may try again; nil when it may now.
    func wait(of address: String, at now: NIODeadline) -> Int? {
        buckets.withLockedValue { $0[address]?.wait(at: now) }
    }

    func failed(_ address: String, at now: NIODeadline) {
        buckets.withLockedValue { buckets in
            if buckets.count >= Self.manyBuckets { buckets = buckets.filter { !$0.value.isFull(at: now) } }
            _ = buckets[address, default: RateLimit(perSecond: 1, burst: 20, at: now)].take(at: now)
        }
    }

    private static let manyBuckets = 10_000
}

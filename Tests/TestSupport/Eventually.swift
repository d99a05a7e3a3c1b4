import NIOCore
import NIOPosix

/// A condition did not come true in time.
package struct Impatience: Error, CustomStringConvertible {
    package let description: String

    package init(description: String) { self.description = description }
}

/// Asks again and again until the answer is not nil: for what a process of its own does and nothing here can announce.
/// An error is no answer yet, but an ``Impatience``, thrown by `answer` when there is no hope, is passed on at once.
///
/// - Throws: ``Impatience`` naming `what` when there is no answer in time.
@discardableResult
package func eventually<Value: Sendable>(
    _ what: String, within limit: Duration = .seconds(20), every pace: Duration = .milliseconds(20),
    _ answer: () async throws -> Value?
) async throws -> Value {
    let clock = ContinuousClock()
    let deadline = clock.now.advanced(by: limit)
    let loop = MultiThreadedEventLoopGroup.singleton.any()
    var lastError: (any Error)?
    while true {
        do {
            if let value = try await answer() { return value }
        } catch let hopeless as Impatience {
            throw hopeless
        } catch {
            lastError = error
        }
        guard clock.now < deadline else {
            let why = lastError.map { " (last error: \($0))" } ?? ""
            throw Impatience(description: "not within \(limit): \(what)\(why)")
        }
        try await loop.scheduleTask(in: TimeAmount(pace)) {}.futureResult.get()
    }
}

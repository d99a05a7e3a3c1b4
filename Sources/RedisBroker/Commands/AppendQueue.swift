import ChatHub
import ChatProtocol
import NIOCore

/// The messages of one room on one event loop that are on their way to the log.
///
/// One call is under way at a time, and carries all that came meanwhile: what is sent together costs Redis a third, and
/// no two calls can overtake each other, not even when Redis has lost the script for one of them.
struct AppendQueue {
    typealias Completion = (Result<Receipt, BrokerError>) -> Void

    struct Waiting {
        var draft: Draft
        var deadline: NIODeadline
        var completion: Completion
    }

    private static let draftsInACall = 1_000

    private var waiting = CircularBuffer<Waiting>()
    private var isUnderWay = false
    /// The greatest position that the callers know.
    private(set) var known = Position.zero

    var isIdle: Bool { waiting.isEmpty && !isUnderWay }

    mutating func add(_ draft: Waiting, known: Position) {
        waiting.append(draft)
        self.known = max(self.known, known)
    }

    /// Takes out what has waited too long: its senders have given up, and Redis need not hear of it.
    mutating func takeExpired(at now: NIODeadline) -> [Waiting] {
        var expired: [Waiting] = []
        // All have the same time, so they expire in the order in which they came.
        while let next = waiting.first, next.deadline <= now { expired.append(waiting.removeFirst()) }
        return expired
    }

    /// The messages of the next call, nil while one is under way or when there are none.
    mutating func begin(bytes limit: Int) -> [Waiting]? {
        guard !isUnderWay, !waiting.isEmpty else { return nil }
        var call: [Waiting] = []
        var bytes = 0
        while let next = waiting.first, call.count < Self.draftsInACall {
            bytes += next.draft.body.readableBytes
            if !call.isEmpty, bytes > limit { break }
            call.append(waiting.removeFirst())
        }
        isUnderWay = true
        return call
    }

    /// What was sent was not taken, and goes again before all that came after it.
    mutating func putBack(_ call: [Waiting]) {
        for item in call.reversed() { waiting.prepend(item) }
    }

    /// The call was answered or failed.
    mutating func ended() { isUnderWay = false }
}

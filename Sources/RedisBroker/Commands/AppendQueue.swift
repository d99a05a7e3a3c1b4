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

    private var waiting: [Waiting] = []
    /// Of the bodies in ``waiting``.
    private var waitingBytes = 0
    private var isUnderWay = false
    /// The greatest position that the callers know.
    private(set) var known = Position.zero

    var isIdle: Bool { waiting.isEmpty && !isUnderWay }

    mutating func add(_ draft: Waiting, known: Position) {
        waiting.append(draft)
        waitingBytes += draft.draft.body.readableBytes
        self.known = max(self.known, known)
    }

    /// Takes out what has waited too long: its senders have given up, and Redis need not hear of it.
    mutating func takeExpired(at now: NIODeadline) -> [Waiting] {
        // All have the same time, so they expire in the order in which they came.
        guard let oldest = waiting.first, oldest.deadline <= now else { return [] }
        return take(waiting.firstIndex { $0.deadline > now } ?? waiting.count)
    }

    /// The messages of the next call, nil while one is under way or when there are none.
    mutating func begin(bytes limit: Int) -> [Waiting]? {
        guard !isUnderWay, !waiting.isEmpty else { return nil }
        isUnderWay = true
        if waitingBytes <= limit, waiting.count <= Self.draftsInACall { return take(waiting.count) }
        var bytes = 0
        let count = waiting.prefix(Self.draftsInACall).firstIndex { next in
            bytes += next.draft.body.readableBytes
            return bytes > limit
        }
        return take(max(1, count ?? Self.draftsInACall))
    }

    /// The first so many; mostly all, which are then not copied.
    private mutating func take(_ count: Int) -> [Waiting] {
        guard count < waiting.count else {
            defer {
                waiting = []
                waitingBytes = 0
            }
            return waiting
        }
        let taken = Array(waiting[..<count])
        waiting.removeFirst(count)
        waitingBytes -= taken.reduce(0) { $0 + $1.draft.body.readableBytes }
        return taken
    }

    /// What was sent was not taken, and goes again before all that came after it.
    mutating func putBack(_ call: [Waiting]) {
        waiting = call + waiting
        waitingBytes += call.reduce(0) { $0 + $1.draft.body.readableBytes }
    }

    /// The call was answered or failed.
    mutating func ended() { isUnderWay = false }
}

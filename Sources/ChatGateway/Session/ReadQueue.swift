/// What one session asks the store for and may be large, a few at a time: it must not fill its loop's connection. Pure.
struct ReadQueue {
    typealias Read = () -> Void

    enum Admission {
        /// To be run by the caller.
        case begins
        /// Its turn comes by ``ended()``.
        case waits
        case refused
    }

    private static let atOnce = 2
    private static let waitingLimit = 64

    private var waiting: [Read] = []
    private var underWay: UInt8 = 0

    mutating func add(_ read: @escaping Read) -> Admission {
        if underWay < Self.atOnce {
            underWay += 1
            return .begins
        }
        guard waiting.count < Self.waitingLimit else { return .refused }
        waiting.append(read)
        return .waits
    }

    /// One was answered.
    ///
    /// - Returns: the next, to be run by the caller.
    mutating func ended() -> Read? {
        underWay -= 1
        guard let next = waiting.first else { return nil }
        waiting.removeFirst()
        // An empty list keeps its memory.
        if waiting.isEmpty { waiting = [] }
        underWay += 1
        return next
    }

    /// Nobody is there to hear the answers of those that wait.
    mutating func forget() { waiting = [] }
}

/// Events between the event loop and the one who reads them, bounded.
struct EventQueue {
    private let capacity: Int
    private var events: [ClientEvent] = []

    /// Somebody reads, or will; without a reader nothing is kept.
    private(set) var isWanted = false
    /// No event follows those that are here.
    private(set) var isFinished = false

    init(capacity: Int) {
        self.capacity = max(capacity, 1)
    }

    var count: Int { events.count }
    var isEmpty: Bool { events.isEmpty }
    /// Nothing more should be read from the network.
    var isFull: Bool { events.count >= capacity }
    /// There is room again for what was left in the log.
    var hasRoom: Bool { events.count <= capacity / 2 }

    /// What can be told later or left out is refused by a full queue; changes of state have as much room again.
    /// False when the event was not taken.
    mutating func push(_ event: ClientEvent) -> Bool {
        guard isWanted, !isFinished else { return true }
        guard events.count < (event.isPassing ? capacity : 2 * capacity) else { return false }
        events.append(event)
        return true
    }

    /// Takes all.
    mutating func take() -> [ClientEvent] {
        defer { events = [] }
        return events
    }

    mutating func want() {
        isWanted = true
    }

    /// The reader went away.
    mutating func unwant() {
        isWanted = false
        events = []
    }

    mutating func finish() {
        isFinished = true
    }
}

extension ClientEvent {
    /// Comes again from the log, or is worth nothing later.
    fileprivate var isPassing: Bool {
        switch self {
        case .message, .userJoined, .userLeft, .count, .typing, .signal: true
        case .connected, .disconnected, .joined, .left, .gap, .rewind, .expiring, .error: false
        }
    }
}

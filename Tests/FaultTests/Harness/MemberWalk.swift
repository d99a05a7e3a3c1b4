import ChatProtocol

/// Goes through what one member was told, as a client would that believes it, and notes what is wrong.
struct MemberWalk {
    let name: String
    /// The room's log as it is in the end.
    let stored: [Stored]
    /// Ids that were ever sent to the room.
    let sent: Set<String>
    /// The log has lost messages for good, that members may have got before.
    let mayOutliveLog: Bool
    private(set) var violations: [String] = []

    /// What the member has now: rewound messages are dropped.
    private var kept: [Position: Stored] = [:]
    private var last: Position?
    /// Told to be lost, and not brought since: between these positions.
    private var lost: [(after: Position, before: Position?)] = []

    init(name: String, stored: [Stored], sent: Set<String>, mayOutliveLog: Bool) {
        self.name = name
        self.stored = stored
        self.sent = sent
        self.mayOutliveLog = mayOutliveLog
    }

    mutating func take(_ told: Record.Told) {
        switch told {
        case .joined(let head, let recovered): joined(head, recovered)
        case .message(let message): received(message)
        case .gap(let after, let before): lost.append((after, before))
        case .rewind(let to):
            kept = kept.filter { $0.key <= to }
            last = to
        }
    }

    mutating func end() {
        if let last, let newest = stored.last?.position, last < newest { checkMissing(after: last, before: nil) }
        var copies: [String: Position] = [:]
        let positions = Set(stored.map(\.position))
        for message in kept.values.sorted(by: { $0.position < $1.position }) {
            guard positions.contains(message.position) else {
                if !mayOutliveLog {
                    violations.append("\(name) has \(message.id) at \(message.position), the log has not")
                }
                continue
            }
            if let other = copies.updateValue(message.position, forKey: message.id) {
                violations.append("\(name) has \(message.id) twice, at \(other) and \(message.position)")
            }
        }
    }

    private mutating func joined(_ head: Position, _ recovered: Bool?) {
        guard let last else {
            self.last = head
            return
        }
        guard recovered == false else { return }
        lost.append((last, nil))
        // The log is another one, or has gone back: all that is left of it follows.
        if head < last { self.last = .zero }
    }

    private mutating func received(_ message: Stored) {
        guard sent.contains(message.id), message.text == message.id else {
            violations.append("\(name) got what nobody sent: \(message.id) at \(message.position)")
            return
        }
        if let last, message.position <= last {
            violations.append("\(name) got \(message.position) after \(last)")
            return
        }
        if let last { checkMissing(after: last, before: message.position) }
        last = message.position
        kept[message.position] = message
    }

    /// What the log holds there was to be brought, unless it was told to be lost.
    private mutating func checkMissing(after: Position, before: Position?) {
        for message in stored where message.position > after && before.map({ message.position < $0 }) ?? true {
            let isTold = lost.contains { gap in
                gap.after < message.position && gap.before.map { message.position < $0 } ?? true
            }
            if kept[message.position] == nil, !isTold {
                violations.append("\(name) misses \(message.id) at \(message.position) and was not told")
            }
        }
    }
}

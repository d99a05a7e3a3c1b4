package import ChatProtocol

/// All messages that were sent to one room, and where they came to stand.
package struct RoomLedger: Sendable {
    package struct Entry: Sendable {
        package var sender: Int
        /// The sender's node, by its number in the run.
        package var node: Int
        /// `0-0` as long as nobody has said it.
        package var position = Position.zero
        package var isAcknowledged = false
        package var isRefused = false
        /// It was sent again after later ones of its sender.
        package var mayStandLater = false
    }

    package private(set) var entries: [Entry] = []

    package init() {}

    /// A message is due; its number is the answer.
    package mutating func sent(by sender: Int, on node: Int) -> Int {
        entries.append(Entry(sender: sender, node: node))
        return entries.count - 1
    }

    /// False when the message is known to stand somewhere else: two members do not see the same room.
    package mutating func stands(_ number: Int, at position: Position) -> Bool {
        guard entries[number].position != position else { return true }
        guard entries[number].position == .zero else { return false }
        entries[number].position = position
        return true
    }

    /// False for a second acknowledgement of the same message.
    package mutating func acknowledged(_ number: Int) -> Bool {
        defer { entries[number].isAcknowledged = true }
        return !entries[number].isAcknowledged
    }

    package mutating func refused(_ number: Int) {
        entries[number].isRefused = true
    }

    /// A message is sent again because it could not be stored, after later ones of its sender went out: where it stands
    /// among them says nothing about the order in which a node stores.
    package mutating func mayStandLater(_ number: Int) {
        entries[number].mayStandLater = true
    }

    /// Whether somebody has said that the message is in the log: then everybody must get it.
    package func isStored(_ number: Int) -> Bool {
        entries[number].isAcknowledged || entries[number].position != .zero
    }

    /// Messages that stand before an earlier one of the same sender.
    package var outOfSenderOrder: [Int] {
        var last: [Int: Position] = [:]
        var wrong: [Int] = []
        for (number, entry) in entries.enumerated() where entry.position != .zero && !entry.mayStandLater {
            if let before = last[entry.sender], entry.position <= before {
                wrong.append(number)
            } else {
                last[entry.sender] = entry.position
            }
        }
        return wrong
    }
}

/// What one receiver got of its room: each message once, in the order of positions.
package struct ReceiverLedger: Sendable {
    package enum Verdict: Sendable, Equatable {
        case good, doubled, outOfOrder
    }

    /// One bit a message: rooms may have thousands of receivers.
    private var seen: [UInt64] = []
    package private(set) var count = 0
    package private(set) var last = Position.zero

    package init() {}

    package mutating func received(_ number: Int, at position: Position) -> Verdict {
        guard !has(number) else { return .doubled }
        let word = number / 64
        if word >= seen.count { seen.append(contentsOf: repeatElement(0, count: word + 1 - seen.count)) }
        seen[word] |= 1 << UInt64(number % 64)
        count += 1
        guard position > last else { return .outOfOrder }
        last = position
        return .good
    }

    /// The room's position at the time of joining.
    package mutating func joined(at position: Position) {
        last = max(last, position)
    }

    package func has(_ number: Int) -> Bool {
        let word = number / 64
        return word < seen.count && seen[word] & 1 << UInt64(number % 64) != 0
    }
}

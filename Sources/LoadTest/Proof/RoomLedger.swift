package import ChatProtocol

/// All messages that were sent to one room, and where they came to stand.
package struct RoomLedger: Sendable {
    package struct Entry: Sendable {
        package fileprivate(set) var sender: Int32
        /// The node that it was sent to last, by its number in the run.
        package fileprivate(set) var node: Int32
        /// How many of the members that read at once have it.
        package fileprivate(set) var received: Int32 = 0
        /// `0-0` as long as nobody has said it.
        package fileprivate(set) var position = Position.zero
        package fileprivate(set) var isAcknowledged = false
        package fileprivate(set) var isRefused = false
        /// It was sent again after later ones of its sender, or stored again after a failover.
        fileprivate(set) var mayStandLater = false
        /// A node has told some member that it is lost.
        fileprivate(set) var isToldLost = false
        /// Some member has it.
        package fileprivate(set) var wasReceived = false
        /// Its sender has it back.
        fileprivate(set) var isEchoed = false

        /// Somebody has said that the message is in the log: then everybody must get it.
        package var isStored: Bool { isAcknowledged || position != .zero }

        /// Nothing more is awaited of it by its sender.
        package var isDone: Bool { isRefused || (isAcknowledged && isEchoed) }
    }

    package private(set) var entries: [Entry] = []
    package private(set) var storedCount = 0
    /// Members, without those that read slowly on purpose.
    package var members: Int
    /// Of these, the ones that stay away on purpose.
    package var awayMembers = 0
    private var rewinds: [Position] = []
    private var toldLoss: (after: Position, before: Position)?

    package init(members: Int = 0) {
        self.members = members
    }

    /// A message is due; its number is the answer.
    package mutating func sent(by sender: Int, on node: Int) -> Int {
        entries.append(Entry(sender: Int32(truncatingIfNeeded: sender), node: Int32(truncatingIfNeeded: node)))
        return entries.count - 1
    }

    /// It goes out, perhaps again.
    package mutating func goes(_ number: Int, to node: Int) {
        entries[number].node = Int32(truncatingIfNeeded: node)
    }

    /// False when the message is known to stand somewhere else: two members do not see the same room.
    package mutating func stands(_ number: Int, at position: Position) -> Bool {
        let known = entries[number].position
        guard known != position else { return true }
        if known == .zero {
            if !entries[number].isStored { storedCount += 1 }
            entries[number].position = position
            return true
        }
        // After a rewind messages come again under new positions.
        guard rewinds.contains(where: { $0 < min(known, position) }) else { return false }
        entries[number].position = max(known, position)
        entries[number].mayStandLater = true
        return true
    }

    /// False for a second acknowledgement of the same message.
    package mutating func acknowledged(_ number: Int) -> Bool {
        guard !entries[number].isAcknowledged else { return false }
        if !entries[number].isStored { storedCount += 1 }
        entries[number].isAcknowledged = true
        return true
    }

    /// A member has got it.
    ///
    /// - Parameter readsAtOnce: false for members that read slowly on purpose.
    package mutating func received(_ number: Int, by member: Int, readsAtOnce: Bool) {
        entries[number].wasReceived = true
        if readsAtOnce { entries[number].received += 1 }
        if entries[number].sender == Int32(truncatingIfNeeded: member) { entries[number].isEchoed = true }
    }

    package mutating func refused(_ number: Int) {
        entries[number].isRefused = true
    }

    /// A message is sent again because it could not be stored, after later ones of its sender went out: where it stands
    /// among them says nothing about the order in which a node stores.
    package mutating func mayStandLater(_ number: Int) {
        entries[number].mayStandLater = true
    }

    /// A node has said that the log went back: what stood after `position` comes again elsewhere, or is lost.
    package mutating func rewound(to position: Position) {
        if !rewinds.contains(position) { rewinds.append(position) }
        markLost(after: position, before: Position(epoch: .max, seq: .max))
    }

    /// A node has said that what stood between the two is lost.
    package mutating func lost(after: Position, before: Position) {
        if let toldLoss, toldLoss == (after, before) { return }
        toldLoss = (after, before)
        markLost(after: after, before: before)
    }

    private mutating func markLost(after: Position, before: Position) {
        for number in entries.indices where entries[number].position > after && entries[number].position < before {
            entries[number].isToldLost = true
        }
    }

    /// Whether the message is with all who read at once, or with nobody for a reason that was told.
    package func isSettled(_ number: Int) -> Bool {
        let entry = entries[number]
        guard !entry.isRefused else { return true }
        return entry.isStored && (Int(entry.received) + awayMembers >= members || entry.isToldLost)
    }

    /// Whether somebody has said that the message is in the log: then everybody must get it.
    package func isStored(_ number: Int) -> Bool { entries[number].isStored }

    /// Messages that stand before an earlier one of the same sender.
    package var outOfSenderOrder: [Int] {
        var last: [Int32: Position] = [:]
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

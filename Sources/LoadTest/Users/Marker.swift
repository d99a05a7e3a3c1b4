/// What every message of a load test carries at the beginning of its text: who sent it, which one it is, and when it
/// was due.
package struct Marker: Sendable, Equatable {
    package var room: Int
    /// The message's number among all of its room, in the order in which they were due.
    package var number: Int
    package var sender: Int
    /// Nanoseconds of the generator's clock at which the message was to be sent.
    package var dueAt: UInt64

    package init(room: Int, number: Int, sender: Int, dueAt: UInt64) {
        self.room = room
        self.number = number
        self.sender = sender
        self.dueAt = dueAt
    }

    /// The text with the marker, filled up to `length` bytes.
    package func text(run: String, length: Int) -> String {
        let head = "\(Self.sign) \(run) \(room) \(number) \(sender) \(dueAt) "
        return head + String(repeating: "x", count: max(length - head.utf8.count, 0))
    }

    static let sign = "rl1"
}

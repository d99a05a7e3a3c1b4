import ChatHub
import ChatProtocol
import Hiredis
import NIOCore

/// Reads what the two read scripts answer.
struct LogReply {
    private let head: Position
    private let oldest: Position
    private let isEntryThere: Bool
    private let hasMore: Bool
    private let floor: Position
    private let entries: [LogEntry]

    /// nil when the answer is not the script's, or the log holds what we did not put there.
    init?(_ reply: Reply) {
        guard case .array(let parts) = reply, parts.count >= 5, (parts.count - 5) % 3 == 0,
            let head = parts[0].position, let oldest = parts[1].position,
            case .integer(let isEntryThere) = parts[2], case .integer(let hasMore) = parts[3],
            let floor = parts[4].position
        else { return nil }
        var entries: [LogEntry] = []
        entries.reserveCapacity((parts.count - 5) / 3)
        for index in stride(from: 5, to: parts.count, by: 3) {
            guard let position = parts[index].position, let time = parts[index + 1].number,
                let body = parts[index + 2].bytes
            else { return nil }
            entries.append(LogEntry(position: position, time: time, body: body))
        }
        self.head = head
        self.oldest = oldest
        self.isEntryThere = isEntryThere == 1
        self.hasMore = hasMore == 1
        self.floor = floor
        self.entries = entries
    }

    /// The slice after a position.
    func slice(after position: Position) -> LogSlice {
        let isComplete =
            if position == .zero {
                oldest.seq == 1 || (oldest == .zero && head == .zero)
            } else {
                isEntryThere || position.isFollowed(by: oldest) || position == head
            }
        return LogSlice(
            entries: entries, isComplete: isComplete, hasMore: hasMore, head: head,
            floor: floor == .zero ? nil : floor)
    }

    /// The latest entries, which came the latest first.
    func latest() -> LogSlice {
        LogSlice(entries: entries.reversed(), isComplete: true, hasMore: hasMore, head: head)
    }
}

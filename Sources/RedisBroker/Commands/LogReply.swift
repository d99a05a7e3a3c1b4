import ChatHub
import ChatProtocol
import Hiredis
import NIOCore

/// Reads what the two read scripts answer.
struct LogReply {
    private let head: Position
    /// The greatest entry at or below the position asked for; `0-0` for none.
    private let floor: Position
    private let hasMore: Bool
    private let entries: [LogEntry]

    /// nil when the answer is not the script's, or the log holds what we did not put there.
    init?(_ reply: Reply) {
        guard case .array(let parts) = reply, parts.count >= 3, parts.count % 3 == 0,
            let head = parts[0].position, let floor = parts[1].position, case .integer(let hasMore) = parts[2]
        else { return nil }
        var entries: [LogEntry] = []
        entries.reserveCapacity(parts.count / 3 - 1)
        for index in stride(from: 3, to: parts.count, by: 3) {
            guard let position = parts[index].position, let time = parts[index + 1].number,
                let body = parts[index + 2].bytes
            else { return nil }
            entries.append(LogEntry(position: position, time: time, body: body))
        }
        self.head = head
        self.floor = floor
        self.hasMore = hasMore == 1
        self.entries = entries
    }

    /// The slice after a position.
    func slice(after position: Position) -> LogSlice {
        LogSlice(
            after: position, floor: floor == .zero ? nil : floor, entries: entries, hasMore: hasMore, head: head)
    }

    /// The latest entries, which came the latest first.
    func latest() -> LogSlice {
        LogSlice(entries: entries.reversed(), isComplete: true, hasMore: hasMore, head: head)
    }
}

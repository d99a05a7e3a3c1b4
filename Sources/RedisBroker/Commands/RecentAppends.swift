import ChatHub
import ChatProtocol
import NIOCore

/// What one event loop has stored lately: when the store is replaced it may be that nobody else has it, neither the new
/// store nor a node with members in the room.
struct RecentAppends {
    private struct Append {
        var room: RoomName
        var entry: LogEntry
        var at: NIODeadline
    }

    private let byteLimit: Int
    private let ageLimit: TimeAmount
    private var appends = CircularBuffer<Append>()
    private var bytes = 0

    init(byteLimit: Int, ageLimit: TimeAmount) {
        self.byteLimit = byteLimit
        self.ageLimit = ageLimit
    }

    mutating func add(_ entry: LogEntry, to room: RoomName, at now: NIODeadline) {
        appends.append(Append(room: room, entry: entry, at: now))
        bytes += Self.size(of: entry)
        while let oldest = appends.first, bytes > byteLimit || oldest.at + ageLimit < now {
            bytes -= Self.size(of: oldest.entry)
            appends.removeFirst()
        }
    }

    /// All of it, room by room, oldest first.
    func byRoom() -> [(room: RoomName, entries: [LogEntry])] {
        var entries: [RoomName: [LogEntry]] = [:]
        for append in appends { entries[append.room, default: []].append(append.entry) }
        return entries.map { ($0.key, $0.value) }
    }

    private static func size(of entry: LogEntry) -> Int { entry.body.readableBytes + 128 }
}

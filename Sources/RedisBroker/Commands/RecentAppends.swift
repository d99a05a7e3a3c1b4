import ChatHub
import ChatProtocol
import NIOCore

/// What one event loop has stored lately: when the store is replaced it may be that nobody else has it, neither the new
/// store nor a node with members in the room.
struct RecentAppends {
    private struct Append {
        var room: RoomName
        var entries: [LogEntry]
        var bytes: Int
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

    /// Adds what one call has stored.
    mutating func add(_ entries: [LogEntry], to room: RoomName, at now: NIODeadline) {
        guard !entries.isEmpty else { return }
        let size = entries.reduce(0) { $0 + $1.body.readableBytes + 128 }
        appends.append(Append(room: room, entries: entries, bytes: size, at: now))
        bytes += size
        while bytes > byteLimit || isOld(at: now), let oldest = appends.popFirst() { bytes -= oldest.bytes }
    }

    private func isOld(at now: NIODeadline) -> Bool {
        guard let oldest = appends.first else { return false }
        return oldest.at + ageLimit < now
    }

    /// All of it, room by room, oldest first.
    func byRoom() -> [(room: RoomName, entries: [LogEntry])] {
        var entries: [RoomName: [LogEntry]] = [:]
        for append in appends { entries[append.room, default: []] += append.entries }
        return entries.map { ($0.key, $0.value) }
    }
}

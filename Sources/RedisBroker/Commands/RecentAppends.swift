import ChatHub
import ChatProtocol
import NIOCore

/// What one event loop has stored lately: when the store is replaced it may be that nobody else has it, neither the new
/// store nor a node with members in the room.
///
/// A message is a record in one of a few large pieces of memory, which are filled one after the other and forgotten as a
/// whole: kept one by one, thousands of small bodies that nobody looks at would have to be found again to be freed.
struct RecentAppends {
    private struct Chunk {
        var records = ByteBuffer()
        /// When the latest of them was added.
        var latest = NIODeadline.uptimeNanoseconds(0)
    }

    private let byteLimit: Int
    private let ageLimit: TimeAmount
    private let chunkBytes: Int
    private var full = CircularBuffer<Chunk>()
    private var fullBytes = 0
    private var current = Chunk()

    init(byteLimit: Int, ageLimit: TimeAmount) {
        self.byteLimit = byteLimit
        self.ageLimit = ageLimit
        chunkBytes = min(64 * 1024, byteLimit / 8)
    }

    /// Adds what was stored.
    mutating func add(_ entry: LogEntry, to room: RoomName, at now: NIODeadline) {
        let size = Self.headLength + room.text.utf8.count + entry.body.readableBytes
        if current.records.readableBytes > 0, current.records.readableBytes + size > chunkBytes { beginChunk(at: now) }
        if current.records.capacity == 0 { current.records.reserveCapacity(max(size, chunkBytes)) }
        current.records.writeWithUnsafeMutableBytes(minimumWritableBytes: size) { record in
            record.storeBytes(of: now.uptimeNanoseconds, toByteOffset: 0, as: UInt64.self)
            record.storeBytes(of: entry.position.epoch, toByteOffset: 8, as: UInt64.self)
            record.storeBytes(of: entry.position.seq, toByteOffset: 16, as: UInt64.self)
            record.storeBytes(of: entry.time, toByteOffset: 24, as: UInt64.self)
            record.storeBytes(of: UInt32(entry.body.readableBytes), toByteOffset: 32, as: UInt32.self)
            record.storeBytes(of: UInt32(size), toByteOffset: 36, as: UInt32.self)
            entry.body.withUnsafeReadableBytes {
                UnsafeMutableRawBufferPointer(rebasing: record[Self.headLength...]).copyMemory(from: $0)
            }
            let name = UnsafeMutableRawBufferPointer(rebasing: record[(Self.headLength + entry.body.readableBytes)...])
            name.copyBytes(from: room.text.utf8)
            return size
        }
        current.latest = now
    }

    /// Four numbers of eight bytes, then the body's length and the whole record's in four each; the room's name ends it.
    private static let headLength = 40

    private mutating func beginChunk(at now: NIODeadline) {
        full.append(current)
        fullBytes += current.records.readableBytes
        current = Chunk()
        while fullBytes + chunkBytes > byteLimit || full.first.map({ $0.latest + ageLimit < now }) == true,
            let oldest = full.popFirst()
        {
            fullBytes -= oldest.records.readableBytes
        }
    }

    /// All that is young enough, room by room, oldest first.
    func byRoom(at now: NIODeadline) -> [(room: RoomName, entries: [LogEntry])] {
        var entries: [RoomName: [LogEntry]] = [:]
        for chunk in full + [current] {
            var records = chunk.records
            while let (room, entry, added) = Self.read(&records) {
                if added + ageLimit >= now { entries[room, default: []].append(entry) }
            }
        }
        return entries.map { ($0.key, $0.value) }
    }

    private static func read(_ records: inout ByteBuffer) -> (RoomName, LogEntry, NIODeadline)? {
        guard
            let (added, epoch, seq, time, bodyLength, size) = records.readMultipleIntegers(
                endianness: .host, as: (UInt64, UInt64, UInt64, UInt64, UInt32, UInt32).self),
            let body = records.readSlice(length: Int(bodyLength)),
            let name = records.readSlice(length: Int(size) - headLength - Int(bodyLength)),
            let room = name.withUnsafeReadableBytes({ RoomName(utf8: $0) })
        else { return nil }
        let entry = LogEntry(position: Position(epoch: epoch, seq: seq), time: time, body: body)
        return (room, entry, .uptimeNanoseconds(added))
    }
}

import CHiredis
import NIOCore

/// The records that the object functions wrote, and the arenas with the bytes of their strings.
///
/// `chiredis_table` is C memory at a fixed address, because the reader keeps a pointer to it.
final class ReplyTable {
    /// An arena up to this size is used again when no reply refers to it any more.
    private static let reusableBytes = 64 << 10

    private let table: UnsafeMutablePointer<chiredis_table>
    /// What the records' arena numbers mean. One arena per round that found strings, from the round on in which the
    /// first reply that was not fetched began.
    private var arenas: [ByteBuffer] = []
    /// The record at which the next reply begins.
    private var cursor = 0
    /// Complete replies from `cursor` on.
    private var readyReplies = 0

    init(limits: ReplyReader.Limits) {
        self.table = .allocate(capacity: 1)
        self.table.initialize(to: chiredis_table())
        self.table.pointee.max_bulk = limits.bulkBytes
        self.table.pointee.max_line = limits.lineBytes
        self.table.pointee.max_elements = limits.arrayElements
        self.table.pointee.max_nesting = CInt(limits.depth)
    }

    deinit {
        self.close()
        self.table.deallocate()
    }

    /// Gives the records and arenas back. The table is empty from here on.
    func close() {
        free(self.table.pointee.records)
        self.table.pointee.records = nil
        self.table.pointee.count = 0
        self.table.pointee.capacity = 0
        self.arenas = []
        self.cursor = 0
        self.readyReplies = 0
    }

    /// Which limit an object function enforced, if any.
    var refusal: chiredis_refusal { self.table.pointee.refusal }

    /// For the reader's `privdata`. The pointer is valid as long as this object.
    func withTable<Result>(_ body: (UnsafeMutablePointer<chiredis_table>) -> Result) -> Result {
        body(self.table)
    }

    /// Lends the object functions an arena of `room` bytes, which must be as many as they could be asked to store, for
    /// the length of `body`.
    func fill(room: Int, _ body: (ReplyTable) -> Void) {
        self.forgetFetched()
        var arena = self.makeArena(room: room)
        arena.writeWithUnsafeMutableBytes(minimumWritableBytes: room) { memory in
            self.table.pointee.arena = memory.baseAddress?.assumingMemoryBound(to: CChar.self)
            self.table.pointee.arena_size = memory.count
            self.table.pointee.arena_used = 0
            self.table.pointee.arena_number = UInt32(truncatingIfNeeded: self.arenas.count)
            body(self)
            let used = self.table.pointee.arena_used
            self.table.pointee.arena = nil
            self.table.pointee.arena_size = 0
            self.table.pointee.arena_used = 0
            return used
        }
        self.arenas.append(arena)
    }

    /// The last records are that many complete replies more.
    func countReplies(_ count: Int) {
        self.readyReplies += count
    }

    /// Takes the first complete reply.
    func next() -> Reply? {
        guard self.readyReplies > 0, let records = self.table.pointee.records, let arena = self.arenas.last else {
            return nil
        }
        self.readyReplies -= 1
        // Locals, because each access to a property of a class is checked for exclusivity, and this runs per value.
        var rest = UnsafeBufferPointer(start: records, count: self.table.pointee.count)[self.cursor...]
        let reply = Self.reply(takenFrom: &rest, newest: arena, arenas: self.arenas)
        self.cursor = rest.startIndex
        return reply
    }

    /// Called when there is nothing to do for now: lets go of the arena of a huge reply that was fetched. hiredis gives
    /// its own buffer back when it is fed the next time.
    func shrink() {
        guard let arena = self.arenas.last, arena.storageCapacity > Self.reusableBytes else { return }
        self.forgetFetched()
        if self.table.pointee.count == 0 {
            self.arenas = []
        }
    }

    private static func reply(
        takenFrom records: inout Slice<UnsafeBufferPointer<chiredis_record>>, newest: ByteBuffer, arenas: [ByteBuffer]
    ) -> Reply {
        let record = records.removeFirst()
        switch record.kind {
        case REDIS_REPLY_STRING:
            return .bulk(self.slice(record, newest: newest, arenas: arenas))
        case REDIS_REPLY_ARRAY:
            // As deep as the limit on nesting at most.
            if record.value == 3 {
                // A publication. A literal is allocated without asking the runtime for the array's type.
                return .array([
                    self.reply(takenFrom: &records, newest: newest, arenas: arenas),
                    self.reply(takenFrom: &records, newest: newest, arenas: arenas),
                    self.reply(takenFrom: &records, newest: newest, arenas: arenas),
                ])
            }
            var elements = [Reply](repeating: .null, count: Int(record.value))
            for index in elements.indices {
                elements[index] = self.reply(takenFrom: &records, newest: newest, arenas: arenas)
            }
            return .array(elements)
        case REDIS_REPLY_INTEGER:
            return .integer(record.value)
        case REDIS_REPLY_STATUS:
            return .status(self.slice(record, newest: newest, arenas: arenas))
        case REDIS_REPLY_ERROR:
            return .error(String(buffer: self.slice(record, newest: newest, arenas: arenas)))
        default:
            return .null
        }
    }

    /// The bytes of a string. Nearly all lie in the newest arena: it costs as much to take an arena out of the array as
    /// to slice it.
    private static func slice(_ record: chiredis_record, newest: ByteBuffer, arenas: [ByteBuffer]) -> ByteBuffer {
        guard record.length > 0 else { return ByteBuffer() }
        let (start, number) = (Int(record.value), Int(record.arena))
        let slice =
            number == arenas.count - 1
            ? newest.getSlice(at: start, length: record.length)
            : arenas[number].getSlice(at: start, length: record.length)
        // Never nil: the object functions wrote these bytes into this arena.
        return slice ?? ByteBuffer()
    }

    /// Called when every complete reply was fetched: only the records of a reply that goes on stay, and their arenas.
    private func forgetFetched() {
        guard self.cursor > 0 else { return }
        chiredis_table_drop_first(self.table, self.cursor)
        self.cursor = 0
    }

    private func makeArena(room: Int) -> ByteBuffer {
        // The last arena is free when the reply that goes on has stored nothing in it (a long string does so round
        // after round), or when no reply goes on.
        let isFree = self.table.pointee.count == 0 || self.arenas.last?.readableBytes == 0
        guard isFree, var arena = self.arenas.popLast() else {
            return ByteBufferAllocator().buffer(capacity: room)
        }
        if self.table.pointee.count == 0 {
            self.arenas.removeAll(keepingCapacity: true)
            guard arena.storageCapacity <= Self.reusableBytes else {
                return ByteBufferAllocator().buffer(capacity: room)
            }
        }
        arena.clear(minimumCapacity: room)
        return arena
    }
}

import CHiredis
package import NIOCore

/// Bytes from Redis in, replies out: hiredis's `redisReader` with object functions that fill a flat table.
///
/// Feed what was read, then call ``next()`` until it returns nil. Replies may be split anywhere and several may come in
/// one read. Each string is copied once, into an arena that the replies of a read share as slices.
///
/// Confined to one event loop (not `Sendable`). Redis must speak RESP2 to it, as it does without `HELLO 3`.
package final class ReplyReader {
    /// How much is decoded into one arena: what a reply that is kept may hold on to. Smaller arenas mean more
    /// allocations per reply.
    private static let roundBytes = 16 << 10

    /// How much hiredis gets at a time. It moves the rest of its buffer to the front after every KiB of replies, so a
    /// long rest would be moved many times.
    private static let pieceBytes = 4 << 10

    private let limits: Limits
    /// hiredis's state machine and its copy of the bytes that are no reply yet. Nil when closed.
    private var reader: UnsafeMutablePointer<redisReader>?
    private let table: ReplyTable
    /// Fed, and not yet given to hiredis.
    private var pending = ByteBuffer()
    /// Bytes given to hiredis since the last complete reply.
    private var unfinishedBytes = 0
    /// Thrown once the replies before it have been fetched.
    private var failure: ReplyProtocolError?

    package init(limits: Limits = .init()) {
        let limits = limits.enforced
        self.limits = limits
        self.table = ReplyTable(limits: limits)
        self.reader = self.table.withTable { chiredis_reader_create($0) }
        if self.reader == nil {
            self.failure = ReplyProtocolError(code: .outOfMemory, message: "no memory for a reply reader")
        }
    }

    deinit {
        self.close()
    }

    /// Frees what hiredis holds. Replies that were fetched stay valid; feeding and fetching throw from here on.
    package func close() {
        guard let reader = self.reader.take() else { return }
        redisReaderFree(reader)
        self.table.close()
        self.pending = ByteBuffer()
        self.failure = ReplyProtocolError(code: .closed, message: "the reply reader is closed")
    }

    /// Takes the readable bytes. They are decoded by ``next()``, which should be called until it returns nil before
    /// more is fed: what waits here is not bounded.
    ///
    /// Throws when bytes before these were no reply; the replies before those can still be fetched.
    package func feed(_ bytes: ByteBuffer) throws(ReplyProtocolError) {
        if let failure = self.failure {
            throw failure
        }
        if self.pending.readableBytes == 0 {
            self.pending = bytes
        } else {
            self.pending.writeImmutableBuffer(bytes)
        }
    }

    /// The next reply, or nil when it has not arrived in full.
    ///
    /// Throws when the bytes after the last reply are no reply; then every later call throws the same.
    package func next() throws(ReplyProtocolError) -> Reply? {
        while true {
            if let reply = self.table.next() {
                return reply
            }
            if let failure = self.failure {
                throw failure
            }
            guard self.pending.readableBytes > 0 else {
                self.pending = ByteBuffer()
                self.table.shrink()
                return nil
            }
            self.decodeRound()
        }
    }

    /// Gives hiredis the next pending bytes and lets it fill the table with all replies that they complete.
    private func decodeRound() {
        guard let reader = self.reader else { return }
        let length = min(Self.roundBytes, self.pending.readableBytes)
        guard let bytes = self.pending.readSlice(length: length) else { return }
        let room = chiredis_reader_unread(reader) + length
        self.table.fill(room: room) { table in
            bytes.withUnsafeReadableBytes { self.decode($0, with: reader, into: table) }
        }
    }

    private func decode(
        _ bytes: UnsafeRawBufferPointer,
        with reader: UnsafeMutablePointer<redisReader>,
        into table: ReplyTable
    ) {
        var rest = bytes[...]
        while !rest.isEmpty {
            // Inside a long string there is nothing behind that would have to be moved.
            let isCollecting = chiredis_reader_unread(reader) >= Self.pieceBytes
            let piece = UnsafeRawBufferPointer(rebasing: isCollecting ? rest : rest.prefix(Self.pieceBytes))
            rest = rest.dropFirst(piece.count)
            let fed = redisReaderFeed(reader, piece.baseAddress?.assumingMemoryBound(to: CChar.self), piece.count)
            self.unfinishedBytes += piece.count
            guard fed == REDIS_OK, self.decodeAll(with: reader, into: table) else {
                self.fail(self.explain(reader))
                return
            }
            if self.unfinishedBytes > self.limits.unfinishedBytes {
                self.fail(.unfinishedTooLong, "no end of a reply within \(self.limits.unfinishedBytes) bytes")
                return
            }
            if chiredis_reader_line_exceeds(reader, self.limits.lineBytes) != 0 {
                self.fail(.lineTooLong, "a line of more than \(self.limits.lineBytes) bytes")
                return
            }
        }
    }

    /// Decodes until hiredis needs more bytes; false when it cannot go on.
    private func decodeAll(with reader: UnsafeMutablePointer<redisReader>, into table: ReplyTable) -> Bool {
        var token: UnsafeMutableRawPointer?
        var replies = 0
        var result: CInt
        repeat {
            result = redisReaderGetReply(reader, &token)
            guard token != nil else { break }
            replies += 1
        } while result == REDIS_OK
        if replies > 0 {
            table.countReplies(replies)
            self.unfinishedBytes = chiredis_reader_unread(reader)
        }
        return result == REDIS_OK
    }

    private func fail(_ code: ReplyProtocolError.Code, _ message: String) {
        self.fail(ReplyProtocolError(code: code, message: message))
    }

    private func fail(_ failure: ReplyProtocolError) {
        self.failure = failure
        self.pending = ByteBuffer()
    }

    /// Why hiredis stopped: because a limit of ours refused a value, or for reasons of its own.
    private func explain(_ reader: UnsafeMutablePointer<redisReader>) -> ReplyProtocolError {
        let limits = self.limits
        switch self.table.refusal {
        case CHIREDIS_REFUSED_BULK_SIZE:
            return .init(code: .bulkTooLong, message: "a bulk string of more than \(limits.bulkBytes) bytes")
        case CHIREDIS_REFUSED_LINE_SIZE:
            return .init(code: .lineTooLong, message: "a line of more than \(limits.lineBytes) bytes")
        case CHIREDIS_REFUSED_ELEMENTS:
            return .init(code: .tooManyElements, message: "an array of more than \(limits.arrayElements) elements")
        case CHIREDIS_REFUSED_NESTING:
            return .init(code: .nestedTooDeep, message: "arrays nested more than \(limits.depth) deep")
        case CHIREDIS_REFUSED_FRAMING:
            return .init(code: .malformed, message: "a string does not end where it should")
        case CHIREDIS_REFUSED_TYPE:
            return .init(code: .malformed, message: "a RESP3 value, which was not asked for")
        case CHIREDIS_REFUSED_MEMORY:
            return .init(code: .outOfMemory, message: "no memory for a reply")
        default:
            let code: ReplyProtocolError.Code = chiredis_reader_lacks_memory(reader) != 0 ? .outOfMemory : .malformed
            return .init(code: code, message: String(cString: chiredis_reader_complaint(reader)))
        }
    }
}

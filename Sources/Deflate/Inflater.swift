import CZlib
package import NIOCore

/// Why a compressed message is not taken.
package enum InflateError: Error, Equatable {
    /// It is longer than is allowed, however long.
    case tooLong
    /// It is no DEFLATE, or ends too early.
    case malformed
}

/// Inflates messages of permessage-deflate (RFC 7692, section 7.2.2), each by itself, as `client_no_context_takeover` has it.
///
/// Confined to one event loop, whose connections share it; about 40 KiB of memory, taken at the first message.
package final class Inflater {
    /// On the heap: zlib keeps its address.
    private var stream: UnsafeMutablePointer<z_stream>?

    package init() {}

    deinit {
        guard let stream else { return }
        inflateEnd(stream)
        stream.deallocate()
    }

    /// - Parameter limit: bytes that the message may have; at most twice as much memory is taken.
    package func inflate(_ message: ByteBuffer, limit: Int) throws(InflateError) -> ByteBuffer {
        guard let stream = ready() else { throw .malformed }
        var out = ByteBuffer()
        try feed(message, to: stream, into: &out, limit: limit)
        // The end of the last block, which is not sent (section 7.2.2).
        try feed(ByteBuffer(bytes: [0, 0, 0xFF, 0xFF]), to: stream, into: &out, limit: limit)
        guard czlib_is_between_blocks(stream) != 0 else { throw .malformed }
        return out
    }

    private func feed(
        _ bytes: ByteBuffer, to stream: UnsafeMutablePointer<z_stream>, into out: inout ByteBuffer, limit: Int
    ) throws(InflateError) {
        let outcome: Result<Void, InflateError> = bytes.withUnsafeReadableBytes { bytes in
            stream.pointee.next_in = UnsafeMutablePointer(
                mutating: bytes.baseAddress?.assumingMemoryBound(to: UInt8.self))
            stream.pointee.avail_in = UInt32(bytes.count)
            while stream.pointee.avail_in > 0 || isPending(stream) {
                switch step(stream, into: &out, limit: limit) {
                case .success(true): continue
                case .success(false): return .success(())
                case .failure(let error): return .failure(error)
                }
            }
            return .success(())
        }
        try outcome.get()
    }

    /// zlib had more to give than there was room for.
    private func isPending(_ stream: UnsafeMutablePointer<z_stream>) -> Bool {
        stream.pointee.next_out != nil && stream.pointee.avail_out == 0
    }

    /// Inflates once, into room that grows with what is there.
    ///
    /// - Returns: whether to go on.
    private func step(
        _ stream: UnsafeMutablePointer<z_stream>, into out: inout ByteBuffer, limit: Int
    ) -> Result<Bool, InflateError> {
        // One byte more than is allowed tells that there are too many.
        let room = min(max(Self.leastRoom, out.readableBytes), limit + 1 - out.readableBytes)
        guard room > 0 else { return .failure(.tooLong) }
        var code = Z_OK
        out.writeWithUnsafeMutableBytes(minimumWritableBytes: room) { target in
            stream.pointee.next_out = target.baseAddress?.assumingMemoryBound(to: UInt8.self)
            stream.pointee.avail_out = UInt32(room)
            code = CZlib.inflate(stream, Z_SYNC_FLUSH)
            return room - Int(stream.pointee.avail_out)
        }
        guard out.readableBytes <= limit else { return .failure(.tooLong) }
        switch code {
        case Z_OK:
            return .success(true)
        case Z_STREAM_END:
            // A last block may be followed by others all the same (section 7.2.3.5).
            guard inflateReset(stream) == Z_OK else { return .failure(.malformed) }
            stream.pointee.next_out = nil
            return .success(stream.pointee.avail_in > 0)
        case Z_BUF_ERROR:
            // Nothing more comes of what there was.
            return .success(false)
        default:
            return .failure(.malformed)
        }
    }

    private static let leastRoom = 512

    private func ready() -> UnsafeMutablePointer<z_stream>? {
        if let stream {
            stream.pointee.next_out = nil
            return inflateReset(stream) == Z_OK ? stream : nil
        }
        let new = UnsafeMutablePointer<z_stream>.allocate(capacity: 1)
        new.initialize(to: z_stream())
        guard czlib_inflate_init(new) == Z_OK else {
            new.deallocate()
            return nil
        }
        stream = new
        return new
    }
}

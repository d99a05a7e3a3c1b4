import CZlib
package import NIOCore

/// Compresses messages for permessage-deflate (RFC 7692, section 7.2.1), each by itself: what comes out may go to everybody
/// whose connection agreed to `server_no_context_takeover`.
///
/// Confined to one event loop; about 260 KiB of memory, taken at the first message.
package final class Deflater {
    /// Messages of fewer bytes gain nothing worth the work.
    package static let leastBytes = 200

    private let level: CInt
    /// On the heap: zlib keeps its address. Nil until the first message, and when there is no memory.
    private var stream: UnsafeMutablePointer<z_stream>?

    /// - Parameter level: from 1, fast, to 9, small.
    package init(level: Int = 1) {
        self.level = CInt(min(max(level, 1), 9))
    }

    deinit {
        guard let stream else { return }
        deflateEnd(stream)
        stream.deallocate()
    }

    /// Appends the compressed message, if that is shorter.
    ///
    /// - Returns: false when it is not worth while; `out` is as it was then.
    package func deflate(_ message: UnsafeRawBufferPointer, into out: inout ByteBuffer) -> Bool {
        guard message.count >= Self.leastBytes, message.count < Int(Int32.max), let stream = ready() else {
            return false
        }
        // zlib does not write to its input.
        stream.pointee.next_in = UnsafeMutablePointer(
            mutating: message.baseAddress?.assumingMemoryBound(to: UInt8.self))
        stream.pointee.avail_in = UInt32(message.count)
        // What does not fit into so much is not shorter.
        let start = out.writerIndex
        let written = out.writeWithUnsafeMutableBytes(minimumWritableBytes: message.count + Self.tail) { target in
            stream.pointee.next_out = target.baseAddress?.assumingMemoryBound(to: UInt8.self)
            stream.pointee.avail_out = UInt32(message.count + Self.tail)
            let code = CZlib.deflate(stream, Z_SYNC_FLUSH)
            guard code == Z_OK, stream.pointee.avail_in == 0, stream.pointee.avail_out > 0 else { return 0 }
            return message.count + Self.tail - Int(stream.pointee.avail_out)
        }
        // The empty block that ends it is not sent.
        guard written > Self.tail, written - Self.tail < message.count else {
            out.moveWriterIndex(to: start)
            return false
        }
        out.moveWriterIndex(to: start + written - Self.tail)
        return true
    }

    /// 00 00 ff ff.
    private static let tail = 4

    private func ready() -> UnsafeMutablePointer<z_stream>? {
        if let stream { return deflateReset(stream) == Z_OK ? stream : nil }
        let new = UnsafeMutablePointer<z_stream>.allocate(capacity: 1)
        new.initialize(to: z_stream())
        guard czlib_deflate_init(new, level, MAX_WBITS) == Z_OK else {
            new.deallocate()
            return nil
        }
        stream = new
        return new
    }
}

import CHiredis
import NIOCore

/// hiredis as it comes: a tree of redisReply objects, and commands formatted into memory of their own.
enum PlainHiredis {
    static func decode(_ traffic: Traffic, copying: Bool) -> Int {
        guard let reader = redisReaderCreate() else { preconditionFailure("no memory") }
        defer { redisReaderFree(reader) }
        let allocator = ByteBufferAllocator()
        var seen = 0
        for feed in traffic.feeds {
            feed.withUnsafeReadableBytes { bytes in
                _ = redisReaderFeed(reader, bytes.baseAddress?.assumingMemoryBound(to: CChar.self), bytes.count)
            }
            var object: UnsafeMutableRawPointer?
            while redisReaderGetReply(reader, &object) == REDIS_OK, let reply = object {
                let root = reply.assumingMemoryBound(to: redisReply.self)
                if root.pointee.elements == 3, let payload = root.pointee.element[2] {
                    if copying {
                        var copy = allocator.buffer(capacity: payload.pointee.len)
                        copy.writeBytes(UnsafeRawBufferPointer(start: payload.pointee.str, count: payload.pointee.len))
                        seen += copy.readableBytes
                    } else {
                        seen += payload.pointee.len
                    }
                }
                freeReplyObject(reply)
            }
        }
        return seen
    }

    static func encode(_ traffic: Traffic) -> Int {
        var written = 0
        var out = ByteBuffer()
        let name = ByteBuffer(string: "PUBLISH")
        name.withUnsafeReadableBytes { name in
            traffic.channel.withUnsafeReadableBytes { channel in
                traffic.payload.withUnsafeReadableBytes { payload in
                    let arguments = [name, channel, payload]
                    var pointers = arguments.map { $0.baseAddress?.assumingMemoryBound(to: CChar.self) }
                    let lengths = arguments.map(\.count)
                    for _ in 0..<traffic.messages {
                        var command: UnsafeMutablePointer<CChar>?
                        let length = Int(redisFormatCommandArgv(&command, CInt(arguments.count), &pointers, lengths))
                        out.writeBytes(UnsafeRawBufferPointer(start: command, count: length))
                        redisFreeCommand(command)
                        if out.readableBytes > 32 << 10 {
                            written += out.readableBytes
                            out.clear()
                        }
                    }
                }
            }
        }
        return written + out.readableBytes
    }
}

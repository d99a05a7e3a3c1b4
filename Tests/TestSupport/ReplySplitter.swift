import NIOCore

/// Cuts what Redis says (RESP2) into whole replies, without looking at what they mean.
struct ReplySplitter {
    private var buffer = ByteBuffer()
    /// Bytes of the reply in work that were looked at.
    private var scanned = 0
    /// Values of the reply in work that are still to come.
    private var missing = 1

    mutating func append(_ bytes: ByteBuffer) { buffer.writeImmutableBuffer(bytes) }

    /// The next reply, with all that is in it; nil when it is not whole yet.
    mutating func next() -> ByteBuffer? {
        while missing > 0 {
            guard let (type, number, length) = header() else { return nil }
            switch type {
            case UInt8(ascii: "*"):
                scanned += length
                missing += max(number, 0) - 1
            case UInt8(ascii: "$"):
                let whole = length + (number < 0 ? 0 : number + 2)
                guard buffer.readableBytes - scanned >= whole else { return nil }
                scanned += whole
                missing -= 1
            default:
                scanned += length
                missing -= 1
            }
        }
        let reply = buffer.readSlice(length: scanned)
        scanned = 0
        missing = 1
        if buffer.readableBytes == 0 { buffer.clear() } else { buffer.discardReadBytes() }
        return reply
    }

    private func header() -> (type: UInt8, number: Int, length: Int)? {
        buffer.withUnsafeReadableBytes { all in
            let bytes = all[scanned...]
            guard let type = bytes.first, let end = bytes.firstIndex(of: UInt8(ascii: "\n")) else { return nil }
            let digits = bytes[(scanned + 1)..<max(end - 1, scanned + 1)]
            return (type, Int(String(decoding: digits, as: UTF8.self)) ?? 0, end + 1 - scanned)
        }
    }

    /// The channel of a publication that brings messages of a room; nil for anything else.
    static func channelOfMessages(_ reply: ByteBuffer) -> String? {
        let beginning = reply.getString(at: reply.readerIndex, length: min(reply.readableBytes, 400)) ?? ""
        let lines = beginning.split(separator: "\r\n", maxSplits: 6, omittingEmptySubsequences: false)
        guard lines.count == 7, lines[0] == "*3", lines[2] == "message" || lines[2] == "smessage",
            lines[6].hasPrefix("m ")
        else { return nil }
        return String(lines[4])
    }
}

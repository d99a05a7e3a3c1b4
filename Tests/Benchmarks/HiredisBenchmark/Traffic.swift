import NIOCore

/// What a subscriber reads, cut into reads; and what a publisher writes.
struct Traffic {
    let messages: Int
    let channel = ByteBuffer(string: "roost:{general}")
    let channelName = "roost:{general}"
    let payload: ByteBuffer
    let feeds: [ByteBuffer]

    init(messages: Int, payloadBytes: Int, feedBytes: Int) {
        self.messages = messages
        self.payload = ByteBuffer(repeating: UInt8(ascii: "x"), count: payloadBytes)
        var wire = ByteBuffer()
        for _ in 0..<messages {
            wire.writeString("*3\r\n$7\r\nmessage\r\n$\(self.channel.readableBytes)\r\n")
            wire.writeImmutableBuffer(self.channel)
            wire.writeString("\r\n$\(payloadBytes)\r\n")
            wire.writeImmutableBuffer(self.payload)
            wire.writeString("\r\n")
        }
        var feeds: [ByteBuffer] = []
        while wire.readableBytes > 0, let feed = wire.readSlice(length: min(feedBytes, wire.readableBytes)) {
            // A buffer of its own, as each read from a socket has.
            feeds.append(ByteBuffer(bytes: feed.readableBytesView))
        }
        self.feeds = feeds
    }
}

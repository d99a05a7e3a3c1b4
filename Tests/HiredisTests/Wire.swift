import Hiredis
import NIOCore
import Testing

/// RESP2 as Redis writes it: the tests' own encoder, so that what the reader says is held against something else.
enum Wire {
    static func bytes(_ replies: Reply...) -> ByteBuffer {
        self.bytes(replies)
    }

    static func bytes(_ replies: [Reply]) -> ByteBuffer {
        var out = ByteBuffer()
        for reply in replies {
            self.write(reply, into: &out)
        }
        return out
    }

    private static func write(_ reply: Reply, into out: inout ByteBuffer) {
        switch reply {
        case .status(let text):
            out.writeString("+")
            out.writeImmutableBuffer(text)
        case .error(let text):
            out.writeString("-\(text)")
        case .integer(let value):
            out.writeString(":\(value)")
        case .bulk(let bytes):
            out.writeString("$\(bytes.readableBytes)\r\n")
            out.writeImmutableBuffer(bytes)
        case .null:
            out.writeString("$-1")
        case .array(let elements):
            out.writeString("*\(elements.count)\r\n")
            for element in elements {
                self.write(element, into: &out)
            }
            return
        }
        out.writeString("\r\n")
    }
}

extension Reply {
    static func bulk(_ text: String) -> Reply { .bulk(ByteBuffer(string: text)) }
    static func status(_ text: String) -> Reply { .status(ByteBuffer(string: text)) }

    /// What a subscriber gets for each publication.
    static func published(_ payload: ByteBuffer, on channel: String = "roost:{general}") -> Reply {
        .array([.bulk("message"), .bulk(channel), .bulk(payload)])
    }

    /// Arrays inside one another, `depth` of them, around a number.
    static func nested(_ depth: Int) -> Reply {
        (0..<depth).reduce(.integer(7)) { inner, _ in .array([inner]) }
    }
}

extension ReplyReader {
    /// Feeds each piece as one read, and fetches after each all that is there.
    func read(_ pieces: [ByteBuffer]) throws -> [Reply] {
        var replies: [Reply] = []
        for piece in pieces {
            try self.feed(piece)
            while let reply = try self.next() {
                replies.append(reply)
            }
        }
        return replies
    }

    func read(_ text: String) throws -> [Reply] {
        try self.read([ByteBuffer(string: text)])
    }
}

extension ByteBuffer {
    /// The readable bytes in pieces of `size`; the last may be shorter.
    func pieces(of size: Int) -> [ByteBuffer] {
        var rest = self
        var pieces: [ByteBuffer] = []
        while rest.readableBytes > 0, let piece = rest.readSlice(length: min(size, rest.readableBytes)) {
            pieces.append(piece)
        }
        return pieces
    }

    /// The readable bytes in pieces of 1 to `longest` bytes.
    func pieces(upTo longest: Int, using random: inout Random) -> [ByteBuffer] {
        var rest = self
        var pieces: [ByteBuffer] = []
        while rest.readableBytes > 0 {
            let size = min(Int.random(in: 1...longest, using: &random), rest.readableBytes)
            guard let piece = rest.readSlice(length: size) else { break }
            pieces.append(piece)
        }
        return pieces
    }
}

/// SplitMix64: the same numbers for the same seed, so that a failure can be repeated.
struct Random: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) {
        self.state = seed
    }

    mutating func next() -> UInt64 {
        self.state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = self.state
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }

    /// Any reply: all types, strings of any bytes, arrays up to `depth` inside one another.
    mutating func reply(depth: Int = 5) -> Reply {
        switch Int.random(in: 0..<(depth > 0 ? 8 : 6), using: &self) {
        case 0: .status("line \(UInt16.random(in: 0...UInt16.max, using: &self))")
        case 1: .error("ERR \(UInt16.random(in: 0...UInt16.max, using: &self))")
        case 2: .integer(Int64.random(in: Int64.min...Int64.max, using: &self))
        case 3: .null
        case 4, 5: .bulk(self.bytes(upTo: Bool.random(using: &self) ? 40 : 5000))
        default: .array((0..<Int.random(in: 0...6, using: &self)).map { _ in self.reply(depth: depth - 1) })
        }
    }

    mutating func bytes(upTo longest: Int) -> ByteBuffer {
        let count = Int.random(in: 0...longest, using: &self)
        return ByteBuffer(bytes: (0..<count).map { _ in UInt8.random(in: 0...255, using: &self) })
    }
}

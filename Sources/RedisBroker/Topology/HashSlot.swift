import ChatProtocol

/// Which of the 16384 slots of a Redis Cluster a key or channel is in (Redis Cluster specification, "Key distribution
/// model"): CRC16 of the part between the first `{` and the next `}`, or of all of it when there is no such part.
enum HashSlot {
    static let count = 16_384

    static func of(_ key: String) -> Int {
        var key = key
        return key.withUTF8 { of($0) }
    }

    /// That of everything that belongs to a room: its keys and its channel bear the tag `{ROOM}`.
    static func of(_ room: RoomName) -> Int {
        var text = room.text
        return text.withUTF8 { Int(crc($0[...])) % count }
    }

    private static func of(_ bytes: UnsafeBufferPointer<UInt8>) -> Int {
        if let open = bytes.firstIndex(of: UInt8(ascii: "{")) {
            let rest = bytes[(open + 1)...]
            if let close = rest.firstIndex(of: UInt8(ascii: "}")), close > rest.startIndex {
                return Int(crc(rest[..<close])) % count
            }
        }
        return Int(crc(bytes[...])) % count
    }

    /// CRC-16/XMODEM: polynomial 0x1021, beginning with 0.
    private static func crc(_ bytes: Slice<UnsafeBufferPointer<UInt8>>) -> UInt16 {
        var sum: UInt16 = 0
        for byte in bytes { sum = sum << 8 ^ table[Int(UInt8(truncatingIfNeeded: sum >> 8) ^ byte)] }
        return sum
    }

    private static let table: [UInt16] = (0..<256).map { byte in
        (0..<8).reduce(UInt16(byte) << 8) { sum, _ in sum & 0x8000 == 0 ? sum << 1 : sum << 1 ^ 0x1021 }
    }

    /// A number whose slot is one of those that `isWanted` takes: the tag of a channel that is to be there. nil when none of
    /// the first numbers will do.
    static func tag(where isWanted: (Int) -> Bool) -> String? {
        // A single wanted slot takes 16,000 attempts on average, and hardly ever more than a few times as many.
        for number in 0..<1_000_000 {
            let tag = String(number)
            if isWanted(of(tag)) { return tag }
        }
        return nil
    }
}

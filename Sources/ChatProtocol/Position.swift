/// Where a message stands in its room: `EPOCH-SEQ`, also the message's ID in the room's Redis stream.
///
/// Within an epoch the first `seq` is 1 and each next one is 1 more. Positions compare as two numbers, epoch first.
public struct Position: Hashable, Comparable, Sendable {
    public var epoch: UInt64
    public var seq: UInt64

    public init(epoch: UInt64, seq: UInt64) {
        self.epoch = epoch
        self.seq = seq
    }

    /// The position of a room that has no log.
    public static let zero = Position(epoch: 0, seq: 0)

    public static func < (left: Position, right: Position) -> Bool {
        (left.epoch, left.seq) < (right.epoch, right.seq)
    }

    /// Whether `next` is the place right after this one in the same epoch.
    package func isFollowed(by next: Position) -> Bool {
        epoch == next.epoch && next.seq > 0 && seq == next.seq - 1
    }
}

extension Position: CustomStringConvertible, LosslessStringConvertible {
    public var description: String {
        let lengths = (epoch: Decimal.length(of: epoch), seq: Decimal.length(of: seq))
        let length = lengths.epoch + 1 + lengths.seq
        return String(unsafeUninitializedCapacity: length) { target in
            let bytes = UnsafeMutableRawBufferPointer(target)
            Decimal.write(epoch, length: lengths.epoch, to: bytes, at: 0)
            bytes[lengths.epoch] = UInt8(ascii: "-")
            Decimal.write(seq, length: lengths.seq, to: bytes, at: lengths.epoch + 1)
            return length
        }
    }

    /// Reads `EPOCH-SEQ`: two unsigned 64-bit decimals without sign, space or superfluous leading zeros.
    public init?(_ text: String) {
        let found = text.utf8.withContiguousStorageIfAvailable { Position(decimal: UnsafeRawBufferPointer($0)) }
        guard let position = found ?? Array(text.utf8).withUnsafeBytes({ Position(decimal: $0) }) else { return nil }
        self = position
    }

    package init?(decimal bytes: UnsafeRawBufferPointer) {
        guard let dash = bytes.firstIndex(of: UInt8(ascii: "-")),
            let epoch = Self.number(bytes[..<dash]),
            let seq = Self.number(bytes[(dash + 1)...])
        else { return nil }
        self.init(epoch: epoch, seq: seq)
    }

    private static func number(_ digits: Slice<UnsafeRawBufferPointer>) -> UInt64? {
        guard digits.first != UInt8(ascii: "0") || digits.count == 1 else { return nil }
        return Decimal.value(of: UnsafeRawBufferPointer(rebasing: digits))
    }
}

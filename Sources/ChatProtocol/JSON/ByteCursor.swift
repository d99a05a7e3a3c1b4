import NIOCore

/// Fills memory from its beginning on. What many small pieces make is written so in one access to a buffer, for each
/// costs as much as some dozens of bytes.
struct ByteCursor {
    private let target: UnsafeMutableRawBufferPointer
    /// How many bytes were written.
    private(set) var count = 0

    init(_ target: UnsafeMutableRawBufferPointer) { self.target = target }

    @inline(__always)
    mutating func write(_ byte: UInt8) {
        target[count] = byte
        count += 1
    }

    @inline(__always)
    mutating func write(_ bytes: UnsafeRawBufferPointer) {
        UnsafeMutableRawBufferPointer(rebasing: target[count..<(count + bytes.count)]).copyMemory(from: bytes)
        count += bytes.count
    }

    @inline(__always)
    mutating func write(_ text: StaticString) { write(UnsafeRawBufferPointer(staticString: text)) }

    @inline(__always)
    mutating func write(_ text: String) {
        // Not `withUTF8`, which needs a copy that it may change. The strings of a protocol's texts are contiguous as a rule.
        if text.utf8.withContiguousStorageIfAvailable({ write(UnsafeRawBufferPointer($0)) }) == nil {
            for byte in text.utf8 { write(byte) }
        }
    }

    @inline(__always)
    mutating func write(_ bytes: ByteBuffer) { bytes.withUnsafeReadableBytes { write($0) } }

    /// - Parameter length: of its decimal digits.
    @inline(__always)
    mutating func write(_ number: UInt64, length: Int) {
        precondition(target.count - count >= length)
        Decimal.write(number, length: length, to: target, at: count)
        count += length
    }
}

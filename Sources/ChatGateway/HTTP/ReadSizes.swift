import NIOCore

/// How much of a connection is read at once.
///
/// A channel keeps the buffer of its first read for life, and most connections say little for most of theirs: so that one
/// is small, and what else comes of the handshake is read into another that goes. Later on it grows for who sends more.
struct ReadSizes: RecvByteBufferAllocator, Equatable {
    private enum Stage: UInt8 {
        case first
        case handshake
        case settled
    }

    private static let smallest: UInt32 = 64
    private static let handshake: UInt32 = 1024
    private static let largest: UInt32 = 16 * 1024

    private var size = ReadSizes.smallest
    private var stage = Stage.first
    /// The last read filled no more than half.
    private var wasAmple = false

    /// Nil while the buffer that is kept is not to grow for what is read.
    func nextBufferSize() -> Int? {
        switch stage {
        case .first, .handshake: nil
        case .settled: Int(size)
        }
    }

    func buffer(allocator: ByteBufferAllocator) -> ByteBuffer { allocator.buffer(capacity: Int(size)) }

    /// - Returns: whether the next read takes another buffer than the one that is kept.
    mutating func record(actualReadBytes count: Int) -> Bool {
        switch stage {
        case .first:
            stage = .handshake
            size = Self.handshake
            return true
        case .handshake:
            guard count < size else { return true }
            stage = .settled
            size = Self.smallest
            return false
        case .settled:
            return adapt(to: count)
        }
    }

    private mutating func adapt(to count: Int) -> Bool {
        let isAmple = count <= size / 2 && size > Self.smallest
        if isAmple, wasAmple { size /= 2 }
        wasAmple = isAmple && !wasAmple
        guard count >= size, size < Self.largest else { return false }
        size *= 2
        return true
    }
}

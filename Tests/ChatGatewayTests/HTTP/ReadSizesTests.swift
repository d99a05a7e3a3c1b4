import NIOCore
import Testing

@testable import ChatGateway

@Suite("How much of a connection is read at once")
struct ReadSizesTests {
    /// What a channel does with it.
    private struct Reader {
        var pool = NIOPooledRecvBufferAllocator(capacity: 1, recvAllocator: ReadSizes())

        /// - Returns: how many bytes there was room for.
        mutating func read(_ available: Int) -> Int {
            let (_, (room, count)) = pool.buffer(allocator: ByteBufferAllocator()) { buffer in
                let room = buffer.writableBytes
                return (room, buffer.writeBytes(repeatElement(0, count: min(room, available))))
            }
            pool.record(actualReadBytes: count)
            return room
        }
    }

    @Test func theBufferThatAConnectionKeepsIsNotThatOfItsHandshake() {
        var reader = Reader()
        #expect(reader.read(700) == 64)
        #expect(reader.read(636) == 1024)
        #expect(reader.read(60) == 64, "the kept one")
        #expect(reader.read(60) == 64)
    }

    @Test func aLongHandshakeIsReadIntoBuffersThatGo() {
        var reader = Reader()
        #expect(reader.read(5_000) == 64)
        for left in [4_936, 3_912, 2_888, 1_864, 840] { #expect(reader.read(left) == 1024) }
        #expect(reader.read(60) == 64)
    }

    @Test func whoSendsMoreGetsALargerBufferUpToABound() {
        var reader = Reader()
        for available in [64, 10] { _ = reader.read(available) }
        for room in [64, 128, 256, 512, 1024, 2048, 4096, 8192, 16_384, 16_384] {
            #expect(reader.read(1 << 20) == room)
        }
    }

    @Test func whoSendsLittleForAWhileIsOfferedLess() {
        var sizes = ReadSizes()
        for count in [64, 10, 64, 128] { _ = sizes.record(actualReadBytes: count) }
        #expect(sizes.nextBufferSize() == 256)
        _ = sizes.record(actualReadBytes: 20)
        #expect(sizes.nextBufferSize() == 256, "once is no while")
        _ = sizes.record(actualReadBytes: 20)
        #expect(sizes.nextBufferSize() == 128)
        for _ in 0..<9 { _ = sizes.record(actualReadBytes: 20) }
        #expect(sizes.nextBufferSize() == 64)
    }

    @Test func noneIsBoxedOnItsOwn() {
        #expect(MemoryLayout<ReadSizes>.size <= 3 * MemoryLayout<Int>.size, "as an existential holds no more inline")
    }
}

import ChatProtocol
import Deflate
import NIOCore
import Testing

@testable import ChatHub

@Suite("A delivery, compressed")
struct CompressedDeliveryTests {
    private let long = String(repeating: "a long text ", count: 50)

    private func delivery(_ texts: String...) -> Delivery {
        var builder = DeliveryBuilder()
        for (index, text) in texts.enumerated() {
            builder.append(
                ByteBuffer(string: #"{"type":"message","text":"\#(text)"}"#),
                at: Position(epoch: 1, seq: UInt64(index) + 2), after: Position(epoch: 1, seq: UInt64(index) + 1),
                time: 1, sentAt: 0, exceptFor: nil)
        }
        return builder.finish(at: Position(epoch: 1, seq: UInt64(texts.count) + 1))
    }

    /// Messages of frames, compressed or not.
    private func messages(_ frames: ByteBuffer) throws -> [String] {
        var rest = frames
        var messages: [String] = []
        while let first = rest.getInteger(at: rest.readerIndex, as: UInt8.self) {
            rest.setInteger(0x81 as UInt8, at: rest.readerIndex)
            let payload = try #require(TextFrame.readPayload(from: &rest))
            let isCompressed = first == 0xC1
            #expect(isCompressed || first == 0x81)
            messages.append(
                String(buffer: isCompressed ? try Inflater().inflate(payload, limit: 10_000) : payload))
        }
        return messages
    }

    @Test("Long messages are compressed, short ones are as they were, and all say the same")
    func frames() throws {
        let delivery = delivery("short", long, "short again", long)
        let compressed = try #require(delivery.compressed(by: Deflater()))
        #expect(compressed.frames.readableBytes < delivery.frames.readableBytes / 2)
        #expect(try messages(compressed.frames) == messages(delivery.frames))
    }

    @Test("Whoever gets only some of it gets the same ones compressed")
    func runs() throws {
        let delivery = delivery(long, "short", long, "short again")
        let compressed = try #require(delivery.compressed(by: Deflater()))
        for wanted in [[true, false, true, false], [false, true, true, false], [true, true, true, true]] {
            var runs: [[String]] = [[], []]
            for (index, source) in [nil, compressed].enumerated() {
                var segment = -1
                delivery.forEachRun(
                    of: source,
                    where: { _ in
                        segment += 1
                        return wanted[segment]
                    }
                ) { runs[index] += (try? messages($0)) ?? ["nonsense"] }
            }
            #expect(runs[0] == runs[1])
            #expect(runs[0].count == wanted.count { $0 })
        }
    }

    @Test("What is short is not compressed at all")
    func short() {
        #expect(delivery("short", "short").compressed(by: Deflater()) == nil)
    }
}

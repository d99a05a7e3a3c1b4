import NIOCore
import Testing

@testable import Deflate

@Suite("Messages, deflated and inflated")
struct DeflateTests {
    private let deflater = Deflater()
    private let inflater = Inflater()

    private func deflated(_ message: [UInt8]) -> ByteBuffer? {
        var out = ByteBuffer(string: "before")
        let isWorthIt = message.withUnsafeBytes { deflater.deflate($0, into: &out) }
        #expect(out.readString(length: 6) == "before")
        #expect(isWorthIt || out.readableBytes == 0)
        return isWorthIt ? out : nil
    }

    static let texts = [
        String(repeating: "a", count: 200), String(repeating: "Grüße, 世界! ", count: 50),
        (0..<3000).map { "\($0)" }.joined(separator: ","), String(repeating: "x", count: 100_000),
    ]

    @Test("What was deflated comes back, in whatever order, each by itself", arguments: texts)
    func roundTrip(text: String) throws {
        for _ in 0..<2 {
            let bytes = try #require(deflated(Array(text.utf8)))
            #expect(bytes.readableBytes < text.utf8.count)
            #expect(try inflater.inflate(bytes, limit: text.utf8.count) == ByteBuffer(string: text))
        }
    }

    @Test("What is short, or would not become shorter, is left as it is")
    func notWorthIt() {
        #expect(deflated(Array(String(repeating: "a", count: 199).utf8)) == nil)
        var random = SystemRandomNumberGenerator()
        #expect(deflated((0..<5000).map { _ in UInt8.random(in: 0...255, using: &random) }) == nil)
    }

    @Test(
        "RFC 7692's examples",
        arguments: [
            // Section 7.2.3.1 to 7.2.3.5: one block, a stored one, a last one, and two.
            [0xF2, 0x48, 0xCD, 0xC9, 0xC9, 0x07, 0x00],
            [0x00, 0x05, 0x00, 0xFA, 0xFF, 0x48, 0x65, 0x6C, 0x6C, 0x6F, 0x00],
            [0xF3, 0x48, 0xCD, 0xC9, 0xC9, 0x07, 0x00, 0x00],
            [0xF2, 0x48, 0x05, 0x00, 0x00, 0x00, 0xFF, 0xFF, 0xCA, 0xC9, 0xC9, 0x07, 0x00],
        ] as [[UInt8]])
    func examples(bytes: [UInt8]) throws {
        #expect(try inflater.inflate(ByteBuffer(bytes: bytes), limit: 5) == ByteBuffer(string: "Hello"))
        #expect(throws: InflateError.tooLong) { try inflater.inflate(ByteBuffer(bytes: bytes), limit: 4) }
    }

    @Test("An empty message")
    func empty() throws {
        #expect(try inflater.inflate(ByteBuffer(bytes: [0]), limit: 0) == ByteBuffer())
    }

    @Test("A limit is a limit to the byte, and a bomb costs no more memory than it")
    func bomb() throws {
        var bomb = ByteBuffer()
        let zeros = [UInt8](repeating: 0, count: 50_000_000)
        #expect(zeros.withUnsafeBytes { deflater.deflate($0, into: &bomb) })
        #expect(bomb.readableBytes < 300_000)
        #expect(throws: InflateError.tooLong) { try inflater.inflate(bomb, limit: 65_536) }
        let exact = try #require(deflated([UInt8](repeating: 7, count: 65_536)))
        let inflated = try inflater.inflate(exact, limit: 65_536)
        #expect(inflated.readableBytes == 65_536)
        #expect(inflated.storageCapacity <= 2 * 65_536)
        #expect(throws: InflateError.tooLong) { try inflater.inflate(exact, limit: 65_535) }
    }

    @Test("What is no DEFLATE, or is cut, is refused, and harms nobody after it")
    func malformed() throws {
        let whole = try #require(deflated(Array(Self.texts[2].utf8)))
        for bytes in [[], [0xFF], [0x05], [0x00, 0x05], Array(repeating: 0xAA, count: 100)] as [[UInt8]] {
            #expect(throws: InflateError.malformed, "\(bytes)") {
                try inflater.inflate(ByteBuffer(bytes: bytes), limit: 100_000)
            }
        }
        for length in stride(from: 1, to: whole.readableBytes - 1, by: 97) {
            let cut = try #require(whole.getSlice(at: whole.readerIndex, length: length))
            let text = try? inflater.inflate(cut, limit: 100_000)
            #expect(
                text == nil
                    || ByteBuffer(string: Self.texts[2]).readableBytesView.starts(
                        with: text?.readableBytesView ?? .init(ByteBuffer()))
            )
        }
        #expect(try inflater.inflate(whole, limit: 100_000) == ByteBuffer(string: Self.texts[2]))
    }
}

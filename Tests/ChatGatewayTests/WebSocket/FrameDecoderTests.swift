import ChatProtocol
import Deflate
import NIOCore
import Testing

@testable import ChatGateway

@Suite("Reading a client's frames")
struct FrameDecoderTests {
    struct Story: Sendable, CustomTestStringConvertible {
        var name: String
        var bytes: [UInt8]
        var expected: [FrameEvent]
        var testDescription: String { name }

        init(_ name: String, _ frames: [UInt8]..., gives expected: [FrameEvent]) {
            self.name = name
            self.bytes = frames.flatMap { $0 }
            self.expected = expected
        }
    }

    /// Reasons are for people: stories tell codes only.
    private static func fails(_ code: CloseCode) -> FrameEvent { .failure(code, "") }
    private static func text(_ text: String) -> FrameEvent { .text(ByteBuffer(string: text)) }
    private static func f(_ first: UInt8, _ text: String = "") -> [UInt8] { ClientFrame.bytes(first, text) }

    private static func run(_ bytes: [UInt8], cut: Int, maxBytes: Int = 70_000, maxFragments: Int = 4) -> [FrameEvent] {
        var decoder = FrameDecoder(maxMessageBytes: maxBytes, maxFragments: maxFragments)
        var events: [FrameEvent] = []
        var start = 0
        while start < bytes.count {
            var input = ByteBuffer(bytes: bytes[start..<min(bytes.count, start + cut)])
            start += cut
            while let event = decoder.next(&input) {
                if case .failure(let code, _) = event { events.append(fails(code)) } else { events.append(event) }
            }
            #expect(input.readableBytes == 0)
        }
        return events
    }

    static let stories: [Story] = [
        Story("a short text", f(0x81, "Hello"), gives: [text("Hello")]),
        Story("an empty text", f(0x81), gives: [text("")]),
        Story("two in one packet", f(0x81, "one"), f(0x81, "two"), gives: [text("one"), text("two")]),
        Story(
            "125 bytes", f(0x81, String(repeating: "a", count: 125)), gives: [text(String(repeating: "a", count: 125))]),
        Story(
            "126 bytes", f(0x81, String(repeating: "b", count: 126)), gives: [text(String(repeating: "b", count: 126))]),
        Story(
            "65535 bytes", f(0x81, String(repeating: "c", count: 65535)),
            gives: [text(String(repeating: "c", count: 65535))]),
        Story(
            "65536 bytes", f(0x81, String(repeating: "d", count: 65536)),
            gives: [text(String(repeating: "d", count: 65536))]),
        Story(
            "binary, not text at all", ClientFrame.bytes(0x82, [0, 255, 128]),
            gives: [.binary(ByteBuffer(bytes: [0, 255, 128]))]),
        Story("fragments", f(0x01, "Hel"), f(0x00, "l"), f(0x80, "o"), gives: [text("Hello")]),
        Story("empty fragments", f(0x01), f(0x00), f(0x80), gives: [text("")]),
        Story(
            "a character cut by fragments", ClientFrame.bytes(0x01, [0xE2, 0x82]), ClientFrame.bytes(0x80, [0xAC]),
            gives: [text("€")]),
        Story(
            "a ping between fragments is told first", f(0x01, "He"), f(0x89, "now"), f(0x80, "y"),
            gives: [.ping(ByteBuffer(string: "now")), text("Hey")]),
        Story("a pong nobody asked for", f(0x8A, "x"), gives: [.pong(ByteBuffer(string: "x"))]),
        Story(
            "a control frame of 125 bytes", ClientFrame.bytes(0x89, Array(repeating: 1, count: 125)),
            gives: [.ping(ByteBuffer(repeating: 1, count: 125))]),
        Story("a zero mask", ClientFrame.bytes(0x81, [0x61], mask: [0, 0, 0, 0]), gives: [text("a")]),
        Story("close without a code", f(0x88), gives: [.close(code: nil, reason: "")]),
        Story(
            "close with code and reason", ClientFrame.closing(1000, "bye €"),
            gives: [.close(code: 1000, reason: "bye €")]),
        Story(
            "nothing after a close", ClientFrame.closing(1001), f(0x81, "late"), gives: [.close(code: 1001, reason: "")]
        ),
        // Faults.
        Story("no mask", ClientFrame.bytes(0x81, [0x61], mask: nil), gives: [fails(.protocolError)]),
        Story("reserved bit 1", f(0xC1, "a"), gives: [fails(.protocolError)]),
        Story("reserved bit 2", f(0xA1, "a"), gives: [fails(.protocolError)]),
        Story("reserved bit 3", f(0x91, "a"), gives: [fails(.protocolError)]),
        Story("reserved bit on a ping", f(0xC9), gives: [fails(.protocolError)]),
        Story("a fragmented ping", f(0x09), gives: [fails(.protocolError)]),
        Story("a fragmented close", f(0x08), gives: [fails(.protocolError)]),
        Story(
            "a ping of 126 bytes", ClientFrame.bytes(0x89, Array(repeating: 0, count: 126)),
            gives: [fails(.protocolError)]),
        Story("a continuation of nothing", f(0x80, "a"), gives: [fails(.protocolError)]),
        Story(
            "a continuation after a whole message", f(0x81, "a"), f(0x80, "b"),
            gives: [text("a"), fails(.protocolError)]),
        Story("a text within a text", f(0x01, "a"), f(0x81, "b"), gives: [fails(.protocolError)]),
        Story("a binary within a text", f(0x01, "a"), f(0x02, "b"), gives: [fails(.protocolError)]),
        Story(
            "sixteen bits for a length that fits seven",
            ClientFrame.bytes(0x81, Array(repeating: 97, count: 125), form: .sixteenBits),
            gives: [fails(.protocolError)]),
        Story(
            "sixty-four bits for a length that fits sixteen",
            ClientFrame.bytes(0x81, Array(repeating: 97, count: 200), form: .sixtyFourBits),
            gives: [fails(.protocolError)]),
        Story("a length beyond 63 bits", [0x81, 0xFF, 0x80, 0, 0, 0, 0, 0, 0, 0], gives: [fails(.protocolError)]),
        Story(
            "a length beyond memory", [0x81, 0xFF, 0x7F, 255, 255, 255, 255, 255, 255, 255], gives: [fails(.tooBig)]),
        Story("too big, known from the header", [0x81, 0xFF, 0, 0, 0, 0, 0, 1, 0x11, 0x71], gives: [fails(.tooBig)]),
        Story(
            "fragments that add up to too much", ClientFrame.bytes(0x02, Array(repeating: 0, count: 60_000)),
            [0x80, 0xFE, 0x27, 0x11], gives: [fails(.tooBig)]),
        Story(
            "the most that is allowed, in fragments", ClientFrame.bytes(0x02, Array(repeating: 7, count: 60_000)),
            ClientFrame.bytes(0x80, Array(repeating: 7, count: 10_000)),
            gives: [.binary(ByteBuffer(repeating: 7, count: 70_000))]),
        Story("too many fragments", f(0x01), f(0x00), f(0x00), f(0x00), f(0x00), gives: [fails(.tooBig)]),
        Story("text that is not UTF-8", ClientFrame.bytes(0x81, [0xFF]), gives: [fails(.invalidPayload)]),
        Story("text that ends within a character", ClientFrame.bytes(0x81, [0xC3]), gives: [fails(.invalidPayload)]),
        Story(
            "text spoiled in its second fragment", f(0x01, "ok"), ClientFrame.bytes(0x00, [0xED, 0xA0]),
            gives: [fails(.invalidPayload)]),
        Story("a close code of one byte", ClientFrame.bytes(0x88, [3]), gives: [fails(.protocolError)]),
        Story(
            "a close reason that is not UTF-8", ClientFrame.bytes(0x88, [0x03, 0xE8, 0xC3]),
            gives: [fails(.invalidPayload)]),
        Story(
            "nothing after a fault", ClientFrame.bytes(0x81, [0xFF]), f(0x81, "late"), gives: [fails(.invalidPayload)]),
    ]

    @Test("each story, whole, byte by byte and in odd pieces", arguments: stories)
    func story(_ story: Story) {
        for cut in [max(1, story.bytes.count), 1, 3, 7] {
            #expect(Self.run(story.bytes, cut: cut) == story.expected, "in pieces of \(cut)")
        }
    }

    @Test("reserved opcodes are refused", arguments: [3, 4, 5, 6, 7, 11, 12, 13, 14, 15] as [UInt8])
    func reservedOpcodes(_ opcode: UInt8) {
        #expect(Self.run(ClientFrame.bytes(0x80 | opcode), cut: 1) == [Self.fails(.protocolError)])
    }

    @Test(
        "close codes that may be sent",
        arguments: [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 4999] as [UInt16])
    func goodCodes(_ code: UInt16) {
        #expect(Self.run(ClientFrame.closing(code), cut: 1) == [.close(code: code, reason: "")])
    }

    @Test(
        "close codes that may not",
        arguments: [0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535] as [UInt16])
    func badCodes(_ code: UInt16) {
        #expect(Self.run(ClientFrame.closing(code), cut: 9) == [Self.fails(.protocolError)])
    }

    @Test("a fault is told at the byte that makes it one, not at the frame's end")
    func earlyFaults() {
        let beginnings: [([UInt8], CloseCode)] = [
            ([0xC1], .protocolError), ([0x83], .protocolError), ([0x09], .protocolError), ([0x80], .protocolError),
            ([0x81, 0x05], .protocolError), ([0x89, 0xFE], .protocolError), ([0x88, 0x81], .protocolError),
            ([0x81, 0xFF, 0x80], .protocolError), ([0x81, 0xFE, 0x00, 0x05], .protocolError),
            // 100 bytes announced, the second one is wrong.
            ([0x81, 0xE4, 0, 0, 0, 0, 0x61, 0xFF], .invalidPayload),
        ]
        for (bytes, code) in beginnings {
            var decoder = FrameDecoder(maxMessageBytes: 1000, maxFragments: 4)
            var before = ByteBuffer(bytes: bytes.dropLast())
            #expect(decoder.next(&before) == nil)
            var last = ByteBuffer(bytes: bytes.suffix(1))
            guard case .failure(code, _) = decoder.next(&last) else {
                Issue.record("\(bytes) was not refused with \(code)")
                continue
            }
        }
    }

    /// "Hello" (RFC 7692, section 7.2.3.1).
    private static let hello: [UInt8] = [0xF2, 0x48, 0xCD, 0xC9, 0xC9, 0x07, 0x00]

    private func deflating(_ bytes: [UInt8], limit: Int = 1000) -> [FrameEvent] {
        var decoder = FrameDecoder(maxMessageBytes: limit, maxFragments: 4, inflater: Inflater())
        var input = ByteBuffer(bytes: bytes)
        var events: [FrameEvent] = []
        while let event = decoder.next(&input) { events.append(event) }
        return events
    }

    @Test("where compression was agreed on, a message's first frame says whether it is used, and its fragments are one")
    func compressed() {
        let hello = ByteBuffer(string: "Hello")
        let fragments =
            ClientFrame.bytes(0x41, Array(Self.hello.prefix(3))) + ClientFrame.bytes(ClientFrame.ping, "p")
            + ClientFrame.bytes(0x80, Array(Self.hello.dropFirst(3)))
        #expect(
            deflating(
                ClientFrame.bytes(0xC1, Self.hello) + ClientFrame.bytes(0x81, "plain") + fragments
                    + ClientFrame.bytes(0xC2, Self.hello))
                == [
                    .text(hello), .text(ByteBuffer(string: "plain")), .ping(ByteBuffer(string: "p")), .text(hello),
                    .binary(hello),
                ])
    }

    @Test("its bit is for the first frame of a message, and for nobody who did not agree")
    func compressionBit() {
        for bytes in [
            ClientFrame.bytes(0xC9, ""), ClientFrame.bytes(0x01, "a") + ClientFrame.bytes(0xC0, "b"),
            ClientFrame.bytes(0xE1, Self.hello), ClientFrame.bytes(0x91, "a"),
        ] {
            #expect(deflating(bytes) == [.failure(.protocolError, "a reserved bit is set")])
        }
        var decoder = FrameDecoder(maxMessageBytes: 1000, maxFragments: 4)
        var input = ByteBuffer(bytes: ClientFrame.bytes(0xC1, Self.hello))
        #expect(decoder.next(&input) == .failure(.protocolError, "a reserved bit is set"))
    }

    @Test("what is inflated counts: its length, whether it is UTF-8, and what it costs")
    func inflatedLimits() throws {
        #expect(deflating(ClientFrame.bytes(0xC1, Self.hello), limit: 5).count == 1)
        guard case .failure(.tooBig, _) = deflating(ClientFrame.bytes(0xC1, Self.hello), limit: 4).first else {
            Issue.record("more than is allowed was taken")
            return
        }
        #expect(
            deflating(ClientFrame.bytes(0xC1, [1, 2, 3])) == [.failure(.invalidPayload, "the message is not DEFLATE")])
        // 0xFF as a stored block.
        #expect(
            deflating(ClientFrame.bytes(0xC1, [0x00, 0x01, 0x00, 0xFE, 0xFF, 0xFF, 0x00]))
                == [.failure(.invalidPayload, "the text is not UTF-8")])
        var zeros = ByteBuffer()
        #expect([UInt8](repeating: 0x30, count: 40_960).withUnsafeBytes { Deflater().deflate($0, into: &zeros) })
        var decoder = FrameDecoder(maxMessageBytes: 65_536, maxFragments: 4, inflater: Inflater())
        var input = ByteBuffer(bytes: ClientFrame.bytes(0xC1, Array(zeros.readableBytesView)))
        #expect(decoder.next(&input) != nil)
        #expect(decoder.takeCost() == .init(frames: 1, bytes: 40_960))
        #expect(decoder.takeCost() == .init(frames: 0, bytes: 0))
    }

    @Test("garbage never traps, and every cut of it reads the same")
    func garbage() {
        for _ in 0..<400 {
            // Mostly masked, mostly known opcodes: so that garbage gets past the first two bytes.
            var bytes: [UInt8] = []
            for _ in 0..<Int.random(in: 1...6) {
                let first =
                    [0x81, 0x01, 0x80, 0x00, 0x82, 0x89, 0x8A, 0x88, UInt8.random(in: 0...255)].randomElement() ?? 0
                bytes += [first, UInt8.random(in: 0...255) | 0x80]
                bytes += (0..<Int.random(in: 0...200)).map { _ in UInt8.random(in: 0...255) }
            }
            let whole = Self.run(bytes, cut: bytes.count, maxBytes: 500)
            #expect(Self.run(bytes, cut: 1, maxBytes: 500) == whole)
            #expect(Self.run(bytes, cut: 5, maxBytes: 500) == whole)
        }
    }

    @Test("a frame announced but not sent costs no memory")
    func announcedOnly() {
        var decoder = FrameDecoder(maxMessageBytes: 1 << 30, maxFragments: 4)
        var header = ByteBuffer(bytes: [0x82, 0xFF, 0, 0, 0, 0, 0x3F, 0xFF, 0xFF, 0xFF, 1, 2, 3, 4, 5])
        #expect(decoder.next(&header) == nil)
        #expect(decoder.heldBytes < 1024)
    }
}

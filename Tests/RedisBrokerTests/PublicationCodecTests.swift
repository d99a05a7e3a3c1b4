import ChatHub
import ChatProtocol
import NIOCore
import Testing

@testable import RedisBroker

@Suite("Publications")
struct PublicationCodecTests {
    private let session = SessionID(value: 0x1234)

    @Test func messagesAreReadAsSlicesOfThePublication() throws {
        let bytes = ByteBuffer(string: "m 5-7 5-8 1700 42 2\n2 \nhi5 0000000000001234\n\n 1 \n")
        guard case .messages(let batch) = try PublicationCodec.parse(bytes) else {
            Issue.record("no messages")
            return
        }
        #expect(batch.previous == Position(epoch: 5, seq: 7))
        #expect(batch.first == Position(epoch: 5, seq: 8))
        #expect(batch.time == 1_700)
        #expect(batch.sentAt == 42)
        #expect(
            batch.messages == [
                .init(body: ByteBuffer(string: "hi"), exceptFor: nil),
                .init(body: ByteBuffer(string: "\n 1 \n"), exceptFor: session),
            ])
    }

    @Test func aSignalComesBackAsItWent() throws {
        let event = ByteBuffer(string: "{\"type\":\"typing\"}\n")
        #expect(
            try PublicationCodec.parse(PublicationCodec.signal(event, from: session)) == .signal(event, origin: session)
        )
    }

    @Test func presenceIsRead() throws {
        let bob = try #require(UserName("bob"))
        #expect(
            try PublicationCodec.parse(ByteBuffer(string: "p + 3 17 0000000000001234 bob"))
                == .presence(PresenceChange(user: bob, isPresent: true, count: 3, origin: session, revision: 17)))
        #expect(
            try PublicationCodec.parse(ByteBuffer(string: "p - 0 18 - bob"))
                == .presence(PresenceChange(user: bob, isPresent: false, count: 0, origin: nil, revision: 18)))
        #expect(try PublicationCodec.parse(ByteBuffer(string: "p = 501 19")) == .count(501, revision: 19))
    }

    @Test(arguments: [
        ("", PublicationError.unknownKind),
        ("hello", .unknownKind),
        ("m", .malformedHeader),
        ("m 1-1 1-2 3 4 0\n", .malformedHeader),
        ("m 1-1 1-2 3 4 1", .malformedHeader),
        ("m 1-2 1-2 3 4 1\n1 \na", .malformedHeader),
        ("m 1-1 2-0 3 4 1\n1 \na", .malformedHeader),
        ("m 1-1 1-18446744073709551615 3 4 1\n1 \na", .malformedHeader),
        ("m 1-1 1-2 -3 4 1\n1 \na", .malformedHeader),
        ("m 1-1 1-2  4 1\n1 \na", .malformedHeader),
        ("m 1-1 1-2 3 4 18446744073709551615\n", .truncated),
        ("m 1-1 1-2 3 4 1\n18446744073709551615 \na", .truncated),
        ("m 1-1 1-2 3 4 1\n2 \na", .truncated),
        ("m 1-1 1-2 3 4 2\n1 \naaaaa", .malformedHeader),
        ("m 1-1 1-2 3 4 1\n1 \nab", .trailingBytes),
        ("m 1-1 1-2 3 4 1\n1 123\na", .malformedHeader),
        ("s", .malformedHeader),
        ("s 0000000000001234\n", .truncated),
        ("s 1234\n{}", .malformedHeader),
        ("p + 3 17 - bob", .malformedHeader),
        ("p * 3 - bob", .malformedHeader),
        ("p - -1 17 - bob", .malformedHeader),
        ("p - 99999999999999999999 17 - bob", .malformedHeader),
        ("p - 1 17 - b b", .malformedHeader),
        ("p - 1 17 - ", .malformedHeader),
        ("p - 1 x - bob", .malformedHeader),
        ("p - 1 - bob", .malformedHeader), ("p = 501 19 - bob", .malformedHeader), ("p = 501", .malformedHeader),
        ("p = x 19", .malformedHeader),
    ])
    func whatIsNotOursIsRefused(_ text: String, _ error: PublicationError) {
        #expect(throws: error) { try PublicationCodec.parse(ByteBuffer(string: text)) }
    }

    @Test func everyTruncationAndEveryChangedByteIsRefusedOrHarmless() throws {
        let whole = Array("m 5-7 5-8 1700 42 2\n2 \nhi3 0000000000001234\nyou".utf8)
        for length in 0..<whole.count {
            let cut = ByteBuffer(bytes: whole[..<length])
            #expect(throws: PublicationError.self) { try PublicationCodec.parse(cut) }
        }
        var accepted = 0
        for index in whole.indices {
            for byte in UInt8.min...UInt8.max {
                var changed = whole
                changed[index] = byte
                if (try? PublicationCodec.parse(ByteBuffer(bytes: changed))) != nil { accepted += 1 }
            }
        }
        #expect(accepted > whole.count, "some changes change only what is said")
    }

    @Test func garbageIsRefused() {
        var random = SystemRandomNumberGenerator()
        for _ in 0..<5_000 {
            let count = Int.random(in: 0...40, using: &random)
            let garbage = (0..<count).map { _ in "mp s0123456789-\n".utf8.randomElement(using: &random) ?? 0 }
            if let read = try? PublicationCodec.parse(ByteBuffer(bytes: garbage)), case .messages(let batch) = read {
                #expect(batch.messages.count < 40)
            }
        }
    }
}

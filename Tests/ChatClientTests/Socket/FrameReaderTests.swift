import NIOCore
import Testing

@testable import ChatClient

@Suite("Reading a server's frames")
struct FrameReaderTests {
    private func reader(_ bytes: [UInt8], limit: Int = 1000) -> FrameReader {
        var reader = FrameReader(maximumLength: limit, checksText: true)
        reader.append(ByteBuffer(bytes: bytes))
        return reader
    }

    private func fault(of bytes: [UInt8], limit: Int = 1000) -> UInt16? {
        var reader = reader(bytes, limit: limit)
        do throws(FrameReader.Fault) {
            while try reader.next() != nil {}
            return nil
        } catch {
            return error.code
        }
    }

    @Test("Frames are the same however the bytes are cut")
    func dripFed() throws {
        let long = [UInt8](repeating: UInt8(ascii: "x"), count: 200)
        let bytes: [UInt8] =
            [0x81, 2] + Array("hi".utf8) + [0x01, 1, UInt8(ascii: "a")] + [0x89, 1, 7] + [0x80, 1, UInt8(ascii: "b")]
            + [0x81, 126, 0, 200] + long + [0x81, 127, 0, 0, 0, 0, 0, 0, 0, 200] + long + [0x8A, 0] + [0x88, 2, 3, 232]
        let expected: [FrameReader.Event] = [
            .text(ByteBuffer(string: "hi")), .ping(ByteBuffer(bytes: [7])), .text(ByteBuffer(string: "ab")),
            .text(ByteBuffer(bytes: long)), .text(ByteBuffer(bytes: long)), .pong, .close(code: 1000, reason: ""),
        ]
        for size in [1, 2, 3, 7, 64, bytes.count] {
            var reader = FrameReader(maximumLength: 1000, checksText: true)
            var events: [FrameReader.Event] = []
            for start in stride(from: 0, to: bytes.count, by: size) {
                reader.append(ByteBuffer(bytes: bytes[start..<min(start + size, bytes.count)]))
                while let event = try reader.next() { events.append(event) }
            }
            #expect(events == expected, "in pieces of \(size)")
            #expect(reader.unreadBytes == 0)
        }
    }

    @Test(
        "What a server must not send names its close code",
        arguments: [
            ([0x81, 0x81, 0, 0, 0, 0, 1], 1002), ([0xC1, 0], 1002), ([0x83, 0], 1002), ([0x89, 126, 0, 200], 1002),
            ([0x09, 0], 1002), ([0x80, 0], 1002), ([0x01, 0, 0x81, 0], 1002), ([0x82, 0], 1003),
            ([0x81, 1, 0xFF], 1007), ([0x88, 1, 3], 1002), ([0x81, 127, 255, 0, 0, 0, 0, 0, 0, 0], 1009),
        ] as [([UInt8], UInt16)])
    func faults(bytes: [UInt8], code: UInt16) {
        #expect(fault(of: bytes) == code)
    }

    @Test("Fragments together are held to the limit of one message")
    func fragmentsTogether() {
        #expect(fault(of: [0x01, 3, 1, 2, 3, 0x00, 3, 1, 2, 3], limit: 6) == nil)
        #expect(fault(of: [0x01, 3, 1, 2, 3, 0x00, 4, 1, 2, 3, 4], limit: 6) == 1009)
    }

    @Test("A character may be cut between two fragments")
    func cutCharacter() throws {
        var reader = reader([0x01, 1, 0xC3, 0x80, 1, 0xA9])
        #expect(try reader.next() == .text(ByteBuffer(string: "é")))
    }

    @Test(
        "A masked frame has the shortest length form and comes back by the same key",
        arguments: [0, 3, 125, 126, 65535, 65536])
    func masked(length: Int) {
        let payload = ByteBuffer(bytes: (0..<length).map { UInt8(truncatingIfNeeded: $0 &* 31) })
        var out = ByteBuffer()
        let key: UInt32 = 0x0102_0304
        MaskedFrame.write(payload, kind: .text, key: key, into: &out)
        let header = length <= 125 ? 2 : length <= 65535 ? 4 : 10
        #expect(out.readableBytes == header + 4 + length)
        #expect(out.getInteger(at: 0, as: UInt8.self) == 0x81)
        #expect(out.getInteger(at: header, as: UInt32.self) == key)
        let sent = Array(out.readableBytesView.dropFirst(header + 4))
        let unmasked = sent.enumerated().map { $1 ^ [1, 2, 3, 4][$0 % 4] }
        #expect(unmasked == Array(payload.readableBytesView))
    }

    @Test("A long close reason is cut between two characters")
    func closeReason() {
        let payload = MaskedFrame.closePayload(code: 1002, reason: String(repeating: "é", count: 100))
        #expect(payload.readableBytes == 2 + 122)
    }
}

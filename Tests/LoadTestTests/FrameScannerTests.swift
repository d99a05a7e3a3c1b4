import ChatProtocol
import NIOCore
import Testing

@testable import LoadTest

@Suite("What is read out of frames without parsing them")
struct FrameScannerTests {
    private let marker = Marker(room: 17, number: 123_456, sender: 2999, dueAt: 1_234_567_890_123_456_789)
    private let scanner = FrameScanner(run: "k3")

    /// A message as a node sends it.
    private func frame(text: String, id: String? = "k3-17-123456") throws -> ByteBuffer {
        var frame = ByteBuffer()
        let user = try #require(UserName("u"))
        let room = try #require(RoomName("load-k3-17"))
        ServerMessage.message(
            Message(
                room: room, position: Position(epoch: 1_700_000_000_000, seq: 42), time: 5, user: user,
                id: id.flatMap { RequestID($0) }, text: text)
        ).write(into: &frame)
        return frame
    }

    @Test("A marker is found where it stands, without parsing")
    func found() throws {
        let found = scanner.scan(try frame(text: marker.text(run: "k3", length: 128)))
        #expect(found == .message(Position(epoch: 1_700_000_000_000, seq: 42), marker))
    }

    @Test("The stored form, which nodes send, is scanned as well")
    func stored() throws {
        let (body, _) = StoredMessage.render(
            room: try #require(RoomName("r")), user: try #require(UserName("u")), id: RequestID("i"), to: nil,
            content: Content(string: marker.text(run: "k3", length: 10)))
        var frame = ByteBuffer()
        StoredMessage.write(body, position: Position(epoch: 3, seq: 4), time: 9, into: &frame)
        #expect(scanner.scan(frame) == .message(Position(epoch: 3, seq: 4), marker))
    }

    @Test("The text is as long as asked for, but for a marker that is longer")
    func length() {
        #expect(marker.text(run: "k3", length: 128).utf8.count == 128)
        #expect(marker.text(run: "k3", length: 1).utf8.count > 1)
    }

    @Test("Messages of others have a position and no marker")
    func others() throws {
        let nobodys = FrameScanner.Found.message(Position(epoch: 1_700_000_000_000, seq: 42), nil)
        for text in [
            "hello", marker.text(run: "other", length: 128), "rl1 k3 1 2 3", "rl1 k3 1 2 99999999999999999999 4 ",
            #"" "text":"rl1 k3 1 2 3 4 "#,
        ] {
            #expect(scanner.scan(try frame(text: text)) == nobodys)
        }
    }

    @Test("What is no message, or laid out otherwise, is left to the parser")
    func otherFrames() throws {
        for text in [
            "", "{}", #"{"type":"ack","id":"1"}"#, #"{"type":"ack","id":"k3-1-2"}"#,
            #"{"type":"ack","id":"k3-1-2-3","room":"r","position":"1-2"}"#, #"{"type":"welcome"}"#,
            #"{"type":"message","position":"x"}"#,
            #"{"type":"message","position":""#,
        ] {
            #expect(scanner.scan(ByteBuffer(string: text)) == nil)
        }
        #expect(scanner.marker(inText: marker.text(run: "k3", length: 64)) == marker)
        #expect(scanner.marker(inText: "hello") == nil)
    }

    @Test("No frame cut short is read beyond its end")
    func cut() throws {
        let whole = try frame(text: marker.text(run: "k3", length: 1))
        for length in 0..<whole.readableBytes {
            guard let part = whole.getSlice(at: 0, length: length) else { continue }
            // The marker ends with a space, so that no part of its last number passes for the whole.
            guard case .message(let position, let found) = scanner.scan(part) else { continue }
            #expect(position == Position(epoch: 1_700_000_000_000, seq: 42))
            #expect(found == nil || found == marker)
        }
    }

    @Test("An acknowledgement is read where it stands, as nodes write it")
    func acknowledgement() throws {
        var frame = ByteBuffer()
        ServerMessage.ack(
            Ack(
                id: try #require(RequestID("k3-17-123")), room: try #require(RoomName("load-k3-17")),
                position: Position(epoch: 5, seq: 6), time: 7, isDuplicate: true)
        ).write(into: &frame)
        #expect(scanner.scan(frame) == .acknowledgement(room: 17, number: 123, Position(epoch: 5, seq: 6)))
        for length in 0..<frame.readableBytes {
            let found = frame.getSlice(at: 0, length: length).flatMap { scanner.scan($0) }
            #expect(found == nil || found == .acknowledgement(room: 17, number: 123, Position(epoch: 5, seq: 6)))
        }
    }

    @Test("That somebody came or went is known from the first bytes")
    func presence() throws {
        let (room, user) = (try #require(RoomName("r")), try #require(UserName("u")))
        for event in [
            ServerMessage.userJoined(room: room, user: user, count: 1), .userLeft(room: room, user: user, count: 1),
            .count(room: room, count: 501),
        ] {
            var frame = ByteBuffer()
            event.write(into: &frame)
            #expect(scanner.scan(frame) == .presence)
        }
    }
}

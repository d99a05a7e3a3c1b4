import ChatProtocol
import NIOCore
import Testing

@testable import ChatClient

@Suite("A room's cursor")
struct RoomCursorTests {
    @Test("Each position is new once, whichever connection brings it")
    func once() {
        var cursor = RoomCursor(replay: .none)
        cursor.joined(at: at(5), recovered: nil)
        #expect(cursor.accept(at(5)) == false)
        #expect(cursor.accept(at(6)) == true)
        #expect(cursor.accept(at(6)) == false)
        #expect(cursor.accept(at(8)) == true)
        #expect(cursor.accept(at(7)) == false)
        #expect(cursor.accept(at(1, epoch: 2)) == true)
        #expect(cursor.comeBack == .resume(since: at(1, epoch: 2)))
    }

    @Test("Before it was ever joined a room is joined anew")
    func notJoinedYet() {
        #expect(RoomCursor(replay: .latest(20)).comeBack == .join(.latest(20)))
        #expect(RoomCursor(replay: .since(at(3), limit: 9)).comeBack == .join(.since(at(3), limit: 9)))
    }

    @Test("A join with history whose replay never came asks for the history again")
    func replayLost() {
        var cursor = RoomCursor(replay: .latest(20))
        cursor.joined(at: at(100), recovered: nil)
        #expect(cursor.comeBack == .join(.latest(20)))
        #expect(cursor.accept(at(81)) == true)
        #expect(cursor.comeBack == .resume(since: at(81)))
    }

    @Test("An empty room is resumed from its beginning")
    func emptyRoom() {
        var cursor = RoomCursor(replay: .latest(20))
        cursor.joined(at: .zero, recovered: nil)
        #expect(cursor.comeBack == .resume(since: .zero))
    }

    @Test("When the log is another one all of it is new, although its positions are smaller")
    func anotherLog() {
        var cursor = RoomCursor(replay: .since(at(50, epoch: 9), limit: nil))
        cursor.joined(at: at(3, epoch: 2), recovered: false)
        #expect(cursor.accept(at(1, epoch: 2)) == true)
    }

    @Test("What is no longer in the log does not make the rest old")
    func trimmed() {
        var cursor = RoomCursor(replay: .since(at(5), limit: nil))
        cursor.joined(at: at(100), recovered: false)
        #expect(cursor.accept(at(5)) == false)
        #expect(cursor.accept(at(90)) == true)
    }

    @Test("A rewind takes back what was delivered; a second one to the same position does so again")
    func rewind() {
        var cursor = RoomCursor(replay: .none)
        cursor.joined(at: at(100), recovered: nil)
        #expect(cursor.rewound(to: at(90)) == true)
        #expect(cursor.rewound(to: at(90)) == false)
        #expect(cursor.accept(at(1, epoch: 2)) == true)
        #expect(cursor.rewound(to: at(90)) == true)
        #expect(cursor.accept(at(1, epoch: 3)) == true)
    }

    @Test("A rewind to what is still to come takes nothing back, and skips nothing")
    func rewindForward() {
        var cursor = RoomCursor(replay: .none)
        cursor.joined(at: at(10), recovered: nil)
        #expect(cursor.rewound(to: at(20)) == false)
        #expect(cursor.accept(at(11)) == true)
    }

    @Test("Who comes back to a log that ends before takes back what that log has lost")
    func rewindAfterAResumption() {
        var cursor = RoomCursor(replay: .since(at(100), limit: nil))
        cursor.joined(at: at(95), recovered: false)
        #expect(cursor.rewound(to: at(95)) == true)
        #expect(cursor.last == at(95))
        #expect(cursor.accept(at(95)) == false)
        #expect(cursor.accept(at(1, epoch: 2)) == true)
    }

    @Test("A message that could not be taken is the next one, and what stands before it is not asked for")
    func refusedFirst() {
        var history = RoomCursor(replay: .latest(20))
        history.joined(at: at(100), recovered: nil)
        history.refused(at(81))
        #expect(history.comeBack == .resume(since: at(80)))
        #expect(history.accept(at(81)) == true)

        var limited = RoomCursor(replay: .since(at(5), limit: 20))
        limited.joined(at: at(100), recovered: false)
        limited.refused(at(81))
        #expect(limited.comeBack == .resume(since: at(80)))
        // A new epoch's first message has none before it.
        limited.refused(at(1, epoch: 2))
        #expect(limited.comeBack == .resume(since: at(80)))
        limited.refused(at(3))
        #expect(limited.comeBack == .resume(since: at(80)))
    }

    @Test("Resume frames are as few as the node's limit allows")
    func batches() throws {
        let rooms = try (0..<100).map { Resumption(room: try room("room-\($0)"), since: at(12345)) }
        #expect(ResumeBatches.split(rooms, maximumBytes: 16384).count == 1)
        let small = ResumeBatches.split(rooms, maximumBytes: 1024)
        #expect(small.count > 1)
        #expect(small.flatMap(\.self) == rooms)
        for batch in small {
            var text = ByteBuffer()
            ClientMessage.resume(id: RequestID(String(repeating: "\u{1}", count: 64)), rooms: batch, refused: [])
                .write(into: &text)
            #expect(text.readableBytes <= 1024)
        }
        #expect(ResumeBatches.split([], maximumBytes: 1024).isEmpty)
        #expect(ResumeBatches.split(rooms, maximumBytes: 1).count == 100)
    }
}

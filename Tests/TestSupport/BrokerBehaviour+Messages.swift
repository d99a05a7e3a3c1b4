import ChatHub
import ChatProtocol
import NIOCore

extension BrokerBehaviour {
    func allNodesHearOneOrder(_ first: BrokerNode, _ second: BrokerNode, _ room: RoomName) async throws {
        try await first.subscribe(to: room)
        if second.listener !== first.listener { try await second.subscribe(to: room) }
        async let ofFirst = send(100, "first", from: first, to: room)
        async let ofSecond = send(100, "second", from: second, to: room)
        let receipts = try await [ofFirst, ofSecond]
        for own in receipts { try expectEqual(own, own.sorted(), "the positions of one sender") }

        let log = try await first.read(room, after: .zero)
        try expectEqual(log.entries.map(\.position.seq), Array(1...200), "the log's SEQs")
        try expectEqual(Set(log.entries.map(\.position)), Set(receipts.joined()), "positions in receipts and log")
        for node in [first, second] {
            let heard = try await node.listener.hearsMessages(200, in: room)
            try expectEqual(heard, log.entries, "what is heard and what is in the log")
            var head = Position.zero
            for batch in BrokerListener.batches(in: room, of: node.listener.events) {
                try expectEqual(batch.previous, head, "the position before a batch")
                head = Position(epoch: batch.first.epoch, seq: batch.first.seq + UInt64(batch.messages.count) - 1)
            }
        }
    }

    private func send(
        _ count: Int, _ name: String, from node: BrokerNode, to room: RoomName
    ) async throws -> [Position] {
        var positions: [Position] = []
        for number in 0..<count / 4 {
            let drafts = (0..<4).map { Draft.test("\(name) \(number).\($0)") }
            positions += try await node.append(drafts, to: room).map(\.position)
        }
        return positions
    }

    func firstPosition(_ node: BrokerNode, _ room: RoomName) async throws {
        let empty = try await node.read(room, after: .zero)
        try expectEqual(
            empty, LogSlice(entries: [], isComplete: true, hasMore: false, head: .zero), "a room without a log")
        let future: UInt64 = 4_000_000_000_000
        let receipt = try await node.append(.test("one"), to: room, known: Position(epoch: future, seq: 7))
        try expectEqual(receipt.position, Position(epoch: future + 1, seq: 1), "the first position")
        try expect(!receipt.isDuplicate, "the first message is no duplicate")
        let next = try await node.append(.test("two"), to: room, known: Position(epoch: 5, seq: 900))
        try expectEqual(next.position, Position(epoch: future + 1, seq: 2), "the second position")
        try expect(next.time >= receipt.time && next.time > 1_600_000_000_000, "time is ms since 1970")
    }

    func forgottenLog(_ node: BrokerNode, _ room: RoomName) async throws {
        let old = try await node.append(.test("old"), to: room)
        let known = old.position.epoch + 1_000_000_000
        let position = Position(epoch: known, seq: 1)
        let new = try await node.append([.test("new"), .test("newer")], to: room, known: position)
        try expect(new[0].position.epoch > known, "the epoch is greater than the known one")
        try expectEqual(new.map(\.position.seq), [1, 2], "SEQs of the new epoch")
        try expectEqual(new[1].position.epoch, new[0].position.epoch, "the epoch goes on")
        let log = try await node.read(room, after: .zero)
        try expectEqual(log.entries.map(\.position), [old.position] + new.map(\.position), "the whole log")
        try expectEqual(log.head, new[1].position, "the head")
    }

    func rewoundLog(_ first: BrokerNode, _ second: BrokerNode, _ room: RoomName) async throws {
        try await second.subscribe(to: room)
        let old = try await first.append([.test("1"), .test("2")], to: room).map(\.position)
        let next = try await first.append(.test("3"), to: room, known: old[1]).position
        try expect(old[1].isFollowed(by: next), "at the position that the caller knows the log goes on")
        let behind = try await first.append(.test("4"), to: room, known: old[0]).position
        try expect(next.isFollowed(by: behind), "so it does beyond it")

        // Two more messages were heard, and then the store lost them.
        let known = Position(epoch: behind.epoch, seq: behind.seq + 2)
        let new = try await first.append([.test("5"), .test("6")], to: room, known: known).map(\.position)
        try expect(new[0].epoch > known.epoch, "the epoch is greater than the known one")
        try expectEqual(new.map(\.seq), [1, 2], "SEQs of the new epoch")
        try expectEqual(new[1].epoch, new[0].epoch, "the epoch goes on")
        let heard = try await second.listener.hearsMessages(6, in: room)
        try expectEqual(heard.map(\.position), old + [next, behind] + new, "heard positions")
        let batches = BrokerListener.batches(in: room, of: second.listener.events)
        try expect(batches.contains { $0.previous == behind && $0.first == new[0] }, "what was before the new epoch")
    }

    func groupInOrder(_ first: BrokerNode, _ second: BrokerNode, _ room: RoomName) async throws {
        try await second.subscribe(to: room)
        let receipts = try await first.append((1...50).map { Draft.test("\($0)") }, to: room)
        try expectEqual(receipts.map(\.position.seq), Array(1...50), "SEQs in the order sent")
        _ = try await first.append(.test("after"), to: room)
        let heard = try await second.listener.hearsMessages(51, in: room)
        try expectEqual(heard.dropLast().map(\.position), receipts.map(\.position), "heard positions")
        let batches = BrokerListener.batches(in: room, of: second.listener.events)
        try expectEqual(batches[0].previous, .zero, "what was before the first message")
        try expectEqual(batches[batches.count - 1].previous.seq, 50, "what was before the last message")
        try expect(batches.allSatisfy { $0.sentAt > 1_600_000_000_000_000 }, "sentAt is in microseconds")
    }

    func anyBytes(_ first: BrokerNode, _ second: BrokerNode, _ room: RoomName) async throws {
        try await second.subscribe(to: room)
        let bodies = [
            ByteBuffer(bytes: Array(UInt8.min...UInt8.max)),
            ByteBuffer(string: "\r\n$5\r\n*3 m 1-1 \n 0-0"),
            ByteBuffer(repeating: 0, count: 1),
            ByteBuffer(repeating: UInt8(ascii: "x"), count: 1 << 20),
            ByteBuffer(string: "🐦 größer\u{0}"),
        ]
        let drafts = bodies.map { Draft(body: $0, identityLength: nil, isRetry: false, exceptFor: nil) }
        _ = try await first.append(drafts, to: room)
        let heard = try await second.listener.hearsMessages(bodies.count, in: room)
        try expect(heard.map(\.body) == bodies, "heard bodies are the same bytes")
        let log = try await second.read(room, after: .zero)
        try expect(log.entries.map(\.body) == bodies, "stored bodies are the same bytes")
    }

    func exception(_ first: BrokerNode, _ second: BrokerNode, _ room: RoomName) async throws {
        try await second.subscribe(to: room)
        let session = SessionID(value: 0xab)
        _ = try await first.append([.test("a", exceptFor: session), .test("b")], to: room)
        _ = try await second.listener.hearsMessages(2, in: room)
        let messages = BrokerListener.batches(in: room, of: second.listener.events).flatMap(\.messages)
        try expectEqual(messages.map(\.exceptFor), [session, nil], "excepted sessions")
    }

    func signals(_ first: BrokerNode, _ second: BrokerNode, _ room: RoomName) async throws {
        try await second.subscribe(to: room)
        let origin = SessionID(value: 7)
        try await first.announce(#"{"type":"typing"}"#, from: origin, in: room)
        _ = try await first.append(.test("after"), to: room)
        _ = try await second.listener.hearsMessages(1, in: room)
        let signals = second.listener.events.filter {
            $0 == .received(.signal(ByteBuffer(string: #"{"type":"typing"}"#), origin: origin), room)
        }
        try expectEqual(signals.count, 1, "signals heard before the message that followed")
        try expectEqual(try await first.read(room, after: .zero).entries.count, 1, "entries in the log")
    }

    func unsubscribed(_ first: BrokerNode, _ second: BrokerNode, _ room: RoomName) async throws {
        let other = try require(RoomName("other-\(SessionID.random())"), "a room name")
        try await second.subscribe(to: room)
        try await second.subscribe(to: other)
        _ = try await first.append(.test("heard"), to: room)
        _ = try await second.listener.hearsMessages(1, in: room)
        try await second.unsubscribe(from: room)
        _ = try await first.append(.test("not heard"), to: room)
        // Published after it: when this is heard, whatever of the room was still on its way has come and was dropped.
        _ = try await first.append(.test("marker"), to: other)
        _ = try await second.listener.hearsMessages(1, in: other)
        try await second.broker.eventLoop.submit { [broker = second.broker] in broker.subscribe(to: room) }.get()
        try await second.listener.hearsSubscribed(to: room, times: 2)
        _ = try await first.append(.test("heard again"), to: room)
        let heard = try await second.listener.hearsMessages(2, in: room)
        try expectEqual(heard.map(\.position.seq), [1, 3], "SEQs heard")
    }
}

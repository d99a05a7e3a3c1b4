import ChatHub
import ChatProtocol
import NIOCore

extension BrokerBehaviour {
    // MARK: Retries

    func retryOfStored(_ first: BrokerNode, _ second: BrokerNode, _ room: RoomName) async throws {
        try await second.subscribe(to: room)
        _ = try await first.append((1...300).map { Draft.test("before", id: "b\($0)") }, to: room)
        let original = try await first.append(.test("hello", id: "x"), to: room)
        _ = try await first.append((1...300).map { Draft.test("after", id: "a\($0)") }, to: room)
        let retry = try await second.append(
            [.test("new", id: "n"), .test("hello", id: "x", isRetry: true), .test("newer", id: "m")], to: room)
        try expectEqual(retry[1].position, original.position, "the retry's position")
        try expectEqual(retry[1].time, original.time, "the retry's time")
        try expectEqual(retry.map(\.isDuplicate), [false, true, false], "duplicates")
        try expectEqual(retry[2].position.seq, retry[0].position.seq + 1, "no SEQ is spent on a duplicate")
        let other = try await second.append(.test("hello", id: "x", user: "bob", isRetry: true), to: room)
        try expect(!other.isDuplicate, "the same id of another user is another message")
        let heard = try await second.listener.hearsMessages(604, in: room)
        try expectEqual(heard.map(\.position.seq), Array(1...604), "SEQs heard")
    }

    func retryFirst(_ first: BrokerNode, _ second: BrokerNode, _ room: RoomName) async throws {
        let retry = try await first.append(.test("hello", id: "x", isRetry: true), to: room)
        try expect(!retry.isDuplicate, "what was never stored is no duplicate")
        let late = try await second.append(.test("hello", id: "x"), to: room)
        try expectEqual(late.position, retry.position, "the late original's position")
        try expect(late.isDuplicate, "the late original is a duplicate")
        let again = try await second.append(.test("hello", id: "x", isRetry: true), to: room)
        try expectEqual(again.position, retry.position, "the second retry's position")
        try expectEqual(again.time, retry.time, "the second retry's time")
        let other = try await second.append(.test("hello", id: "y"), to: room)
        try expect(!other.isDuplicate, "another id is another message")
        try expectEqual(try await first.read(room, after: .zero).entries.count, 2, "entries in the log")
    }

    func retriesTogether(_ node: BrokerNode, _ room: RoomName) async throws {
        let receipts = try await node.append(
            [
                .test("a", id: "x", isRetry: true), .test("a", id: "x", isRetry: true), .test("a", id: "x"),
                .test("b", id: "y"), .test("b", id: "y"), .test("b", id: "y", isRetry: true),
            ], to: room)
        try expectEqual(receipts.map(\.isDuplicate), [false, true, true, false, false, true], "duplicates")
        try expectEqual(receipts.prefix(5).map(\.position.seq), [1, 1, 1, 2, 3], "positions")
        try expect([2, 3].contains(receipts[5].position.seq), "the last retry has the position of a copy")
        try expectEqual(try await node.read(room, after: .zero).entries.count, 3, "entries in the log")
    }

    func retryWithoutIdentity(_ node: BrokerNode, _ room: RoomName) async throws {
        _ = try await node.append(.test("a"), to: room)
        let retry = try await node.append(.test("a", isRetry: true), to: room)
        try expectEqual(retry.position.seq, 2, "the position")
        try expect(!retry.isDuplicate, "without identity nothing is a duplicate")
    }

    // MARK: Reading

    func readAfter(_ first: BrokerNode, _ second: BrokerNode, _ room: RoomName) async throws {
        let positions = try await first.append((1...10).map { Draft.test("\($0)") }, to: room).map(\.position)
        let head = positions[9]

        let middle = try await second.read(room, after: positions[3], limit: 3)
        try expectEqual(middle.entries.map(\.position), Array(positions[4...6]), "a page in the middle")
        try expect(middle.isComplete && middle.hasMore, "complete, with more after it")
        try expectEqual(middle.head, head, "the head")

        let end = try await second.read(room, after: positions[6], limit: 3)
        try expectEqual(end.entries.map(\.position), Array(positions[7...9]), "the last page")
        try expect(end.isComplete && !end.hasMore, "complete, with nothing after it")

        let nothing = try await second.read(room, after: head, limit: 3)
        try expectEqual(
            nothing, LogSlice(entries: [], isComplete: true, hasMore: false, head: head, floor: head), "after the head")

        let all = try await second.read(room, after: .zero, limit: 10)
        try expectEqual(all.entries.map(\.position), positions, "everything")
        try expect(all.isComplete && !all.hasMore, "everything is complete")

        let foreign = Position(epoch: head.epoch - 1, seq: 5)
        let unknown = try await second.read(room, after: foreign, limit: 100)
        try expect(!unknown.isComplete, "a position of another log is not complete")
        try expectEqual(unknown.floor, nil, "the entry below a position before the log")
        try expectEqual(unknown.entries.count, 10, "entries after a position of an older log")
        let beyond = try await second.read(room, after: Position(epoch: head.epoch, seq: 99), limit: 100)
        try expect(!beyond.isComplete && beyond.entries.isEmpty, "a position that was never given out")
        try expectEqual(beyond.floor, head, "the entry below a position beyond the log")
        let greatest = try await second.read(room, after: Position(epoch: .max, seq: .max), limit: 100)
        try expect(!greatest.isComplete && greatest.entries.isEmpty, "the greatest position")
        try expectEqual(try await second.read(room, after: .zero, limit: 0).hasMore, true, "more than nothing")
    }

    func readAcrossEpochs(_ first: BrokerNode, _ second: BrokerNode, _ room: RoomName) async throws {
        let old = try await first.append([.test("1"), .test("2"), .test("3")], to: room).map(\.position)
        // Somebody knows of more: the log went back, and goes on in a new epoch.
        let lost = Position(epoch: old[2].epoch, seq: 5)
        let new = try await first.append([.test("4"), .test("5")], to: room, known: lost).map(\.position)
        for (position, floor) in [(lost, old[2]), (Position(epoch: lost.epoch, seq: 4), old[2])] {
            let slice = try await second.read(room, after: position)
            try expectEqual(slice.entries.map(\.position), new, "entries after \(position)")
            try expect(!slice.isComplete, "what stood at \(position) is lost")
            try expectEqual(slice.floor, floor, "the last entry in common with \(position)")
        }
        let end = try await second.read(room, after: old[2])
        try expect(end.isComplete, "the first of a new epoch follows the last of the old one")
        try expectEqual(end.floor, old[2], "the entry at the position")
        let middle = try await second.read(room, after: old[0])
        try expectEqual(middle.entries.map(\.position), [old[1], old[2]] + new, "entries of both epochs")
        try expectEqual(middle.parts(after: old[0]), [.entries(middle.entries[...])], "nothing is missing among them")
        let beyond = try await second.read(room, after: Position(epoch: new[1].epoch, seq: 9))
        try expect(!beyond.isComplete && beyond.entries.isEmpty, "a position beyond the log")
        try expectEqual(beyond.floor, new[1], "the last entry")
    }

    func readLatest(_ node: BrokerNode, _ room: RoomName) async throws {
        let empty = try await node.readLatest(room, limit: 5)
        try expectEqual(empty, LogSlice(entries: [], isComplete: true, hasMore: false, head: .zero), "an empty log")
        let positions = try await node.append((1...250).map { Draft.test("\($0)") }, to: room).map(\.position)
        let latest = try await node.readLatest(room, limit: 220)
        try expectEqual(latest.entries.map(\.position), Array(positions[30...]), "the latest")
        try expect(latest.hasMore && latest.isComplete, "there is more before them")
        try expectEqual(latest.head, positions[249], "the head")
        let before = try await node.readLatest(room, before: positions[30], limit: 30)
        try expectEqual(before.entries.map(\.position), Array(positions[..<30]), "those before")
        try expect(!before.hasMore, "nothing before the first")
        let none = try await node.readLatest(room, limit: 0)
        try expectEqual(none, LogSlice(entries: [], isComplete: true, hasMore: true, head: positions[249]), "the head")
        let absent = try await node.readLatest(room, before: Position(epoch: positions[0].epoch, seq: 1_000), limit: 1)
        try expectEqual(absent.entries.map(\.position), [positions[249]], "before a position that does not exist")
    }

    func ends(_ first: BrokerNode, _ second: BrokerNode, _ room: RoomName) async throws {
        let empty = RoomName.of("\(room)-empty")
        let before = try await first.append(.test("1"), to: room).position
        let head = try await first.append(.test("2"), to: room).position
        let asked: [(RoomName, Position?, LogEnd)] = [
            (room, head, .asExpected), (room, before, .at(head)), (room, .zero, .at(head)), (room, nil, .at(head)),
            (empty, .zero, .asExpected), (empty, nil, .at(.zero)), (empty, head, .at(.zero)),
        ]
        let ends = try await second.ends(of: asked.map { ExpectedEnd(room: $0.0, position: $0.1) })
        try expectEqual(ends, asked.map(\.2), "where the logs end")
        try expectEqual(try await second.ends(of: []), [], "nothing was asked")
    }
}

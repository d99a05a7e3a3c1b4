import ChatHub
import ChatProtocol
import NIOCore

extension BrokerBehaviour {
    func restoredTail(_ first: BrokerNode, _ second: BrokerNode, _ room: RoomName) async throws {
        try await second.subscribe(to: room)
        let positions = try await first.append((1...3).map { Draft.test("\($0)") }, to: room).map(\.position)
        let epoch = positions[0].epoch
        let lost = try (4...6).map { try entry("\($0)", at: Position(epoch: epoch, seq: $0), in: room) }

        try expectEqual(try await first.head(of: room), positions[2], "the head before")
        try expectEqual(try await first.restore(Array(lost.prefix(2)), to: room), .restored, "given back")
        try expectEqual(try await second.restore(lost, to: room), .restored, "more is given back by another node")
        try expectEqual(try await second.restore(Array(lost.prefix(1)), to: room), .restored, "nothing is new")
        try expectEqual(try await second.head(of: room), lost[2].position, "the head after")
        let slice = try await second.read(room, after: positions[2])
        try expectEqual(slice.entries, lost, "what was given back, with its times")
        try expect(slice.isComplete, "nothing is missing before it")
        // A hint for those who lack it: the others have heard it before.
        _ = try await second.listener.hears("the last one") { events in
            events.contains {
                guard case .received(.messages(let batch), room) = $0 else { return false }
                return batch.first == lost[2].position && batch.messages.map(\.body) == [lost[2].body]
            }
        }

        let next = try await first.append(.test("next"), to: room).position
        try expect(next.epoch > epoch && next.seq == 1, "the next message begins a new epoch")
        try expectEqual(try await first.append(.test("and next"), to: room).position.epoch, next.epoch, "which goes on")
    }

    func brokenTail(_ first: BrokerNode, _ second: BrokerNode, _ room: RoomName) async throws {
        let positions = try await first.append((1...3).map { Draft.test("\($0)") }, to: room).map(\.position)
        let epoch = positions[0].epoch
        // Only what came after the sixth is held anywhere.
        let rest = try (7...8).map { try entry("\($0)", at: Position(epoch: epoch, seq: $0), in: room) }
        let common = Restoration.forked(at: positions[2])
        try expectEqual(try await first.restore(rest, to: room), common, "the end is given back")
        let next = try await first.append(.test("next"), to: room).position

        let after = try await second.read(room, after: positions[2])
        try expect(after.isComplete, "the log has no hole")
        try expectEqual(after.entries.map(\.body).dropLast(), rest.map(\.body)[...], "what was given back")
        try expectEqual(after.entries.map(\.position.seq), [1, 2, 3], "stands in a new epoch")
        try expectEqual(after.entries.last?.position, next, "in which the log goes on")
        let void = try await second.read(room, after: Position(epoch: epoch, seq: 6))
        try expect(!void.isComplete, "somebody who has the sixth has what the log lost")
        try expectEqual(void.floor, positions[2], "the last that both have")
    }

    /// A log had lost its end, which one node gave back late, so that it stands there in a new epoch; the other node has not
    /// heard of that. Now the log is lost once more, and both give back what they have.
    func forkedTail(_ first: BrokerNode, _ second: BrokerNode, _ room: RoomName) async throws {
        let positions = try await first.append((1...3).map { Draft.test("\($0)") }, to: room).map(\.position)
        let epoch = positions[0].epoch
        let old = try (4...6).map { try entry("\($0)", at: Position(epoch: epoch, seq: $0), in: room) }
        let new = try zip(["new", "5", "6", "7", "8"], 1...).map {
            try entry($0, at: Position(epoch: epoch + 10, seq: $1), in: room)
        }
        try expectEqual(try await first.restore(old, to: room), .restored, "given back at its positions")
        let fork = Restoration.forked(at: old[0].position)
        try expectEqual(try await second.restore(Array(new.prefix(4)), to: room), fork, "what stands before the copies")
        try expectEqual(try await second.restore(Array(new.prefix(4)), to: room), fork, "again")
        try expectEqual(try await first.restore(old, to: room), .restored, "nothing is new")
        let last = Restoration.forked(at: old[1].position)
        try expectEqual(try await first.restore(Array(new.dropFirst(2)), to: room), last, "a third node has more")

        let slice = try await first.read(room, after: positions[2])
        try expect(slice.isComplete, "the log has no hole")
        try expectEqual(
            slice.entries.map(\.body), old.map(\.body) + [new[0], new[3], new[4]].map(\.body),
            "each stands in the log once")
        let places = old.map(\.position) + [new[0].position]
        try expectEqual(slice.entries.prefix(4).map(\.position), places, "where it was")
        let moved = slice.entries.suffix(2).map(\.position)
        try expect(moved[0].epoch > epoch + 10, "what came after a copy is in an epoch of its own")
        try expectEqual(moved.map(\.seq), [1, 2], "in order")
    }

    func partedTail(_ first: BrokerNode, _ second: BrokerNode, _ room: RoomName) async throws {
        let positions = try await first.append((1...3).map { Draft.test("\($0)") }, to: room).map(\.position)
        let common = positions[0]
        // To whoever gives this back it came right after the first.
        let tail = try (1...2).map { try entry("late \($0)", at: Position(epoch: common.epoch + 1, seq: $0), in: room) }
        try expectEqual(try await first.restore(tail, after: common, to: room), .forked(at: common), "the fork")
        let head = try await first.head(of: room)
        try expectEqual(
            try await second.restore(tail, after: common, to: room), .forked(at: common), "the fork, for another node")
        let slice = try await second.read(room, after: positions[2])
        try expectEqual(slice.entries.map(\.body), tail.map(\.body), "each stands in the log once")
        try expect(slice.entries.allSatisfy { $0.position > tail[1].position }, "under a new position")

        // Here the fourth and the fifth were delivered as well.
        let more = try entry("more", at: Position(epoch: head.epoch + 1, seq: 1), in: room)
        let fifth = Position(epoch: common.epoch, seq: 5)
        try expectEqual(
            try await first.restore([more], after: fifth, to: room), .forked(at: positions[2]), "an earlier fork")
        try expectEqual(try await first.head(of: room), head, "nothing is taken before the fourth is given back")
    }

    func movedTail(_ first: BrokerNode, _ second: BrokerNode, _ room: RoomName) async throws {
        let positions = try await first.append((1...3).map { Draft.test("\($0)") }, to: room).map(\.position)
        let epoch = positions[0].epoch
        let lost = try (3...7).map { try entry("\($0)", at: Position(epoch: epoch, seq: $0), in: room) }
        let beyond = Position(epoch: epoch, seq: 7)
        let next = try await first.append(.test("next"), to: room, known: beyond).position
        try expect(next.epoch > epoch, "the log went on in a new epoch")
        // The sender of the sixth has heard nothing and sends it again.
        let (body, length) = StoredMessage.render(
            room: room, user: try require(UserName("alice"), "a user"), id: RequestID("6"), to: nil,
            content: content("6"))
        _ = try await second.append(
            Draft(body: body, identityLength: length, isRetry: true, exceptFor: nil), to: room, known: next)

        let common = Restoration.forked(at: positions[2])
        try expectEqual(try await first.restore(Array(lost[1...2]), to: room), common, "the fork")
        try expectEqual(try await second.restore(Array(lost[1...]), to: room), common, "the fork, for another node")
        try expectEqual(try await first.restore(Array(lost[1...2]), to: room), common, "the fork, again")
        let slice = try await second.read(room, after: positions[2])
        try expectEqual(
            slice.entries.map(\.body),
            [ByteBuffer(string: "{\"user\":\"alice\",\"text\":\"next\"}"), body]
                + [lost[1], lost[2], lost[4]].map(\.body), "each stands in the log once")
        try expectEqual(slice.entries.map(\.position.seq), [1, 2, 3, 4, 5], "under new positions")
        try expectEqual(Set(slice.entries.map(\.position.epoch)), [next.epoch], "of the new epoch")
        try expectEqual(slice.entries[2].time, lost[1].time, "the time stays the first one")
        let void = try await first.read(room, after: lost[2].position)
        try expect(!void.isComplete, "a void position is not of this log")
        try expectEqual(void.floor, positions[2], "the last position before it")
    }

    private func content(_ text: String) -> Content {
        Content(string: text)
    }

    private func entry(_ text: String, at position: Position, in room: RoomName) throws -> LogEntry {
        let body = StoredMessage.render(
            room: room, user: try require(UserName("alice"), "a user"), id: RequestID(text), to: nil,
            content: content(text)
        ).body
        return LogEntry(position: position, time: 1_700_000_000_000 + position.seq, body: body)
    }
}

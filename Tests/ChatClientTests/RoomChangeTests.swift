import ChatProtocol
import Testing

@testable import ChatClient

@Suite("Rooms that are joined, left and taken up again before an answer came", .timeLimit(.minutes(1)))
struct RoomChangeTests {
    private func joined(_ id: RequestID?, _ seq: UInt64, in name: String = "general", recovered: Bool? = nil) throws
        -> ServerMessage
    {
        .joined(Joined(id: id, room: try room(name), position: at(seq), recovered: recovered, members: [], count: 1))
    }

    @Test("A room joined twice at once: the first join's replay comes, and what follows it")
    func joinedTwice() async throws {
        let node = try await ScriptedNode.start()
        let (client, reader, connection) = try await connected(node)
        var events = reader
        async let one = client.join("general", history: 2)
        let (first, replay) = try await connection.hearJoin()
        #expect(replay == .latest(2))
        async let two = client.join("general")
        let (second, _) = try await connection.hearJoin()
        connection.send(try joined(first, 10), try message(9), try message(10))
        connection.send(try joined(second, 10), try message(11))
        #expect(try await one.position == at(10))
        #expect(try await two.position == at(10))
        #expect(await events.positions(3) == [at(9), at(10), at(11)])
        await client.close()
    }

    @Test("A room that a moderator took the user out of is left, and not taken up again")
    func removed() async throws {
        let node = try await ScriptedNode.start()
        let (client, reader, connection) = try await connected(node)
        var events = reader
        async let joining = client.join("general")
        let (id, _) = try await connection.hearJoin()
        connection.send(try joined(id, 10))
        _ = try await joining
        connection.send(.left(id: nil, room: try room("general")), try message(11))
        async let again = client.join("general", history: 1)
        let (second, replay) = try await connection.hearJoin()
        #expect(replay == .latest(1))
        connection.send(try joined(second, 11), try message(11))
        _ = try await again
        #expect(await events.positions(1) == [at(11)])
        await client.close()
    }

    @Test("When the first of two joins is refused the second one counts")
    func firstRefused() async throws {
        let node = try await ScriptedNode.start()
        let (client, reader, connection) = try await connected(node)
        var events = reader
        let one = Task { [client] in try await client.join("general", history: 2) }
        let (first, _) = try await connection.hearJoin()
        async let two = client.join("general", history: 1)
        let (second, _) = try await connection.hearJoin()
        connection.send(.error(Refusal(code: .rateLimited, message: "slowly", id: first, room: "general")))
        connection.send(try joined(second, 10), try message(10), try message(11))
        #expect(await failure(of: one)?.serverCode == "rate_limited")
        _ = try await two
        #expect(await events.positions(2) == [at(10), at(11)])
        await client.close()
    }

    @Test("When the second of two joins asks for a replay and is refused, the room is taken up from there")
    func secondRefused() async throws {
        let node = try await ScriptedNode.start()
        let (client, reader, connection) = try await connected(node)
        var events = reader
        async let one = client.join("general")
        let (first, _) = try await connection.hearJoin()
        let two = Task { [client] in try await client.join("general", since: at(8)) }
        let (second, _) = try await connection.hearJoin()
        connection.send(try joined(first, 10))
        connection.send(.error(Refusal(code: .rateLimited, message: "slowly", id: second, room: "general")))
        _ = try await one
        #expect(await failure(of: two)?.serverCode == "rate_limited")
        let (id, rooms) = try await connection.hearResume()
        #expect(rooms == [try room("general"): at(8)])
        connection.send(try joined(id, 10, recovered: true), try message(9), try message(10))
        #expect(await events.positions(2) == [at(9), at(10)])
        await client.close()
    }

    @Test("When not even the first message of a history had a place, no more than that history comes later")
    func behindFromTheBeginning() async throws {
        let node = try await ScriptedNode.start()
        let (client, reader, connection) = try await connected(node) { $0.eventBuffer = 4 }
        var events = reader
        async let one = client.join("general", history: 3)
        let (join, _) = try await connection.hearJoin()
        async let ack = client.send(text: "x", to: "@bob")
        let post = try await connection.hearPost()
        // Two events came before, so that these two fill the queue.
        connection.send(
            try joined(join, 102),
            .userJoined(room: try room("general"), user: try #require(UserName("bob")), count: 2))
        for seq in 100...102 { connection.send(try message(UInt64(seq))) }
        try connection.acknowledge(post, at: at(1))
        _ = try await one
        _ = try await ack
        async let positions = events.positions(3)
        let (id, rooms) = try await connection.hearResume()
        #expect(rooms == [try room("general"): at(99)])
        connection.send(try joined(id, 102, recovered: true))
        for seq in 100...102 { connection.send(try message(UInt64(seq))) }
        #expect(await positions == [at(100), at(101), at(102)])
        await client.close()
    }

    @Test("A room that is left before it was joined is not joined by the next connection")
    func leftBeforeJoined() async throws {
        let node = try await ScriptedNode.start()
        let (client, _, first) = try await connected(node)
        let join = Task { [client] in try await client.join("general") }
        _ = try await first.hearJoin()
        async let left: Void = client.leave("general")
        guard case .said(.leave) = await first.hear() else { throw Unexpected(what: "leave") }
        #expect(await failure(of: join)?.code == .left)
        first.cut()
        let second = try await node.welcomed(inbox: at(5))
        try await left
        let (_, rooms) = try await second.hearResume()
        #expect(rooms == [try room("@alice"): at(5)])
        async let ack = client.send(text: "x", to: "@bob")
        // Nothing else was said before it.
        try second.acknowledge(try await second.hearPost(), at: at(1))
        _ = try await ack
        await client.close()
    }

    @Test("While two connections overlap a rewind is told once, and nothing comes twice after it")
    func rewindOnBoth() async throws {
        let old = try await ScriptedNode.start()
        let new = try await ScriptedNode.start()
        let (client, reader, first) = try await inGeneral(old, new)
        var events = reader
        let general = try room("general")
        first.send(.reconnect(after: 0, deadline: 5000, reason: "drain"))
        let second = try await new.welcomed(inbox: at(5))
        let (id, _) = try await second.hearResume()
        // The inbox is not taken up yet, so that both stay.
        second.send(try joined(id, 10, recovered: true), .rewind(room: general, to: at(8)), try message(1, epoch: 2))
        let rewound = await events.first { if case .rewind(_, let position) = $0 { position } else { nil } }
        #expect(rewound == at(8))
        #expect(await events.next() == .message(try chatMessage(1, epoch: 2)))
        first.send(.rewind(room: general, to: at(8)), try message(1, epoch: 2), try message(6, in: "@alice"))
        #expect(await events.next() == .message(try chatMessage(6, in: "@alice")))
        second.send(try message(2, epoch: 2))
        #expect(await events.next() == .message(try chatMessage(2, epoch: 2)))
        await client.close()
    }

    private func chatMessage(_ seq: UInt64, in name: String = "general", epoch: UInt64 = 1) throws -> ChatMessage {
        guard case .message(let message) = try message(seq, in: name, epoch: epoch) else {
            throw Unexpected(what: "not a message")
        }
        return ChatMessage(message)
    }

    @Test("When the next node goes away again, the old one is asked for all that the other was to do, at once")
    func fallsBack() async throws {
        let old = try await ScriptedNode.start()
        let new = try await ScriptedNode.start()
        let (client, reader, first) = try await inGeneral(old, new)
        var events = reader
        first.send(.reconnect(after: 0, deadline: 5000, reason: "drain"))
        let second = try await new.welcomed(inbox: at(5))
        _ = try await second.hearResume()
        async let ack = client.send(text: "1", to: "general", id: "m1")
        let post = try await second.hearPost()
        second.send(
            .error(Refusal(code: .unavailable, message: "", id: post.id, room: "general", retryAfter: 60_000)))
        second.cut()
        let (id, rooms) = try await first.hearResume()
        #expect(rooms == [try room("general"): at(10), try room("@alice"): at(5)])
        let again = try await first.hearPost()
        #expect(again.id == post.id && again.isRetry)
        try first.acknowledge(again, at: at(11))
        #expect(try await ack.position == at(11))
        first.send(try joined(id, 11, recovered: true), try message(11, user: "alice", id: "m1"))
        #expect(await events.positions(1) == [at(11)])
        await client.close()
    }

    @Test("Told to leave a node that it is just moving to, it moves on, and is in its rooms all the time")
    func movesOn() async throws {
        var nodes: [ScriptedNode] = []
        for _ in 0..<3 { nodes.append(try await ScriptedNode.start()) }
        let (client, reader, first) = try await inGeneral(nodes[0], nodes[1], nodes[2])
        var events = reader
        let (general, bob) = (try room("general"), try #require(UserName("bob")))
        first.send(.reconnect(after: 0, deadline: 5000, reason: "restart"))
        let second = try await nodes[1].welcomed(inbox: at(5))
        let (id, _) = try await second.hearResume()
        second.send(
            .joined(Joined(id: id, room: try room("@alice"), position: at(5), recovered: true)),
            .reconnect(after: 0, deadline: 5000, reason: "restart"))
        let third = try await nodes[2].welcomed(inbox: at(5))
        let (last, rooms) = try await third.hearResume()
        #expect(rooms == [general: at(10), try room("@alice"): at(5)])
        // Only the first has the room yet.
        first.send(.userJoined(room: general, user: bob, count: 2), try message(11))
        #expect(await events.first { if case .userJoined(_, let user, _) = $0 { user } else { nil } } == "bob")
        #expect(await events.positions(1) == [at(11)])
        third.send(try joined(last, 12, recovered: true), .userLeft(room: general, user: bob, count: 1))
        #expect(await events.first { if case .userLeft(_, let user, _) = $0 { user } else { nil } } == "bob")
        // What the first says of it as well is not told again.
        first.send(.userLeft(room: general, user: bob, count: 1), try message(12))
        let next = await events.first { event -> String? in
            switch event {
            case .userLeft: "left again"
            case .message(let message): "\(message.position)"
            default: nil
            }
        }
        #expect(next == "\(at(12))")
        third.send(.joined(Joined(id: last, room: try room("@alice"), position: at(5), recovered: true)))
        for connection in [first, second] { #expect(await connection.hear() == .closed(1000)) }
        await client.close()
    }

    @Test("The old connection's late word that a room was left does not end it on the new one")
    func lateLeft() async throws {
        let old = try await ScriptedNode.start()
        let new = try await ScriptedNode.start()
        let (client, reader, first) = try await inGeneral(old, new)
        var events = reader
        async let left: Void = client.leave("general")
        guard case .said(.leave(let leave, let general)) = await first.hear() else { throw Unexpected(what: "leave") }
        first.send(.reconnect(after: 0, deadline: 5000, reason: "drain"))
        let second = try await new.welcomed(inbox: at(5))
        try await left
        _ = try await second.hearResume()
        async let again = client.join("general")
        _ = try await second.acceptJoin(head: at(10))
        _ = try await again
        first.send(.left(id: leave, room: general), try message(6, in: "@alice"))
        #expect(await events.positions(1) == [at(6)])
        second.send(try message(11))
        #expect(await events.positions(1) == [at(11)])
        await client.close()
    }
}

import ChatProtocol
import NIOCore
import NIOHTTP1
import NIOWebSocket
import Testing

@testable import ChatClient

@Suite("A client and a node", .timeLimit(.minutes(1)))
struct ChatClientTests {
    private func client(_ nodes: ScriptedNode..., change: (inout ChatClient.Configuration) -> Void = { _ in }) throws
        -> ChatClient
    {
        var configuration = ChatClient.Configuration(urls: nodes.map(\.url), user: "alice")
        change(&configuration)
        return try ChatClient(configuration)
    }

    @Test("The handshake says who comes, and asks for the protocol")
    func handshake() async throws {
        let node = try await ScriptedNode.start()
        let client = try client(node) {
            $0.token = "secret"
            $0.echo = false
            $0.headers = [("X-App", "test")]
        }
        async let connected: Void = client.connect()
        let connection = try await node.welcomed()
        try await connected
        #expect(connection.uri == "/ws?user=alice&echo=false")
        #expect(connection.headers["Authorization"] == ["Bearer secret"])
        #expect(connection.headers["Sec-WebSocket-Protocol"] == ["roost.v1"])
        #expect(connection.headers["X-App"] == ["test"])
        await client.close()
    }

    @Test("Joining, sending, receiving and leaving")
    func chat() async throws {
        let node = try await ScriptedNode.start()
        let (client, reader, connection) = try await inGeneral(node)
        var events = reader
        async let ack = client.send(text: "hello", to: "general", id: "m1")
        let post = try await connection.hearPost()
        #expect(post.content.text?.string == "hello")
        #expect(!post.isRetry)
        connection.send(
            try message(11, user: "alice", id: "m1"),
            .typing(room: try room("general"), user: try #require(UserName("bob")), active: true))
        try connection.acknowledge(post, at: at(11))
        #expect(try await ack.position == at(11))

        guard case .connected(let connected) = await events.next() else { throw Unexpected(what: "connected") }
        #expect(connected == .init(user: "alice", node: "node-1", session: "s"))
        guard case .joined(let inbox) = await events.next() else { throw Unexpected(what: "inbox") }
        #expect(inbox.room == "@alice")
        guard case .joined(let general) = await events.next() else { throw Unexpected(what: "joined") }
        #expect(general.room == "general")
        guard case .message(let message) = await events.next() else { throw Unexpected(what: "message") }
        #expect(message.id == "m1")
        #expect(await events.next() == .typing(room: "general", user: "bob", isActive: true))

        async let left: Void = client.leave("general")
        guard case .said(.leave(let id, let room)) = await connection.hear() else { throw Unexpected(what: "leave") }
        connection.send(.left(id: id, room: room))
        try await left
        #expect(await events.next() == .left(room: "general", error: nil))

        await client.close()
        #expect(await connection.hear() == .closed(1000))
        #expect(await events.next() == nil)
        await #expect { try await client.send(text: "late", to: "general") } throws: {
            ($0 as? ChatClientError)?.code == .closed
        }
    }

    @Test("A cut connection: rooms are resumed, the unacknowledged is sent again, each message comes once")
    func resumes() async throws {
        let node = try await ScriptedNode.start()
        let (client, reader, first) = try await inGeneral(node)
        var events = reader
        first.send(try message(11), try message(12))
        #expect(await events.positions(2) == [at(11), at(12)])
        async let one = client.send(text: "1", to: "general", id: "m1")
        let sent = try await first.hearPost()
        first.cut()

        let second = try await node.welcomed(node: "node-2", inbox: at(9))
        let (id, rooms) = try await second.hearResume()
        #expect(rooms == [try room("general"): at(12), try room("@alice"): at(5)])
        let again = try await second.hearPost()
        #expect(again.id == sent.id)
        #expect(again.isRetry)
        // Live messages of rooms that are not taken up yet come again in the replay.
        second.send(try message(15), try message(9, in: "@alice"))
        second.send(.joined(Joined(id: id, room: try room("general"), position: at(15), recovered: true)))
        for seq in 12...16 { second.send(try message(UInt64(seq))) }
        try second.acknowledge(again, at: at(13), duplicate: true)
        second.send(.joined(Joined(id: id, room: try room("@alice"), position: at(9), recovered: true)))
        for seq in 6...9 { second.send(try message(UInt64(seq), in: "@alice")) }

        #expect(try await one.isDuplicate)
        let reconnected = await events.first { if case .connected(let at) = $0 { at.node } else { nil } }
        #expect(reconnected == "node-2")
        #expect(await events.positions(8) == [13, 14, 15, 16, 6, 7, 8, 9].map { at($0) })
        await client.close()
    }

    @Test("A reconnect frame: the next node is joined first, then the old connection goes; nothing comes twice")
    func moves() async throws {
        let old = try await ScriptedNode.start()
        let new = try await ScriptedNode.start()
        let (client, reader, first) = try await inGeneral(old, new)
        var events = reader
        async let one = client.send(text: "1", to: "general", id: "m1")
        let sent = try await first.hearPost()
        first.send(.reconnect(after: 0, deadline: 5000, reason: "drain"))
        let second = try await new.welcomed(inbox: at(5))
        let (id, rooms) = try await second.hearResume()
        #expect(rooms.count == 2)
        let again = try await second.hearPost()
        #expect(again.isRetry && again.id == sent.id)
        first.send(try message(11), try message(12))
        #expect(await events.positions(2) == [at(11), at(12)])
        second.send(.joined(Joined(id: id, room: try room("general"), position: at(12), recovered: true)))
        second.send(try message(11), try message(12), try message(13))
        #expect(await events.positions(1) == [at(13)])
        first.send(try message(13), try message(14))
        #expect(await events.positions(1) == [at(14)])
        second.send(.joined(Joined(id: id, room: try room("@alice"), position: at(5), recovered: true)))
        #expect(await first.hear() == .closed(1000))
        try second.acknowledge(again, at: at(11))
        #expect(try await one.position == at(11))
        second.send(try message(14), try message(15))
        #expect(await events.positions(1) == [at(15)])
        await client.close()
    }

    @Test("A node that is full or draining is tried again")
    func triesAgain() async throws {
        let node = try await ScriptedNode.start()
        node.refuseNext(status: 503, headers: [("Retry-After", "0")], body: #"{"error":"draining","message":"soon"}"#)
        let client = try client(node)
        var events = EventReader(client)
        async let connected: Void = client.connect()
        guard case .disconnected(let reason, .some) = await events.next() else { throw Unexpected(what: "refused") }
        #expect(reason.contains("draining"))
        let connection = try await node.welcomed()
        try await connected
        await client.close()
        #expect(await connection.hear() == .closed(1000))
    }

    @Test("A wrong token ends it, with the node's words")
    func unauthorized() async throws {
        let node = try await ScriptedNode.start()
        node.refuseNext(status: 401, body: #"{"error":"unauthorized","message":"the token has expired"}"#)
        let client = try client(node)
        var events = EventReader(client)
        await #expect { try await client.connect() } throws: {
            let error = $0 as? ChatClientError
            return error?.code == .unauthorized && error?.serverCode == "unauthorized"
        }
        guard case .disconnected(let reason, nil) = await events.next() else { throw Unexpected(what: "given up") }
        #expect(reason.contains("the token has expired"))
        #expect(await events.next() == nil)
        await client.close()
    }

    @Test("A kicked user stays away, a restarting node is come back from")
    func closeCodes() async throws {
        let node = try await ScriptedNode.start()
        let (client, reader, first) = try await inGeneral(node)
        var events = reader
        first.close(1012)
        let second = try await node.welcomed()
        _ = try await second.hearResume()
        let send = Task { [client] in try await client.send(text: "x", to: "general") }
        _ = try await second.hearPost()
        second.close(1008)
        #expect(await failure(of: send)?.code == .unauthorized)
        let last = await events.first { if case .disconnected(_, nil) = $0 { true } else { nil } }
        #expect(last == true)
        #expect(await events.next() == nil)
        await client.close()
    }

    @Test("A message that cannot be stored now goes out again with retry; one that never can fails")
    func refusals() async throws {
        let node = try await ScriptedNode.start()
        let (client, _, connection) = try await inGeneral(node)
        async let one = client.send(text: "1", to: "general", id: "m1")
        let first = try await connection.hearPost()
        connection.send(
            .error(Refusal(code: .unavailable, message: "", id: first.id, room: first.room.text, retryAfter: 1)))
        let again = try await connection.hearPost()
        #expect(again.isRetry && again.id == first.id)
        try connection.acknowledge(again, at: at(11))
        #expect(try await one.position == at(11))

        let two = Task { [client] in try await client.send(text: "2", to: "secret", id: "m2") }
        let second = try await connection.hearPost()
        connection.send(.error(Refusal(code: .notJoined, message: "join first", id: second.id, room: "secret")))
        let refusal = await failure(of: two)
        #expect(refusal?.serverCode == "not_joined")
        #expect(refusal?.message == "join first")
        await client.close()
    }

    @Test("A room that cannot be taken up now is tried again; one that never can is left, with the reason")
    func resumptionRefused() async throws {
        let node = try await ScriptedNode.start()
        let (client, reader, first) = try await inGeneral(node)
        var events = reader
        first.cut()
        let second = try await node.welcomed()
        let (id, _) = try await second.hearResume()
        second.send(
            .error(Refusal(code: .unavailable, message: "", id: id, room: "general", retryAfter: 1)),
            .joined(Joined(id: id, room: try room("@alice"), position: at(5), recovered: true)))
        let (other, rooms) = try await second.hearResume()
        #expect(rooms == [try room("general"): at(10)])
        second.send(.error(Refusal(code: .roomFull, message: "full", id: other, room: "general")))
        let left = await events.first {
            if case .left(let room, let error) = $0 { (room, error?.serverCode) } else { nil }
        }
        #expect(left?.0 == "general")
        #expect(left?.1 == "room_full")
        await client.close()
    }

    @Test("Requests survive a lost connection; a leave has come true by it")
    func requestsSurvive() async throws {
        let node = try await ScriptedNode.start()
        let (client, _, first) = try await inGeneral(node)
        async let members = client.members(of: "general")
        guard case .said(.members) = await first.hear() else { throw Unexpected(what: "members") }
        async let joined = client.join("other", history: 5)
        guard case .said(.join) = await first.hear() else { throw Unexpected(what: "join") }
        async let left: Void = client.leave("general")
        guard case .said(.leave) = await first.hear() else { throw Unexpected(what: "leave") }
        first.cut()
        let second = try await node.welcomed()
        let (_, rooms) = try await second.hearResume()
        #expect(rooms.keys.map(\.text) == ["@alice"])
        try await left
        guard case .said(.members(let id, let name, 100, nil)) = await second.hear() else {
            throw Unexpected(what: "members")
        }
        second.send(
            .members(
                MembersPage(id: id, room: name, members: [try #require(UserName("bob"))], count: 1, hasMore: false)))
        #expect(try await members == MemberPage(members: ["bob"], count: 1, hasMore: false))
        #expect(try await second.acceptJoin(head: .zero) == .latest(5))
        #expect(try await joined.room == "other")
        await client.close()
    }

    @Test("Losses are told: gap, rewind, and a resumption that could not recover all")
    func losses() async throws {
        let node = try await ScriptedNode.start()
        let (client, reader, first) = try await inGeneral(node)
        var events = reader
        let general = try room("general")
        first.send(try message(11), .gap(room: general, after: at(11), before: at(14)), try message(14))
        #expect(await events.positions(1) == [at(11)])
        #expect(await events.next() == .gap(room: "general", after: at(11), before: at(14)))
        #expect(await events.positions(1) == [at(14)])
        first.send(.rewind(room: general, to: at(11)), try message(1, epoch: 2))
        #expect(await events.next() == .rewind(room: "general", to: at(11)))
        #expect(await events.positions(1) == [at(1, epoch: 2)])
        first.cut()
        let second = try await node.welcomed()
        let (id, _) = try await second.hearResume()
        second.send(.joined(Joined(id: id, room: general, position: at(2), recovered: false)), try message(1))
        let joined = await events.first { event -> JoinedRoom? in
            if case .joined(let joined) = event, joined.room == "general" { joined } else { nil }
        }
        // The first one of these stood in the queue from the beginning.
        #expect(joined?.recovered == false)
        #expect(await events.positions(1) == [at(1)])
        await client.close()
    }

    @Test("Too much unacknowledged is refused, and a message over the node's limit too")
    func bounds() async throws {
        let node = try await ScriptedNode.start()
        let client = try client(node) { $0.outboxMessages = 1 }
        async let connected: Void = client.connect()
        let connection = try await node.welcomed(maxMessageBytes: 200)
        try await connected
        await #expect { try await client.send(text: String(repeating: "x", count: 200), to: "@bob") } throws: {
            ($0 as? ChatClientError)?.code == .messageTooLarge
        }
        async let one = client.send(text: "1", to: "@bob")
        let post = try await connection.hearPost()
        await #expect { try await client.send(text: "2", to: "@bob") } throws: {
            ($0 as? ChatClientError)?.code == .outboxFull
        }
        try connection.acknowledge(post, at: at(1))
        _ = try await one
        await client.close()
    }

    @Test("A slow reader holds up the connection, and misses nothing")
    func slowReader() async throws {
        let node = try await ScriptedNode.start()
        let (client, reader, connection) = try await inGeneral(node) { $0.eventBuffer = 4 }
        var events = reader
        for seq in 11...1010 { connection.send(try message(UInt64(seq))) }
        #expect(await events.positions(1000) == (11...1010).map { at($0) })
        await client.close()
    }

    @Test("Who waits for an answer gets it though the events are full; what was left out comes from the log")
    func answerBehindEvents() async throws {
        let node = try await ScriptedNode.start()
        let (client, reader, connection) = try await inGeneral(node) { $0.eventBuffer = 4 }
        var events = reader
        async let ack = client.send(text: "x", to: "general")
        let post = try await connection.hearPost()
        for seq in 11...30 { connection.send(try message(UInt64(seq))) }
        try connection.acknowledge(post, at: at(31))
        #expect(try await ack.position == at(31))
        // Three events of the beginning, so that one message had a place.
        #expect(await events.positions(1) == [at(11)])
        async let rest = events.positions(20)
        let (id, rooms) = try await connection.hearResume()
        #expect(rooms == [try room("general"): at(11)])
        connection.send(try message(32))
        connection.send(.joined(Joined(id: id, room: try room("general"), position: at(31), recovered: true)))
        for seq in 12...31 { connection.send(try message(UInt64(seq))) }
        #expect(await rest == (12...31).map { at($0) })
        await client.close()
    }

    @Test("A cancelled send waits no longer and is not repeated")
    func cancelled() async throws {
        let node = try await ScriptedNode.start()
        let (client, _, first) = try await inGeneral(node)
        let task = Task { [client] in try await client.send(text: "x", to: "general", id: "m1") }
        _ = try await first.hearPost()
        task.cancel()
        await #expect(throws: CancellationError.self) { try await task.value }
        first.cut()
        let second = try await node.welcomed()
        _ = try await second.hearResume()
        async let next = client.send(text: "y", to: "general", id: "m2")
        let post = try await second.hearPost()
        #expect(post.id?.text == "m2")
        try second.acknowledge(post, at: at(11))
        _ = try await next
        await client.close()
    }

    @Test("Own messages that a replay holds do not come back to a client without echo")
    func withoutEcho() async throws {
        let node = try await ScriptedNode.start()
        let (client, reader, first) = try await inGeneral(node) { $0.echo = false }
        var events = reader
        async let ack = client.send(text: "x", to: "general", id: "m1")
        try first.acknowledge(try await first.hearPost(), at: at(11))
        _ = try await ack
        first.cut()
        let second = try await node.welcomed()
        let (id, _) = try await second.hearResume()
        second.send(.joined(Joined(id: id, room: try room("general"), position: at(13), recovered: true)))
        second.send(
            try message(11, user: "alice", id: "m1"), try message(12, user: "alice", id: "other-device"),
            try message(13))
        #expect(await events.positions(2) == [at(12), at(13)])
        await client.close()
    }

    @Test("Pings are answered, fragments assembled, unknown events ignored")
    func frames() async throws {
        let node = try await ScriptedNode.start()
        let (client, reader, connection) = try await inGeneral(node)
        var events = reader
        connection.send(frame: WebSocketFrame(fin: true, opcode: .ping, data: ByteBuffer(string: "beat")))
        #expect(await connection.hear() == .pong("beat"))
        connection.send(
            frame: WebSocketFrame(fin: true, opcode: .text, data: ByteBuffer(string: #"{"type":"from_the_future"}"#)))
        var text = ByteBuffer()
        try message(11).write(into: &text)
        let head = text.readSlice(length: 20)
        let half = try #require(head)
        connection.send(frame: WebSocketFrame(fin: false, opcode: .text, data: half))
        connection.send(frame: WebSocketFrame(fin: true, opcode: .continuation, data: text))
        #expect(await events.positions(1) == [at(11)])
        await client.close()
    }

    @Test("A node that talks nonsense is left with the code for it, and another try is made")
    func nonsense() async throws {
        let node = try await ScriptedNode.start()
        let (client, _, first) = try await inGeneral(node)
        first.send(frame: WebSocketFrame(fin: true, opcode: .binary, data: ByteBuffer(string: "x")))
        #expect(await first.hear() == .closed(1003))
        let second = try await node.welcomed()
        _ = try await second.hearResume()
        second.send(frame: WebSocketFrame(fin: true, opcode: .text, data: ByteBuffer(string: "no JSON")))
        #expect(await second.hear() == .ended)
        let third = try await node.welcomed()
        _ = try await third.hearResume()
        await client.close()
    }

    @Test("Closing ends what waits, also without any node")
    func closesWithoutNode() async throws {
        let node = try await ScriptedNode.start()
        try await node.stop()
        let client = try client(node)
        var events = EventReader(client)
        let send = Task { try await client.send(text: "x", to: "@bob") }
        let connected = Task { try await client.connect() }
        guard case .disconnected(_, .some) = await events.next() else { throw Unexpected(what: "no node") }
        await client.close()
        #expect(await failure(of: send)?.code == .closed)
        #expect(await failure(of: connected)?.code == .closed)
    }
}

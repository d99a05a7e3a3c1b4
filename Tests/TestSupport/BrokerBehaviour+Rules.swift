package import ChatHub
package import ChatProtocol
import NIOCore

extension BrokerBehaviour {
    func bansAndMutes(_ first: BrokerNode, _ second: BrokerNode, _ room: RoomName) async throws {
        let alice = try require(UserName("alice"), "user")
        let bob = try require(UserName("bob"), "user")
        func post(_ id: String, of user: UserName, isRetry: Bool = false) async throws -> Prohibition? {
            try await second.prohibition {
                _ = try await second.append(.test("x", id: id, user: user.text, isRetry: isRetry), to: room)
            }
        }
        func enter(_ user: UserName) async throws -> Prohibition? {
            try await second.prohibition {
                let session = SessionID.random()
                _ = try await second.enter(room, session, user)
                try await second.leave(room, session)
            }
        }
        try expectEqual(try await post("1", of: alice), nil, "a post before")
        _ = try await first.change(.mute(alice, duration: 600_000, reason: "too loud"), in: room)
        try expectEqual(try await post("2", of: alice), .muted, "a post of who is muted")
        try expectEqual(try await post("1", of: alice, isRetry: true), nil, "a repetition of what is stored")
        try expectEqual(try await enter(alice), nil, "who is muted enters")
        try expectEqual(try await post("2", of: bob), nil, "a post of another")

        _ = try await first.change(.ban(alice, duration: 600_000, reason: nil), in: room)
        try expectEqual(try await post("3", of: alice), .banned, "a post of who is banned")
        try expectEqual(try await enter(alice), .banned, "who is banned enters")
        try expectEqual(try await enter(bob), nil, "another enters")
        _ = try await first.change(.ban(alice, duration: 0, reason: nil), in: room)
        try expectEqual(try await enter(alice), nil, "who was banned enters")
        _ = try await first.change(.mute(alice, duration: 0, reason: nil), in: room)
        try expectEqual(try await post("3", of: alice), nil, "a post when all is lifted")
        let log = try await first.read(room, after: .zero)
        try expectEqual(log.entries.count, 3, "what was stored")
    }

    func memberLimit(_ first: BrokerNode, _ second: BrokerNode, _ room: RoomName) async throws {
        _ = try await first.change(.settings(RoomSettings(memberLimit: 5)), in: room)
        let nodes = [first, second]
        let outcomes = try await withThrowingTaskGroup(of: (SessionID, UserName, Prohibition?).self) { tasks in
            for number in 0..<20 {
                let user = try require(UserName("user-\(number)"), "user")
                tasks.addTask {
                    let session = SessionID.random()
                    let node = nodes[number % 2]
                    return (session, user, try await node.prohibition { _ = try await node.enter(room, session, user) })
                }
            }
            return try await tasks.reduce(into: []) { $0.append($1) }
        }
        let inside = outcomes.filter { $0.2 == nil }
        try expectEqual(inside.count, 5, "users who have a place")
        try expect(outcomes.allSatisfy { $0.2 == nil || $0.2 == .full }, "the others found it full")
        try expectEqual(try await first.members(of: room).count, 5, "users in the room")

        // Who has a place brings a second session; whose last session leaves gives it back.
        let (session, user, _) = inside[0]
        let again = SessionID.random()
        _ = try await first.enter(room, again, user)
        let other = try require(UserName("other"), "user")
        let early = try await first.prohibition { _ = try await first.enter(room, SessionID.random(), other) }
        try expectEqual(early, .full, "a newcomer")
        for node in nodes { try await node.leave(room, session) }
        try await first.leave(room, again)
        try await eventually("the place is free") {
            try await first.prohibition { _ = try await first.enter(room, SessionID.random(), other) } == nil
                ? true : nil
        }
    }

    func slowMode(_ first: BrokerNode, _ second: BrokerNode, _ room: RoomName) async throws {
        _ = try await first.change(.settings(RoomSettings(slowMode: 3600)), in: room)
        _ = try await first.append(.test("one", id: "1"), to: room)
        let soon = try await second.prohibition { _ = try await second.append(.test("two", id: "2"), to: room) }
        guard case .slow(let wait) = soon else { throw Misbehaviour(description: "\(String(describing: soon))") }
        try expect((3_500_000...3_600_000).contains(wait), "the wait is what is left: \(wait)")
        let again = try await second.append(.test("one", id: "1", isRetry: true), to: room)
        try expect(again.isDuplicate, "a repetition is acknowledged")
        _ = try await second.append(.test("three", id: "3", user: "bob"), to: room)
        // Two of one user in one turn: the first is stored.
        let together = try await first.outcomes([.test("a", user: "carol"), .test("b", user: "carol")], to: room)
        try expectEqual(together.map { $0 == nil }, [true, false], "messages of one turn")
        _ = try await second.change(.settings(RoomSettings(slowMode: 0)), in: room)
        _ = try await first.append(.test("four", id: "4"), to: room)
    }

    func messageRate(_ first: BrokerNode, _ second: BrokerNode, _ room: RoomName) async throws {
        _ = try await second.change(.settings(RoomSettings(messagesPerSecond: 1)), in: room)
        // In one turn, and so in one moment.
        let drafts = (0..<6).map { Draft.test("x", id: "\($0)", user: "user-\($0)") }
        let outcomes = try await first.outcomes(drafts, to: room)
        try expectEqual(outcomes.map { $0 == nil }, [true, true, false, false, false, false], "a burst of two seconds")
        guard case .busy(let wait)? = outcomes.last ?? nil else {
            throw Misbehaviour(description: "nothing was refused: \(outcomes)")
        }
        try expect((1...1000).contains(wait), "the wait until there is room: \(wait)")
    }

    func roomRules(_ first: BrokerNode, _ second: BrokerNode, _ room: RoomName) async throws {
        try expectEqual(try await first.change(nil, in: room), RoomRules(), "rules at first")
        let alice = try require(UserName("alice"), "user")
        let bob = try require(UserName("bob"), "user")
        _ = try await first.change(.ban(alice, duration: 600_000, reason: "one two\nthree"), in: room)
        _ = try await first.change(.mute(bob, duration: 1_000_000, reason: nil), in: room)
        _ = try await first.change(.settings(RoomSettings(slowMode: 5, memberLimit: 7)), in: room)
        var rules = try await second.change(.settings(RoomSettings(memberLimit: 0, messagesPerSecond: 9)), in: room)
        try expectEqual(rules.settings, RoomSettings(slowMode: 5, messagesPerSecond: 9), "settings")
        try expectEqual(rules.bans[alice]?.reason, "one two\nthree", "a reason")
        try expect(rules.bans[alice].map { (500_000...600_000).contains($0.left) } ?? false, "what is left of a ban")
        try expectEqual(Array(rules.mutes.keys), [bob], "who is muted")
        _ = try await first.change(.ban(alice, duration: 0, reason: nil), in: room)
        _ = try await first.change(.mute(bob, duration: 0, reason: nil), in: room)
        rules = try await first.change(.settings(RoomSettings(slowMode: 0, messagesPerSecond: 0)), in: room)
        try expectEqual(rules, RoomRules(), "rules in the end")
    }
}

extension BrokerNode {
    /// By what rule `work` is forbidden; nil when it is not.
    package func prohibition(_ work: () async throws -> Void) async throws -> Prohibition? {
        do {
            try await work()
            return nil
        } catch let error as BrokerError {
            guard case .forbidden(let prohibition) = error.code else { throw error }
            return prohibition
        }
    }

    /// What is forbidden of messages of one turn.
    package func outcomes(_ drafts: [Draft], to room: RoomName) async throws -> [Prohibition?] {
        try await loop.flatSubmit { [broker, loop] in
            let commands = broker.commands(on: loop)
            let answers = drafts.map { draft in
                let promise = loop.makePromise(of: Prohibition?.self)
                commands.append(draft, to: room, known: .zero) { result in
                    switch result {
                    case .success: promise.succeed(nil)
                    case .failure(let error):
                        if case .forbidden(let why) = error.code { promise.succeed(why) } else { promise.fail(error) }
                    }
                }
                return promise.futureResult
            }
            return EventLoopFuture.whenAllSucceed(answers, on: loop)
        }.get()
    }

    package func change(_ change: RuleChange?, in room: RoomName) async throws -> RoomRules {
        try await ask { $0.change(change, in: room) }
    }
}

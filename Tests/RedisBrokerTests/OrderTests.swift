import ChatHub
import ChatProtocol
import NIOCore
import TestSupport
import Testing

@testable import RedisBroker

@Suite("Orders in Redis")
struct OrderTests {
    @Test func whatRedisLostIsGivenBackUnlessThereIsSomethingNewer() async throws {
        try await withBrokers(2) { server, brokers in
            let node = brokers[0].node
            let alice = try user("alice")
            let number = try await node.give(Order(.ban(of: alice), reason: "spam", duration: 600_000))
            let before = try #require(try await node.orders(otherThan: nil))
            try await server.command("DEL", "roost:{#control}:orders", "roost:{#control}:ends")
            #expect(try await node.orders(otherThan: nil)?.all.isEmpty == true)
            try await node.giveBack(before.all)
            let after = try #require(try await node.orders(otherThan: nil))
            #expect(after.all.map(\.number) == [number])
            #expect(after.all.map(\.order.reason) == ["spam"])
            #expect(after.version != 0, "others see that there is something to read")

            let newer = try await brokers[1].node.give(Order(.ban(of: alice), isLifted: true, duration: 600_000))
            try await node.giveBack(before.all)
            #expect(try await node.orders(otherThan: nil)?.all.map(\.number) == [newer])
        }
    }

    @Test func whatIsOverIsForgotten() async throws {
        try await withBrokers(1) { server, brokers in
            let node = brokers[0].node
            for number in 0..<5 { _ = try await node.give(Order(.token("\(number)"), duration: 1)) }
            try await eventually("they are over") {
                try await node.orders(otherThan: nil)?.all.isEmpty == true ? true : nil
            }
            _ = try await node.give(Order(.token("last"), duration: 600_000))
            // The version stands there too.
            #expect(try await server.command("HLEN", "roost:{#control}:orders") == "2")
            #expect(try await server.command("ZCARD", "roost:{#control}:ends") == "1")
        }
    }

    @Test func whoLostThePlaceInAFullRoomIsHeardOf() async throws {
        try await withBrokers(2) { server, brokers in
            let place = try room()
            let session = SessionID.random()
            _ = try await brokers[0].node.change(.settings(RoomSettings(memberLimit: 1)), in: place)
            _ = try await brokers[0].node.enter(place, session, user("alice"))
            // As if the node had been taken for dead: its sessions are swept, somebody else comes, and it enters them again.
            try await server.command("DEL", "roost:{room}:sessions", "roost:{room}:users")
            _ = try await brokers[1].node.enter(place, .random(), user("bob"))
            try await server.command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
            _ = try await brokers[0].listener.hears("the session lost its place") { events in
                events.contains(.received(.control(.displaced(session, from: place, .full)), .control)) ? true : nil
            }
            // The other broker may be without its connection for a moment, too.
            let members = try await eventually("the other broker asks again") {
                try? await brokers[1].node.members(of: place).members
            }
            #expect(try members == [user("bob")])
        }
    }

    @Test func roomsWithoutRulesHaveNoKeysForThem() async throws {
        try await withBrokers(1) { server, brokers in
            let place = try room()
            let node = brokers[0].node
            _ = try await node.append(.test("x"), to: place)
            let alice = try user("alice")
            _ = try await node.change(.ban(alice, duration: 1, reason: nil), in: place)
            _ = try await node.change(.settings(RoomSettings(slowMode: 1)), in: place)
            _ = try await node.change(.settings(RoomSettings(slowMode: 0)), in: place)
            try await eventually("the rules are gone") {
                try await server.command("EXISTS", "roost:{room}:rules", "roost:{room}:pace") == "0" ? true : nil
            }
        }
    }

    @Test(arguments: [
        "", "e", "e ", "e alice bob", "k alice", "k alice @", "k alice a b", "b al{ce", "x alice", "q alice", "version",
    ])
    func noSubjects(text: String) {
        #expect(OrderCodec.subject(text) == nil)
    }

    @Test func whatIsNotOursIsNoOrder() {
        func order(_ value: String) -> GivenOrder? {
            OrderCodec.order(ByteBuffer(string: "b alice"), ByteBuffer(string: value), now: 100)
        }
        #expect(order("7 90 200 0 0\n")?.left == 100)
        #expect(order("7 90 200 0 0\n")?.age == 10)
        // A clock that went back is no reason to trap.
        #expect(order("7 900 200 0 0\nx\ny")?.order.reason == "x\ny")
        for wrong in ["", "\n", "7 90 200 0\n", "7 90 200 0 0", "7 90 x 0 0\n", "-7 90 200 0 0\n"] {
            #expect(order(wrong) == nil, "\(wrong)")
        }
        for wrong in [" 1\n", " 1 x\n", " 1 99\nb alice", " x 1\n", ""] {
            var bytes = ByteBuffer(string: wrong)
            #expect(OrderCodec.order(&bytes) == nil, "\(wrong)")
        }
        for wrong in ["1 2\n", "1 -2 n\n", "x 2 n\n", "1 2 n"] {
            var bytes = ByteBuffer(string: wrong)
            #expect(OrderCodec.answer(&bytes) == nil, "\(wrong)")
        }
    }
}

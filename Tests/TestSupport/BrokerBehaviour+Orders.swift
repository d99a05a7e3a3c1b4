package import ChatHub
import ChatProtocol
import NIOCore

extension BrokerBehaviour {
    func ordersAreHeard(_ first: BrokerNode, _ second: BrokerNode, _ room: RoomName) async throws {
        try await second.subscribe(to: .control)
        // Names of this story alone: orders are of the whole store.
        let user = try require(UserName("user-\(room)"), "user")
        let token = Order(.token("a token\n\u{1F5DD} of \(room)"), duration: 600_000)
        let ban = Order(.ban(of: user), reason: "spam,\nagain", duration: 600_000)
        let tokens = Order(.tokens(of: user), issuedBefore: 1_700_000_000, duration: 600_000)
        let mute = Order(.mute(of: user, in: room), duration: 600_000)
        var numbers: [UInt64] = []
        for order in [token, ban, tokens, mute] { numbers.append(try await first.give(order)) }
        try expect(zip(numbers, numbers.dropFirst()).allSatisfy { $0 < $1 }, "numbers grow: \(numbers)")
        try await first.answer(numbers[1], affected: 3)

        let given = numbers
        let events = try await second.listener.hears("orders and an answer") { events -> [ControlEvent]? in
            let control = Self.control(of: events, about: given)
            return control.count >= 5 ? control : nil
        }
        let heard = events.compactMap { if case .order(let given) = $0 { given } else { nil } }
        try expectEqual(heard.map(\.order), [token, ban, tokens, mute], "orders heard")
        try expectEqual(heard.map(\.number), numbers, "their numbers")
        try expect(heard.allSatisfy { $0.age == 0 && $0.left == 600_000 }, "they are new: \(heard)")
        let node = try await first.nodeName()
        try expect(
            events.contains(.answer(OrderAnswer(number: numbers[1], node: node, affected: 3))), "the answer is heard")
    }

    func ordersAreWrittenDown(_ first: BrokerNode, _ second: BrokerNode, _ room: RoomName) async throws {
        let user = try require(UserName("user-\(room)"), "user")
        func known() async throws -> (Orders, [GivenOrder]) {
            let orders = try await require(second.orders(otherThan: nil), "orders")
            return (orders, orders.all.filter { $0.order.subject == .ban(of: user) })
        }
        let before = try await known()
        try expectEqual(before.1, [], "orders before")
        _ = try await first.give(Order(.ban(of: user), reason: "one", duration: 600_000))
        let number = try await first.give(Order(.ban(of: user), reason: "two", duration: 600_000))
        let (orders, found) = try await known()
        try expectEqual(found.map(\.number), [number], "the newer order takes the place of the older")
        try expectEqual(found.first?.order.reason, "two", "its reason")
        try expect(found.allSatisfy { $0.left <= 600_000 && $0.left > 500_000 }, "what is left of it: \(found)")
        try expect(orders.version != before.0.version, "the version tells that there is something new")
        let again = try await second.orders(otherThan: orders.version)
        try expectEqual(again, nil, "orders when none is new")

        _ = try await first.give(Order(.ban(of: user), isLifted: true, duration: 600_000))
        try expectEqual(try await known().1.map(\.order.isLifted), [true], "it is known that the order was lifted")
        let names = try await first.nodes()
        try expect(names.contains(try await first.nodeName()), "a node that lives is named: \(names)")
    }

    private static func control(of events: [BrokerListener.Event], about numbers: [UInt64]) -> [ControlEvent] {
        events.compactMap { event in
            guard case .received(.control(let control), .control) = event else { return nil }
            switch control {
            case .order(let given): return numbers.contains(given.number) ? control : nil
            case .answer(let answer): return numbers.contains(answer.number) ? control : nil
            case .displaced: return nil
            }
        }
    }
}

extension BrokerNode {
    func ask<Answer: Sendable>(
        _ question: @escaping @Sendable (any ModerationStore) -> EventLoopFuture<Answer>
    ) async throws -> Answer {
        let moderation = try require((broker as? any ModeratedBroker)?.moderation, "moderation")
        return try await broker.eventLoop.flatSubmit { question(moderation) }.get()
    }

    package func give(_ order: Order) async throws -> UInt64 { try await ask { $0.give(order) } }

    package func orders(otherThan version: UInt64?) async throws -> Orders? {
        try await ask { $0.orders(otherThan: version) }
    }

    package func giveBack(_ orders: [GivenOrder]) async throws { try await ask { $0.giveBack(orders) } }

    package func nodes() async throws -> Set<String> { try await ask { $0.nodes() } }

    package func nodeName() async throws -> String {
        try await ask { [broker] in broker.eventLoop.makeSucceededFuture($0.node) }
    }

    package func answer(_ number: UInt64, affected: Int) async throws {
        try await ask { [broker] store in
            store.answer(number, affected: affected)
            return broker.eventLoop.makeSucceededVoidFuture()
        }
    }
}

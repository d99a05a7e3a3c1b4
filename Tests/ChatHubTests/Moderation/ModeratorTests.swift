import ChatProtocol
import Logging
import NIOCore
import NIOEmbedded
import TestSupport
import Testing

@testable import ChatHub

@Suite("A moderator")
struct ModeratorTests {
    private let loop = EmbeddedEventLoop()
    private let store: ScriptedModeration
    private let moderator: Moderator
    private let ban = Order(.ban(of: .of("alice")), duration: 600_000)

    init() throws {
        let store = ScriptedModeration(loop: loop)
        let broker = ScriptedModeratedBroker(moderation: store)
        self.store = store
        moderator = Moderator(
            broker: broker, logger: Logger(label: "test", factory: { _ in SwiftLogNoOpLogHandler() }))
        // Two sessions of this node are concerned by whatever is ordered.
        _ = moderator.start { [store] order, age in
            store.performed.append((order, age))
            return store.loop.makeSucceededFuture(2)
        }
        loop.run()
    }

    /// `@unchecked Sendable`: the loop runs on the test's thread.
    private final class Result: @unchecked Sendable { var outcome: Moderator.Outcome? }

    private func give(_ order: Order) -> Result {
        let result = Result()
        moderator.give(order).whenSuccess { result.outcome = $0 }
        loop.run()
        return result
    }

    @Test("An order is done when all nodes that live have answered, and counts what they did")
    func allAnswer() {
        store.living = ["here", "there"]
        let result = give(ban)
        #expect(store.performed.map(\.0) == [ban])
        #expect(result.outcome == nil, "the other node has not answered")
        moderator.received(.answer(OrderAnswer(number: 1, node: "there", affected: 3)))
        #expect(result.outcome == Moderator.Outcome(affected: 5, silent: []))
        // What is heard of it afterwards is not news.
        moderator.received(.order(GivenOrder(ban, number: 1, age: 0, left: 600_000)))
        #expect(store.performed.count == 1)
    }

    @Test("An answer may come before the order's number is known")
    func earlyAnswer() {
        store.living = ["here", "there"]
        store.isSlow = true
        let result = give(ban)
        moderator.received(.order(GivenOrder(ban, number: 1, age: 0, left: 600_000)))
        moderator.received(.answer(OrderAnswer(number: 1, node: "there", affected: 1)))
        #expect(result.outcome == nil)
        store.answerNow()
        loop.run()
        #expect(result.outcome == Moderator.Outcome(affected: 3, silent: []))
    }

    @Test("A node that dies is not waited for; one that lives and says nothing is named in the end")
    func dying() {
        store.living = ["here", "dead", "deaf"]
        let result = give(ban)
        loop.advanceTime(by: .seconds(2))
        #expect(result.outcome == nil)
        store.living = ["here", "deaf"]
        loop.advanceTime(by: .milliseconds(1_999))
        #expect(result.outcome == nil)
        loop.advanceTime(by: .milliseconds(1))
        #expect(result.outcome == Moderator.Outcome(affected: 2, silent: ["deaf"]))

        let another = give(Order(.sessions(of: .of("bob")), duration: 1000))
        store.living = ["here"]
        loop.advanceTime(by: .milliseconds(100))
        #expect(another.outcome == Moderator.Outcome(affected: 2, silent: []))
    }

    @Test("Orders that were missed are read when the subscription stands again, and mean whom they found")
    func missed() {
        #expect(moderator.sanctions.isKnown)
        store.orders = [GivenOrder(ban, number: 7, age: 3_000, left: 597_000)]
        moderator.mayHaveMissed()
        loop.run()
        #expect(store.performed.map(\.1) == [.milliseconds(3_000)])
        #expect(store.answers == [7])
        // Nobody waits for what is older.
        store.orders.append(GivenOrder(Order(.token("x"), duration: 600_000), number: 8, age: 60_000, left: 1))
        loop.advanceTime(by: .seconds(1))
        #expect(store.performed.count == 2)
        #expect(store.answers == [7])
    }

    @Test("What the store has lost is given back to it")
    func lost() {
        _ = give(ban)
        #expect(store.givenBack.isEmpty)
        store.orders = []
        moderator.mayHaveMissed()
        loop.run()
        #expect(store.givenBack.map(\.number) == [1])
    }

    @Test("Until orders could be read nobody knows who may come in")
    func unknown() {
        let store = ScriptedModeration(loop: loop)
        store.isBroken = true
        let moderator = Moderator(
            broker: ScriptedModeratedBroker(moderation: store),
            logger: Logger(label: "test", factory: { _ in SwiftLogNoOpLogHandler() }))
        _ = moderator.start { _, _ in store.loop.makeSucceededFuture(0) }
        loop.run()
        #expect(!moderator.sanctions.isKnown)
        store.isBroken = false
        loop.advanceTime(by: .seconds(1))
        #expect(moderator.sanctions.isKnown)
    }
}

/// A store that answers as a test says.
///
/// `@unchecked Sendable`: everything happens on the test's thread.
private final class ScriptedModeration: ModerationStore, @unchecked Sendable {
    let loop: EmbeddedEventLoop
    let node = "here"
    var living: Set<String> = ["here"]
    /// Numbers are told by ``answerNow()``.
    var isSlow = false
    var isBroken = false
    var orders: [GivenOrder] = []
    var performed: [(Order, TimeAmount?)] = []
    var answers: [UInt64] = []
    var givenBack: [GivenOrder] = []
    private var number: UInt64 = 0
    private var waiting: [() -> Void] = []

    init(loop: EmbeddedEventLoop) { self.loop = loop }

    func give(_ order: Order) -> EventLoopFuture<UInt64> {
        number += 1
        orders.append(GivenOrder(order, number: number, age: 0, left: order.duration))
        guard isSlow else { return loop.makeSucceededFuture(number) }
        let promise = loop.makePromise(of: UInt64.self)
        waiting.append { [number] in promise.succeed(number) }
        return promise.futureResult
    }

    func answerNow() {
        for answer in waiting { answer() }
        waiting = []
    }

    func giveBack(_ orders: [GivenOrder]) -> EventLoopFuture<Void> {
        givenBack += orders
        self.orders += orders
        return loop.makeSucceededVoidFuture()
    }

    func orders(otherThan known: UInt64?) -> EventLoopFuture<Orders?> {
        if isBroken { return loop.makeFailedFuture(BrokerError(code: .unavailable, message: "broken")) }
        let version = orders.map(\.number).max() ?? 0
        return loop.makeSucceededFuture(version == known ? nil : Orders(orders, version: version))
    }

    func answer(_ number: UInt64, affected: Int) { answers.append(number) }
    func nodes() -> EventLoopFuture<Set<String>> { loop.makeSucceededFuture(living) }

    func change(_ change: RuleChange?, in room: RoomName) -> EventLoopFuture<RoomRules> {
        loop.makeSucceededFuture(RoomRules())
    }
}

/// `@unchecked Sendable`: everything happens on the test's thread.
private final class ScriptedModeratedBroker: ModeratedBroker, @unchecked Sendable {
    let moderation: any ModerationStore
    private let memory: MemoryBroker
    private let loop: EmbeddedEventLoop

    init(moderation: ScriptedModeration) {
        self.moderation = moderation
        loop = moderation.loop
        memory = MemoryBroker(eventLoop: loop, loops: [], clock: { 1 })
    }

    var eventLoop: any EventLoop { loop }
    func commands(on loop: any EventLoop) -> any BrokerCommands { memory.commands(on: loop) }
    func setDelegate(_ delegate: any BrokerDelegate) {}
    func subscribe(to room: RoomName) {}
    func unsubscribe(from room: RoomName) {}
}

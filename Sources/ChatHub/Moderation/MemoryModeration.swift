import ChatProtocol
import NIOCore

/// The orders of a server that runs alone. Confined to the broker's loop.
final class MemoryOrders {
    private struct Entry {
        var given: GivenOrder
        var time: UInt64
        var until: UInt64
    }

    private let clock: () -> UInt64
    private var entries: [Order.Subject: Entry] = [:]
    private var version: UInt64 = 0

    init(clock: @escaping () -> UInt64) { self.clock = clock }

    func give(_ order: Order) -> GivenOrder {
        let now = clock()
        entries = entries.filter { $0.value.until > now }
        version += 1
        let given = GivenOrder(order, number: version, age: 0, left: order.duration)
        entries[order.subject] = Entry(given: given, time: now, until: now + order.duration)
        return given
    }

    func orders(otherThan known: UInt64?) -> Orders? {
        guard known != version else { return nil }
        let now = clock()
        let all = entries.values.filter { $0.until > now }.map { entry in
            GivenOrder(
                entry.given.order, number: entry.given.number, age: now - min(now, entry.time), left: entry.until - now)
        }
        return Orders(all, version: version)
    }
}

/// `@unchecked Sendable`: what is stored is immutable; the orders are touched on the broker's loop only.
final class MemoryModeration: ModerationStore, @unchecked Sendable {
    let node = "memory"
    private let broker: MemoryBroker
    private let orders: MemoryOrders

    init(broker: MemoryBroker, orders: MemoryOrders) {
        self.broker = broker
        self.orders = orders
    }

    func give(_ order: Order) -> EventLoopFuture<UInt64> {
        let given = orders.give(order)
        publish(.order(given))
        return broker.eventLoop.makeSucceededFuture(given.number)
    }

    func change(_ change: RuleChange?, in room: RoomName) -> EventLoopFuture<RoomRules> {
        broker.eventLoop.makeSucceededFuture(broker.perform { $0.change(change, in: room) })
    }

    /// Memory loses nothing.
    func giveBack(_ orders: [GivenOrder]) -> EventLoopFuture<Void> { broker.eventLoop.makeSucceededVoidFuture() }

    func orders(otherThan known: UInt64?) -> EventLoopFuture<Orders?> {
        broker.eventLoop.makeSucceededFuture(orders.orders(otherThan: known))
    }

    func answer(_ number: UInt64, affected: Int) {
        publish(.answer(OrderAnswer(number: number, node: node, affected: affected)))
    }

    func nodes() -> EventLoopFuture<Set<String>> { broker.eventLoop.makeSucceededFuture([node]) }

    /// Later, as a store does.
    private func publish(_ event: ControlEvent) {
        broker.eventLoop.execute { [broker] in
            broker.perform { $0.publish(.control(event), in: .control) }
        }
    }
}

import ChatHub
import ChatProtocol
import Hiredis
import NIOCore

/// Orders in Redis. Everything of it has the hash tag of the control room, and so its slot and its channel.
///
/// `@unchecked Sendable`: confined to the broker's loop, that of `commands`.
final class RedisModeration: ModerationStore, @unchecked Sendable {
    let node: String
    private let commands: RedisCommands
    private let keys: Keys
    private let leaseTimeout: TimeAmount

    init(_ commands: RedisCommands, configuration: RedisBrokerConfiguration) {
        self.commands = commands
        self.keys = Keys(prefix: configuration.prefix)
        self.leaseTimeout = configuration.leaseTimeout
        self.node = NodeRegistry.name(of: configuration.node)
    }

    func give(_ order: Order) -> EventLoopFuture<UInt64> {
        run(.giveOrder, arguments(order, duration: order.duration)) { $0.number }
    }

    func giveBack(_ orders: [GivenOrder]) -> EventLoopFuture<Void> {
        let given = orders.map { given in
            run(
                .giveOrder,
                arguments(given.order, duration: given.left)
                    + [.text(String(given.number)), .text(String(given.age))]
            ) { $0.number }
        }
        return EventLoopFuture.andAllSucceed(given, on: commands.eventLoop)
    }

    private func arguments(_ order: Order, duration: UInt64) -> [Argument] {
        [
            .text(keys.channel(.control)), .text(OrderCodec.subject(order.subject)), .text(String(duration)),
            order.isLifted ? 1 : 0, .text(String(order.issuedBefore)), .text(order.reason ?? ""),
        ]
    }

    func orders(otherThan known: UInt64?) -> EventLoopFuture<Orders?> {
        commands.ask { [self] completion in
            commands.link.run(
                .orders, keys: [keys.orders], [.text(known.map(String.init) ?? "")], completion)
        } as: { reply -> Orders?? in
            guard case .array(let parts) = reply else { return nil }
            guard !parts.isEmpty else { return .some(nil) }
            guard parts.count % 2 == 0, let version = parts[0].number, let now = parts[1].number else { return nil }
            // What is not ours, or of a later version, is passed over.
            let all = stride(from: 2, to: parts.count, by: 2).compactMap { index -> GivenOrder? in
                guard let subject = parts[index].bytes, let value = parts[index + 1].bytes else { return nil }
                return OrderCodec.order(subject, value, now: now)
            }
            return Orders(all.filter { $0.left > 0 }, version: version)
        }
    }

    func change(_ change: RuleChange?, in room: RoomName) -> EventLoopFuture<RoomRules> {
        commands.ask { [self] completion in
            commands.link.run(.rules, keys: [keys.rules(room)], change.map(RulesCodec.arguments) ?? [], completion)
        } as: {
            RulesCodec.rules($0)
        }
    }

    func answer(_ number: UInt64, affected: Int) {
        let answer = OrderCodec.answer(OrderAnswer(number: number, node: node, affected: affected))
        commands.link.send([commands.link.publish, .text(keys.channel(.control)), .bytes(answer)])
    }

    func nodes() -> EventLoopFuture<Set<String>> {
        commands.ask { [self] completion in
            let lease = Int(leaseTimeout.nanoseconds / 1_000_000)
            commands.link.run(.living, keys: [keys.nodes], [.integer(lease)], completion)
        } as: { reply in
            guard case .array(let parts) = reply else { return nil }
            return Set(parts.compactMap { $0.bytes.map { NodeRegistry.name(ofIncarnation: String(buffer: $0)) } })
        }
    }

    private func run<Answer: Sendable>(
        _ script: Script, _ arguments: [Argument], as read: @escaping (Reply) -> Answer?
    ) -> EventLoopFuture<Answer> {
        commands.ask { [self] completion in
            commands.link.run(script, keys: [keys.orders, keys.orderEnds], arguments, completion)
        } as: {
            read($0)
        }
    }
}

import ChatGateway
import ChatHub
import ChatProtocol
import Logging
import NIOCore
import NIOPosix
import RedisBroker
import ServiceLifecycle
import Synchronization
import TestSupport

/// A gateway in this process that loses publications, as networks do, and is of a build that does not repair: what
/// follows a hole looks as if nothing had been before it. (Or of one that does, for comparison.)
enum RepairlessNode {
    /// A message that the node did not hear.
    struct Loss: Hashable, Sendable {
        var room: String
        var position: String
    }

    /// Runs it as `gateway-2` while `work` goes on.
    ///
    /// - Parameters:
    ///   - repairs: whether it sees holes, as it should.
    ///   - seq: the message of each room that it does not hear, with all that are published together with it.
    ///   - work: is given the node's URL, and what the node has lost so far.
    static func run(
        redis: String, repairs: Bool, losing seq: UInt64,
        _ work: @escaping @Sendable (_ url: String, _ losses: @escaping @Sendable () -> Set<Loss>) async throws -> Void
    ) async throws {
        var logger = Logger(label: "gateway-2")
        logger.logLevel = .error
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        let url = try RedisURL(redis)
        let broker = try RedisBroker(
            configuration: RedisBrokerConfiguration(url: url, node: "gateway-2"), group: group, logger: logger)
        let deaf = DeafBroker(broker, repairs: repairs, seq: seq)
        var configuration = GatewayConfiguration(node: "gateway-2")
        configuration.port = try FreePort.find()
        configuration.opsPort = 0
        configuration.drainTime = .zero
        configuration.drainAllowance = .zero
        let gateway = try await Gateway(
            configuration: configuration, broker: deaf, group: group, storeStatus: { broker.status },
            addBrokerMetrics: { _ in }, logger: logger)
        let services = ServiceGroup(services: [broker, gateway], logger: logger)
        let port = configuration.port
        try await withThrowingTaskGroup(of: Void.self) { tasks in
            tasks.addTask { try await services.run() }
            try await eventually("gateway-2 hears Redis", within: .seconds(20)) {
                broker.status == .available ? true : nil
            }
            try await work("ws://127.0.0.1:\(port)/ws") { deaf.losses }
            await services.triggerGracefulShutdown()
            try await tasks.waitForAll()
        }
        try await group.shutdownGracefully()
    }
}

private final class DeafBroker: ModeratedBroker {
    private let broker: RedisBroker
    private let repairs: Bool
    private let seq: UInt64
    private let lost = Mutex<Set<RepairlessNode.Loss>>([])

    init(_ broker: RedisBroker, repairs: Bool, seq: UInt64) {
        self.broker = broker
        self.repairs = repairs
        self.seq = seq
    }

    var losses: Set<RepairlessNode.Loss> { lost.withLock { $0 } }
    var eventLoop: any EventLoop { broker.eventLoop }
    var moderation: any ModerationStore { broker.moderation }

    func commands(on loop: any EventLoop) -> any BrokerCommands { broker.commands(on: loop) }

    func setDelegate(_ delegate: any BrokerDelegate) {
        broker.setDelegate(Ear(delegate, broker: self))
    }

    func subscribe(to room: RoomName) { broker.subscribe(to: room) }

    func unsubscribe(from room: RoomName) { broker.unsubscribe(from: room) }

    /// Confined to the broker's loop.
    private final class Ear: BrokerDelegate {
        private let delegate: any BrokerDelegate
        private let broker: DeafBroker
        /// Where the holes begin that are to be hidden.
        private var holes: [RoomName: Position] = [:]

        init(_ delegate: any BrokerDelegate, broker: DeafBroker) {
            self.delegate = delegate
            self.broker = broker
        }

        func received(_ publication: Publication, in room: RoomName) {
            guard case .messages(var batch) = publication else { return delegate.received(publication, in: room) }
            let seqs = batch.first.seq..<(batch.first.seq + UInt64(batch.messages.count))
            guard !seqs.contains(broker.seq) else {
                holes[room] = batch.previous
                let epoch = batch.first.epoch
                broker.lost.withLock { lost in
                    lost.formUnion(seqs.map { .init(room: room.text, position: "\(epoch)-\($0)") })
                }
                return
            }
            if !broker.repairs, let previous = holes.removeValue(forKey: room) { batch.previous = previous }
            delegate.received(.messages(batch), in: room)
        }

        func subscribed(to rooms: [RoomName]) { delegate.subscribed(to: rooms) }
        func subscriptionsLost() { delegate.subscriptionsLost() }
        func receivedAllForNow() { delegate.receivedAllForNow() }
        func storeReplaced() { delegate.storeReplaced() }
        func statusChanged(to status: BrokerStatus) { delegate.statusChanged(to: status) }
    }
}

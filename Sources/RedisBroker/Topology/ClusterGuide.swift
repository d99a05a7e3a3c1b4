import ChatHub
import Hiredis
import Logging
import NIOCore

/// Asks the nodes of a cluster, one after the other, who serves what: now and then, and often while it is in doubt.
///
/// `@unchecked Sendable`: everything happens on the broker's loop.
final class ClusterGuide: @unchecked Sendable {
    /// A node that does not answer for so long is passed over.
    static let patience = TimeAmount.milliseconds(500)
    private static let interval = TimeAmount.seconds(5)
    /// While the table is in doubt.
    private static let shortInterval = TimeAmount.milliseconds(200)

    /// Somebody serves other slots than before, or came up or down. On the broker's loop.
    var changed: (SlotTable) -> Void = { _ in }
    /// Why nothing is known yet.
    var failed: (_ reason: String) -> Void = { _ in }
    /// Something cannot be reached: the cluster may be changing.
    var isTroubled: () -> Bool = { false }

    private let eventLoop: any EventLoop
    private let usesTLS: Bool
    private let counters: RedisCounters
    private let logger: Logger
    private var candidates: ClusterCandidates
    private var link: RedisLink?
    private var table = SlotTable()
    private var isAsking = false
    private var isDoubted = false
    private var lastAsked = NIODeadline.uptimeNanoseconds(0)
    private var timer: RepeatedTask?

    /// - Parameter link: Makes the link on which nodes are asked; it asks where to go.
    init(
        seeds: [RedisURL.Endpoint], usesTLS: Bool, eventLoop: any EventLoop, counters: RedisCounters, logger: Logger,
        link: (RedisLink.Target) -> RedisLink
    ) {
        self.eventLoop = eventLoop
        self.usesTLS = usesTLS
        self.counters = counters
        self.logger = logger
        candidates = ClusterCandidates(seeds: seeds)
        let made = link(
            .asked { [weak self] loop in
                guard let self else { return loop.makeFailedFuture(BrokerError.unavailable("ended")) }
                return loop.makeSucceededFuture(candidates.next())
            })
        made.events.up = { [weak self] in self?.ask() }
        made.events.down = { [weak self] in self?.isAsking = false }
        made.events.failureChanged = { [weak self] in
            guard let self, let reason = self.link?.failure, table.isEmpty else { return }
            failed("no node of the cluster answers; \(reason)")
        }
        self.link = made
    }

    func start() {
        link?.start()
        timer = eventLoop.scheduleRepeatedTask(initialDelay: Self.shortInterval, delay: Self.shortInterval) {
            [weak self] _ in
            guard let self else { return }
            let isUrgent = isDoubted || table.isEmpty || isTroubled()
            if isUrgent || eventLoop.now >= lastAsked + Self.interval { ask() }
        }
    }

    func stop() {
        timer?.cancel()
        timer = nil
        link?.stop()
    }

    /// A node said something else than the table, or cannot be reached.
    func doubted() {
        eventLoop.assertInEventLoop()
        isDoubted = true
        if eventLoop.now >= lastAsked + Self.shortInterval { ask() }
    }

    private func ask() {
        guard let link, link.isUp, !isAsking else { return }
        isAsking = true
        isDoubted = false
        lastAsked = eventLoop.now
        counters.topologyRefreshes.add()
        let node = link.endpoint
        var epoch: UInt64?
        link.send(["CLUSTER", "INFO"]) { result in
            guard case .success(let reply) = result, let text = reply.bytes else { return }
            epoch = ClusterCandidates.epoch(inInfo: String(buffer: text))
        }
        link.send(["CLUSTER", "SHARDS"]) { [self] result in
            isAsking = false
            answered(result, epoch, by: node)
        }
    }

    private func answered(_ result: Result<Reply, BrokerError>, _ epoch: UInt64?, by node: RedisURL.Endpoint?) {
        guard case .success(let reply) = result, let new = SlotTable(shards: reply, asked: node, usesTLS: usesTLS)
        else {
            // The connection was lost, or this is no node of a cluster of Redis 7.
            var reason = "it does not tell who serves what"
            if case .failure(let error) = result { reason = error.message }
            link?.replace(reason)
            return
        }
        guard candidates.accepts(epoch: epoch) else {
            link?.replace("it knows less of the cluster than others")
            return
        }
        candidates.nodes = new.nodes
        guard !new.primaries.isEmpty else {
            link?.replace("no node of the cluster serves a slot yet")
            return
        }
        guard new != table else { return }
        let isMove = !table.isEmpty && !new.hasOwners(of: table)
        table = new
        if isMove {
            counters.topologyChanges.add()
            logger.notice(
                "The cluster has changed",
                metadata: ["primaries": "\(new.primaries.map { "\($0.endpoint)" }.joined(separator: " "))"])
        }
        changed(new)
    }
}

/// Whom to ask next, and whether to believe the answer: who was cut off from the cluster does not know what has happened
/// there since, and has a lower epoch.
struct ClusterCandidates {
    private let seeds: [RedisURL.Endpoint]
    /// All that are known of the cluster.
    var nodes: [RedisURL.Endpoint] = []
    private var turn = 0
    private var greatest: UInt64 = 0
    private var refused = 0

    init(seeds: [RedisURL.Endpoint]) { self.seeds = seeds }

    /// Seeds and nodes in turn.
    mutating func next() -> RedisURL.Endpoint {
        let all = nodes + seeds.filter { !nodes.contains($0) }
        defer { turn += 1 }
        return all[turn % all.count]
    }

    /// Whether a node of this epoch is to be believed. When all others know as little, it is the cluster that began anew.
    mutating func accepts(epoch: UInt64?) -> Bool {
        guard let epoch else { return true }
        guard epoch >= greatest || refused >= seeds.count + nodes.count else {
            refused += 1
            return false
        }
        greatest = epoch
        refused = 0
        return true
    }

    /// Reads `cluster_current_epoch` from what `CLUSTER INFO` answers.
    static func epoch(inInfo text: String) -> UInt64? {
        let name = "cluster_current_epoch:"
        let line = text.split(whereSeparator: \.isNewline).first { $0.hasPrefix(name) }
        return line.flatMap { UInt64($0.dropFirst(name.count)) }
    }
}

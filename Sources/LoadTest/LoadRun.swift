import ChatClient
import FoundationEssentials
import Histogram
import NIOCore
import NIOPosix

/// Why a load test could not begin, or go on.
package struct LoadRunError: Error, CustomStringConvertible {
    package var description: String

    package init(description: String) {
        self.description = description
    }
}

/// Does to a cluster what a ``Fault`` says.
package protocol FaultPerformer: Sendable {
    /// Returns when it is done.
    ///
    /// - Throws: when it could not be done.
    func perform(_ fault: Fault) async throws
}

/// Runs a load test from connecting to the report.
package struct LoadRun: Sendable {
    package let plan: LoadPlan
    /// Needed for all faults but those to the clients.
    package var performer: (any FaultPerformer)?
    /// Pages with the metrics of the nodes, by the nodes' names.
    package var metrics: [(node: String, page: HTTPGet)] = []
    /// Asks the cluster's Redis what it has spent.
    package var redisInfo: (@Sendable () async -> RedisInfo?)?
    /// How often progress is told.
    package var interval: Duration = .seconds(1)
    /// How long after the ramp the last client may still be connecting.
    package var connectTimeout: Duration = .seconds(30)

    package init(_ plan: LoadPlan) {
        self.plan = plan
    }

    /// - Throws: ``LoadRunError`` when not all clients could connect and join or a fault could not be performed,
    ///   `CancellationError` when the task was cancelled.
    package func run(_ tell: @escaping @Sendable (LoadEvent) -> Void) async throws -> LoadReport {
        let group = MultiThreadedEventLoopGroup(numberOfThreads: plan.threads)
        do {
            let report = try await run(on: group, tell)
            try await group.shutdownGracefully()
            return report
        } catch {
            try? await group.shutdownGracefully()
            throw error
        }
    }

    private func run(
        on group: MultiThreadedEventLoopGroup, _ tell: @escaping @Sendable (LoadEvent) -> Void
    ) async throws -> LoadReport {
        var options = ClientConnection.Options()
        // A generator that checks every byte measures itself.
        options.checksText = false
        do {
            try options.prepareTLS(for: plan.addresses, trusting: plan.caFile)
        } catch {
            throw LoadRunError(description: "TLS cannot be used: \(error)")
        }
        let shards = group.makeIterator().enumerated().map { index, loop in
            ShardReference(LoadShard(plan: plan, thread: index, options: options, eventLoop: loop))
        }
        do {
            return try await run(shards, tell)
        } catch {
            for shard in shards { shard.run { $0.stop() } }
            throw error
        }
    }

    private func run(
        _ shards: [ShardReference], _ tell: @escaping @Sendable (LoadEvent) -> Void
    ) async throws -> LoadReport {
        let empty = await readMetrics()
        let redisEmpty = await redisInfo?()
        var log = RunLog(plan: plan, interval: interval, shards: shards, tell: tell)
        for shard in shards { shard.run { $0.connectAll() } }
        let connectBy = ContinuousClock.now + plan.ramp + connectTimeout
        while try await !log.look(.connecting) {
            if let failure = try await shards.mapOnLoop({ $0.failure }).compactMap(\.self).first {
                throw LoadRunError(description: failure)
            }
            guard ContinuousClock.now < connectBy else { throw try await notConnected(shards) }
        }

        let full = await readMetrics()
        let redisBegin = await redisInfo?()
        let usage = Usage.now()
        let startedAt = Date().timeIntervalSince1970
        for shard in shards { shard.run { $0.beginTraffic() } }
        log.begin()
        let faults = FaultLog(start: log.start)
        var afterwards = full
        var redis: RedisCost?
        var cost = GeneratorCost(cpuSeconds: 0, deliveries: 0, peakBytes: 0)
        try await withThrowingTaskGroup(of: Void.self) { group in
            for fault in plan.faults {
                group.addTask { try await perform(fault, on: shards, faults, tell) }
            }
            while try await !shards.allSatisfyOnLoop({ $0.isSendingDone }) {
                try faults.check()
                try await log.look(.running)
            }
            let now = Usage.now()
            afterwards = await readMetrics()
            redis = RedisCost(
                empty: redisEmpty, begin: redisBegin, end: await redisInfo?(), messages: log.counts.acknowledged)
            cost = GeneratorCost(
                cpuSeconds: now.cpuSeconds - usage.cpuSeconds, deliveries: log.counts.deliveries.delivered,
                peakBytes: now.peakBytes)
            while try await !isOver(shards, faults) {
                try faults.check()
                try await log.look(.finishing)
            }
            try await group.waitForAll()
        }
        // What came since the last look.
        try await log.look(.finishing)
        log.finishStep()

        let memberships = try await shards.mapOnLoop { $0.membershipCount }.reduce(0, +)
        var tally = LoadTally()
        for part in try await shards.mapOnLoop({ shard -> LoadTally in
            shard.finish()
            return shard.tally
        }) { tally.add(part) }
        let nodes = try await Set(shards.mapOnLoop { $0.nodeNames }.flatMap(\.self))
        var report = LoadReport(plan: plan, tally: tally, nodes: Array(nodes), startedAt: startedAt)
        report.memberships = memberships
        report.steps = log.steps
        report.peakConnects = log.health.peakConnects(from: 0)
        report.faults = faults.outcomes(health: log.health, presence: log.presence)
        report.costs = metrics.map { node, _ in
            NodeCost(node: node, empty: empty[node], begin: full[node], end: afterwards[node])
        }
        report.redis = redis
        report.generators = [cost]
        return report
    }

    /// All is here and every fault is done, or nothing has come for a while.
    private func isOver(_ shards: [ShardReference], _ faults: FaultLog) async throws -> Bool {
        guard faults.doneCount == plan.faults.count else { return false }
        if try await shards.allSatisfyOnLoop({ $0.isComplete }) { return true }
        let patience = TimeAmount(plan.patience)
        return try await shards.allSatisfyOnLoop {
            $0.isComplete || (.now() - $0.lastReceipt > patience && !$0.hasGhosts)
        }
    }

    private func perform(
        _ fault: Fault, on shards: [ShardReference], _ log: FaultLog, _ tell: @Sendable (LoadEvent) -> Void
    ) async throws {
        try await Task.sleep(until: log.start + fault.at, clock: .continuous)
        if fault.action == .kill, case .gateway = fault.target {
            let node = fault.target.description
            for shard in shards { _ = try await shard.get { $0.beginGhosts(on: node) } }
        }
        let number = log.begin(fault)
        tell(.note("\(Decimals.fixed(log.seconds(), digits: 1)) s \(fault.name)"))
        do {
            if fault.needsLocalCluster {
                guard let performer else {
                    throw LoadRunError(description: "\(fault.name) needs a cluster of one's own: --local")
                }
                try await performer.perform(fault)
            } else {
                for shard in shards { _ = try await shard.get { $0.cutAll() } }
            }
        } catch let error as CancellationError {
            throw error
        } catch {
            return log.fail("\(fault.name) could not be done: \(error)")
        }
        log.end(number)
        let took = log.seconds() - fault.at.inSeconds
        if took > 0.5 { tell(.note("\(Decimals.fixed(log.seconds(), digits: 1)) s \(fault.name) is done")) }
    }

    private func readMetrics() async -> [String: NodeMetrics] {
        await withTaskGroup(of: (String, NodeMetrics?).self) { group in
            for (node, page) in metrics {
                group.addTask {
                    guard let answer = try? await page.fetch(), answer.status == 200 else { return (node, nil) }
                    return (node, NodeMetrics(answer.body))
                }
            }
            var pages: [String: NodeMetrics] = [:]
            for await (node, page) in group { pages[node] = page }
            return pages
        }
    }

    private func notConnected(_ shards: [ShardReference]) async throws -> LoadRunError {
        let missing = try await shards.mapOnLoop { $0.missingUsers }.flatMap(\.self)
        let count = missing.map(\.count).reduce(0, +)
        let reasons = missing.prefix(3).map { "\($0.count) × \($0.reason)" }.joined(separator: "; ")
        return LoadRunError(description: "\(count) of \(plan.clients) clients could not connect and join: \(reasons)")
    }
}

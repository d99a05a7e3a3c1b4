import ChatClient
import NIOCore
import NIOPosix

/// Why a load test could not begin.
package struct LoadRunError: Error, CustomStringConvertible {
    package var description: String
}

/// Runs a load test from connecting to the report.
package struct LoadRun: Sendable {
    package let plan: LoadPlan
    /// How often `progress` is called.
    package var interval: Duration = .seconds(1)
    /// How long after the ramp the last client may still be connecting.
    package var connectTimeout: Duration = .seconds(30)

    package init(_ plan: LoadPlan) {
        self.plan = plan
    }

    /// - Throws: ``LoadRunError`` when not all clients could connect and join, ``InvalidPlan`` when the system has too
    ///   few descriptors, `CancellationError` when the task was cancelled.
    package func run(progress: @Sendable (LoadProgress) -> Void) async throws -> LoadReport {
        try DescriptorLimit.raise(forConnections: plan.clients)
        let group = MultiThreadedEventLoopGroup(numberOfThreads: plan.threads)
        do {
            let report = try await run(on: group, progress: progress)
            try await group.shutdownGracefully()
            return report
        } catch {
            try? await group.shutdownGracefully()
            throw error
        }
    }

    private func run(
        on group: MultiThreadedEventLoopGroup, progress: @Sendable (LoadProgress) -> Void
    ) async throws -> LoadReport {
        var options = ClientConnection.Options()
        // A generator that checks every byte measures itself.
        options.checksText = false
        try options.prepareTLS(for: plan.addresses)
        let shards = group.makeIterator().enumerated().map { index, loop in
            ShardReference(LoadShard(plan: plan, thread: index, options: options, eventLoop: loop))
        }
        do {
            return try await run(shards, progress: progress)
        } catch {
            for shard in shards { shard.run { $0.stop() } }
            throw error
        }
    }

    private func run(
        _ shards: [ShardReference], progress: @Sendable (LoadProgress) -> Void
    ) async throws -> LoadReport {
        var clock = Progress(plan: plan, interval: interval, shards: shards)
        for shard in shards { shard.run { $0.connectAll() } }
        let connectBy = ContinuousClock.now + plan.ramp + connectTimeout
        while try await !shards.allSatisfyOnLoop({ $0.isAllReady }) {
            if let failure = try await shards.mapOnLoop({ $0.failure }).compactMap(\.self).first {
                throw LoadRunError(description: failure)
            }
            guard ContinuousClock.now < connectBy else { throw try await notConnected(shards) }
            try await clock.tick(.connecting, progress)
        }

        for shard in shards { shard.run { $0.beginTraffic() } }
        try await clock.tick(.running, progress)
        while try await !shards.allSatisfyOnLoop({ $0.isSendingDone }) {
            try await clock.tick(.running, progress)
        }
        while try await !isOver(shards) {
            try await clock.tick(.finishing, progress)
        }

        var tally = LoadTally()
        for part in try await shards.mapOnLoop({ shard -> LoadTally in
            shard.tally.counts.connected = shard.connectedCount
            shard.finish()
            return shard.tally
        }) { tally.add(part) }
        let nodes = try await Set(shards.mapOnLoop { $0.nodeNames }.flatMap(\.self))
        return LoadReport(plan: plan, tally: tally, nodes: Array(nodes))
    }

    /// All is here, or nothing has come for a while.
    private func isOver(_ shards: [ShardReference]) async throws -> Bool {
        if try await shards.allSatisfyOnLoop({ $0.isComplete }) { return true }
        let patience = TimeAmount(plan.patience)
        return try await shards.allSatisfyOnLoop { $0.isComplete || .now() - $0.lastReceipt > patience }
    }

    private func notConnected(_ shards: [ShardReference]) async throws -> LoadRunError {
        let missing = try await shards.mapOnLoop { $0.missingUsers }.flatMap(\.self)
        let count = missing.map(\.count).reduce(0, +)
        let reasons = missing.prefix(3).map { "\($0.count) × \($0.reason)" }.joined(separator: "; ")
        return LoadRunError(description: "\(count) of \(plan.clients) clients could not connect and join: \(reasons)")
    }

    /// Gathers what the shards have seen, at an even pace.
    private struct Progress {
        let plan: LoadPlan
        let interval: Duration
        let shards: [ShardReference]
        let start = ContinuousClock.now
        var last = ContinuousClock.now
        var before: LoadTally.Counts?

        /// The loops above look ten times in each interval, so that they do not wait for nothing at the end.
        mutating func tick(_ phase: LoadProgress.Phase, _ progress: @Sendable (LoadProgress) -> Void) async throws {
            try await Task.sleep(for: interval / 10)
            let now = ContinuousClock.now
            guard now - last >= interval else { return }
            var tally = LoadTally()
            for part in try await shards.mapOnLoop({ $0.takeRecent() }) { tally.add(part) }
            progress(
                LoadProgress(
                    phase: phase, seconds: (now - start).inSeconds, clients: plan.clients, tally: tally, before: before,
                    interval: (now - last).inSeconds))
            before = tally.counts
            last = now
        }
    }
}

/// The way to a shard from outside its loop.
///
/// Sendable because the shard is touched nowhere but within the bodies that its loop executes.
struct ShardReference: @unchecked Sendable {
    private let shard: LoadShard

    init(_ shard: LoadShard) {
        self.shard = shard
    }

    func run(_ body: @escaping @Sendable (LoadShard) -> Void) {
        shard.eventLoop.execute { body(self.shard) }
    }

    func get<Value: Sendable>(_ body: @escaping @Sendable (LoadShard) -> Value) async throws -> Value {
        try await shard.eventLoop.submit { body(self.shard) }.get()
    }
}

extension [ShardReference] {
    func mapOnLoop<Value: Sendable>(_ body: @escaping @Sendable (LoadShard) -> Value) async throws -> [Value] {
        var values: [Value] = []
        for shard in self { values.append(try await shard.get(body)) }
        return values
    }

    func allSatisfyOnLoop(_ body: @escaping @Sendable (LoadShard) -> Bool) async throws -> Bool {
        try await mapOnLoop(body).allSatisfy(\.self)
    }
}

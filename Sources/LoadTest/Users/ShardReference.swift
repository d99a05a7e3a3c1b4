import NIOCore

/// The way to a shard from outside its loop.
///
/// `@unchecked Sendable`: the shard is touched nowhere but within the bodies that its loop executes.
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

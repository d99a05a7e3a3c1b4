import TestSupport
import Testing

private func onSmallDisk(_ work: OnStage.Work) async throws {
    let disk = try await SmallDisk.mount(megabytes: 16)
    do {
        var options = RedisServer.Options()
        options.dataFolder = disk.path
        let redis = try await SingleRedis.start(options)
        try await SmallDisk.$current.withValue(disk) { try await work(try await Stage.start(redis)) }
    } catch {
        await disk.unmount()
        throw error
    }
    await disk.unmount()
}

extension FaultTests {
    /// Redis has a disk of 16 MB.
    @Suite(
        "With a small disk", .serialized,
        .stage { try await onSmallDisk($0) })
    struct SmallDiskRows {
        private var redis: RedisServer {
            get throws { try #require(Stage.current?.store as? SingleRedis).server }
        }

        private var disk: SmallDisk {
            get throws { try #require(SmallDisk.current) }
        }

        @Test("The disk is full for 3 s under AOF everysec: refused until there is room")
        func everySecond() async throws {
            let (redis, disk) = (try redis, try disk)
            let traffic = try await Row(
                section: .store, fault: "the disk of Redis is full for 3 s", seen: "`unavailable`"
            ).run { _, traffic in
                try disk.fill()
                try await eventually("Redis refuses to write") {
                    traffic.refusals.isEmpty ? nil : true
                }
                try await pause(.seconds(3))
                try disk.free()
                traffic.healed()
            }
            #expect(traffic.refusals.keys.contains("unavailable"))
            #expect(redis.isRunning)
        }

        @Test("The disk is full under AOF always: Redis ends, and comes back when there is room")
        func always() async throws {
            let (redis, disk) = (try redis, try disk)
            try await redis.command("CONFIG", "SET", "appendfsync", "always")
            try await Row(
                section: .store, fault: "… and Redis ends for it (`appendfsync always`)", seen: "`unavailable`"
            ).run { _, traffic in
                try disk.fill()
                try await eventually("Redis has ended") { redis.isRunning ? nil : true }
                try await pause(.seconds(1))
                try disk.free()
                try await redis.restart()
                traffic.healed()
            }
        }

        @Test("Snapshots fail for want of room: refused until one succeeds")
        func snapshots() async throws {
            let (redis, disk) = (try redis, try disk)
            try await redis.command("CONFIG", "SET", "appendonly", "no")
            try await Row(
                section: .store, fault: "snapshots of Redis fail", seen: "`unavailable`"
            ).run { _, traffic in
                try disk.fill()
                try await redis.command("CONFIG", "SET", "save", "1 1")
                try await eventually("Redis refuses to write") { traffic.refusals.isEmpty ? nil : true }
                try disk.free()
                // It would try again by itself, but only after 5 s.
                try await redis.command("BGSAVE")
                traffic.healed()
            }
            try await redis.command("CONFIG", "SET", "save", "")
        }
    }
}

import TestSupport
import Testing

extension FaultTests {
    @Suite("Redis fails", .serialized, .stage { try await Stage.start(SingleRedis.start()) })
    struct RedisRows {
        private var redis: SingleRedis {
            get throws { try #require(Stage.current?.store as? SingleRedis) }
        }

        @Test("Nothing fails: all is delivered, nobody is told anything")
        func nothing() async throws {
            try await Row(name: "none").run { _, _ in try await pause(.seconds(1)) }
        }

        @Test("Redis is killed and started again with what it had stored")
        func killed() async throws {
            let redis = try redis
            try await Row(name: "Redis killed, started again after 1 s, AOF").run { _, traffic in
                await redis.server.kill()
                try await pause(.seconds(1))
                try await redis.server.restart()
                traffic.healed()
            }
        }
    }
}

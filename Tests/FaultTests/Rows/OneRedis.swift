import TestSupport
import Testing

extension FaultTests {
    /// Three gateways, HAProxy and one Redis with an append-only file. The rows stand in the files beside this one.
    @Suite(
        "With one Redis", .serialized,
        .stage { work in
            var options = RedisServer.Options()
            options.arguments = ["--enable-debug-command", "local"]
            let redis = try await SingleRedis.start(options)
            try await work(try await Stage.start(redis, isBalanced: true, arguments: ["--stall-timeout", "15"]))
        })
    struct OneRedis {
        /// The suite's own.
        var stage: Stage {
            get throws { try #require(Stage.current) }
        }

        var redis: RedisServer {
            get throws { try store.server }
        }

        /// One before each gateway's Redis.
        var proxies: [FaultProxy] {
            get throws { try store.proxies }
        }

        private var store: SingleRedis {
            get throws { try #require(stage.store as? SingleRedis) }
        }

        @Test("Nothing fails: all is delivered, and nobody is told of a loss")
        func nothing() async throws {
            try await Row(section: .nothing, fault: "nothing", seen: "all, once and in order").run { _, _ in
                try await pause(.seconds(1))
            }
        }
    }
}

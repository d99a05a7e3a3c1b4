import Foundation
import TestSupport
import Testing

/// What happens to Redis itself.
extension FaultTests.OneRedis {
    @Test("Redis is killed and started again with what it had stored")
    func killed() async throws {
        let redis = try redis
        try await Row(name: "5 Redis killed, back after 1 s, AOF").run { _, traffic in
            await redis.kill()
            try await pause(.seconds(1))
            try await redis.restart()
            traffic.healed()
        }
    }

    @Test("Redis is killed and comes back with nothing: whoever lost something is told")
    func forgetting() async throws {
        let redis = try redis
        try await Row(name: "6 Redis killed, back after 1 s, all data gone", fate: .loses).run { _, traffic in
            await redis.kill()
            try await pause(.seconds(1))
            try await redis.restart(forgetting: true)
            traffic.healed()
        }
    }

    @Test("Redis is away for 30 s: sessions stand, senders are told at once, and nothing acknowledged is lost")
    func away() async throws {
        let redis = try redis
        let traffic = try await Row(name: "7 Redis killed, back after 30 s, AOF").run { stage, traffic in
            await redis.kill()
            for gateway in stage.gateways { try await gateway.unready(within: .seconds(10)) }
            // A new client is told to try elsewhere.
            let answer = try await HTTPProbe.get("/ws?user=late", port: stage.gateways[0].port, headers: Self.upgrade)
            #expect(answer.status == 503)
            #expect(answer.headers["retry-after"] != nil)
            try await pause(.seconds(28))
            try await redis.restart()
            traffic.healed()
        }
        #expect(traffic.refusals.keys.contains("unavailable"))
    }

    private static let upgrade = [
        "Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    ]

    @Test("Redis holds still for 10 s: what was not known to be stored is stored once")
    func suspended() async throws {
        let redis = try redis
        let traffic = try await Row(name: "8 Redis stopped (SIGSTOP) for 10 s").run { _, traffic in
            redis.suspend()
            try await pause(.seconds(10))
            redis.resume()
            traffic.healed()
        }
        #expect(traffic.refusals.keys.contains("unavailable"))
    }

    @Test("Redis is busy for 4 s: BUSY is an outage that passes")
    func busy() async throws {
        let redis = try redis
        try await redis.command("CONFIG", "SET", "busy-reply-threshold", "200")
        let traffic = try await Row(name: "33 Redis busy with a script for 4 s").run { _, traffic in
            try await redis.command(
                "EVAL",
                """
                local from = redis.call('TIME')
                repeat
                  local now = redis.call('TIME')
                until (now[1] - from[1]) * 1000000 + now[2] - from[2] > 4000000
                """, "0")
            traffic.healed()
        }
        #expect(traffic.refusals.keys.contains("unavailable"))
    }

    @Test("The scripts are flushed, again and again: nobody notices")
    func scriptFlush() async throws {
        let redis = try redis
        let traffic = try await Row(name: "32 SCRIPT FLUSH every 100 ms for 2 s").run { _, _ in
            for _ in 0..<20 {
                try await redis.command("SCRIPT", "FLUSH")
                try await pause(.milliseconds(100))
            }
        }
        #expect(traffic.refusals.isEmpty)
    }

    @Test("One room's log is deleted: it begins a new epoch, and whoever lost something is told")
    func deletedLog() async throws {
        let redis = try redis
        try await Row(name: "32 DEL of a room's log", fate: .loses).run { _, traffic in
            try await redis.command("DEL", "roost:{\(traffic.rooms[0])}:log")
        }
    }

    @Test("All keys are deleted: every room begins a new epoch, and presence is entered again")
    func flushAll() async throws {
        let redis = try redis
        try await Row(name: "32 FLUSHALL", fate: .loses).run { _, traffic in
            try await redis.command("FLUSHALL")
        }
    }

    @Test("Redis is full (noeviction) for 3 s: refused until there is room, then all goes on")
    func full() async throws {
        let redis = try redis
        let traffic = try await Row(name: "29 maxmemory reached for 3 s, noeviction").run { _, traffic in
            try await redis.command("CONFIG", "SET", "maxmemory", "100kb")
            try await pause(.seconds(3))
            try await redis.command("CONFIG", "SET", "maxmemory", "0")
            traffic.healed()
        }
        #expect(traffic.refusals.keys.contains("unavailable"))
    }
}

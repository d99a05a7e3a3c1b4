import Foundation
import TestSupport
import Testing

/// What happens to Redis itself.
extension FaultTests.OneRedis {
    @Test("Redis is killed and started again with what it had stored")
    func killed() async throws {
        let redis = try redis
        try await Row(
            section: .store, fault: "Redis is killed and back after 1 s",
            seen: "`unavailable` with `retry_after`, then goes on"
        ).run { _, traffic in
            await redis.kill()
            try await pause(.seconds(1))
            try await redis.restart()
            traffic.healed()
        }
    }

    @Test("Redis is killed and comes back with nothing: whoever lost something is told")
    func forgetting() async throws {
        let redis = try redis
        try await Row(
            section: .store, fault: "Redis is killed and back after 1 s, without its data",
            seen: "the same; `gap`, `rewind` or `recovered: false` where something is lost for good", fate: .loses
        ).run { _, traffic in
            await redis.kill()
            try await pause(.seconds(1))
            try await redis.restart(forgetting: true)
            traffic.healed()
        }
    }

    @Test("Redis is killed and comes back with data of 2 s before: the gateways give it back what it lacks")
    func olderData() async throws {
        let redis = try redis
        let before = try await stage.total("roost_restored_messages_total")
        try await Row(
            section: .store, fault: "Redis is killed and back after 1 s, with data that is 2 s old",
            seen: "`unavailable`; `rewind`, and what it lacks is given back", fate: .moves
        ).run { _, traffic in
            let copy = try redis.copyData()
            defer { copy.remove() }
            try await pause(.seconds(2))
            await redis.kill()
            try await pause(.seconds(1))
            try await redis.restart(with: copy)
            traffic.healed()
        }
        #expect(try await stage.total("roost_restored_messages_total") > before + 100)
    }

    @Test("Redis is away for 30 s: sessions stand, senders are told at once, and nothing acknowledged is lost")
    func away() async throws {
        let redis = try redis
        let traffic = try await Row(
            section: .store, fault: "Redis is killed and back after 30 s",
            seen: "`unavailable`; new connections are refused with 503 meanwhile"
        ).run { stage, traffic in
            let memory = stage.gateways.map(\.residentBytes)
            await redis.kill()
            for gateway in stage.gateways { try await gateway.unready(within: .seconds(10)) }
            // A new client is told to try elsewhere.
            let answer = try await HTTPProbe.get("/ws?user=late", port: stage.gateways[0].port, headers: Self.upgrade)
            #expect(answer.status == 503)
            #expect(answer.headers["retry-after"] != nil)
            try await pause(.seconds(28))
            for (gateway, before) in zip(stage.gateways, memory) {
                #expect(gateway.residentBytes < before + 16 << 20, "what cannot be stored must not pile up")
            }
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
        let traffic = try await Row(
            section: .store, fault: "Redis hangs for 10 s",
            seen: "`unavailable` after 2 s; what was stored meanwhile is not stored again"
        ).run { _, traffic in
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
        let traffic = try await Row(
            section: .store, fault: "Redis is busy with a script for 4 s", seen: "`unavailable`"
        ).run { _, traffic in
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
        let traffic = try await Row(
            section: .store, fault: "the scripts of Redis are flushed, again and again", seen: "nothing"
        ).run { _, _ in
            for _ in 0..<20 {
                try await redis.command("SCRIPT", "FLUSH")
                try await pause(.milliseconds(100))
            }
        }
        #expect(traffic.refusals.isEmpty)
    }

    @Test("Redis writes out all its data and loads it again, several times: nobody notices")
    func reloaded() async throws {
        let redis = try redis
        try await Row(
            section: .store, fault: "Redis loads its data anew while it runs (`DEBUG RELOAD`)", seen: "nothing"
        ).run { _, _ in
            for _ in 0..<5 {
                try await redis.command("DEBUG", "RELOAD")
                try await pause(.milliseconds(200))
            }
        }
    }

    @Test("One room's log is deleted: it begins a new epoch, and whoever lost something is told")
    func deletedLog() async throws {
        let redis = try redis
        try await Row(
            section: .store, fault: "a room's log is deleted",
            seen: "`gap`, `rewind` or `recovered: false` where something is lost for good", fate: .loses
        ).run { _, traffic in
            try await redis.command("DEL", "roost:{\(traffic.rooms[0])}:log")
        }
    }

    @Test("All keys are deleted: every room begins a new epoch, and presence is entered again")
    func flushAll() async throws {
        let redis = try redis
        try await Row(
            section: .store, fault: "all keys of Redis are deleted",
            seen: "`gap`, `rewind` or `recovered: false` where something is lost for good", fate: .loses
        ).run { _, traffic in
            try await redis.command("FLUSHALL")
        }
    }

    @Test("Who is present is lost, and Redis takes no writes for 5 s: nobody is said to have gone")
    func readOnlyWithoutPresence() async throws {
        let redis = try redis
        let traffic = try await Row(
            section: .store, fault: "Redis loses who is present, and takes no writes for 5 s (`NOREPLICAS`)",
            seen: "`unavailable`; nobody is said to have gone"
        ).run { _, traffic in
            let keys = traffic.rooms.flatMap { ["roost:{\($0)}:sessions", "roost:{\($0)}:users"] }
            try await redis.command(["DEL"] + keys)
            try await redis.command("CONFIG", "SET", "min-replicas-to-write", "1")
            try await redis.command("CLIENT", "KILL", "TYPE", "normal")
            try await redis.command("CLIENT", "KILL", "TYPE", "pubsub")
            try await pause(.seconds(5))
            try await redis.command("CONFIG", "SET", "min-replicas-to-write", "0")
            traffic.healed()
        }
        #expect(traffic.refusals.keys.contains("unavailable"))
    }

    @Test("Redis is full (noeviction) for 3 s: refused until there is room, then all goes on")
    func full() async throws {
        let redis = try redis
        let traffic = try await Row(
            section: .store, fault: "Redis has no memory left for 3 s (`noeviction`)", seen: "`unavailable`"
        ).run { _, traffic in
            try await redis.command("CONFIG", "SET", "maxmemory", "100kb")
            try await pause(.seconds(3))
            try await redis.command("CONFIG", "SET", "maxmemory", "0")
            traffic.healed()
        }
        #expect(traffic.refusals.keys.contains("unavailable"))
    }
}

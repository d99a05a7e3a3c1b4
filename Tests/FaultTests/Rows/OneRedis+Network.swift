import TestSupport
import Testing

/// What happens between gateways and Redis.
extension FaultTests.OneRedis {
    @Test("Redis is far away and the line is thin: all goes on, only later")
    func slow() async throws {
        let proxies = try proxies
        let traffic = try await Row(
            section: .network, fault: "Redis is 200 ms away", seen: "messages take so long"
        ).run { _, traffic in
            for proxy in proxies {
                proxy.change {
                    $0.delay = .milliseconds(100)
                    $0.jitter = .milliseconds(25)
                    $0.bytesPerSecond = 1_000_000
                }
            }
            try await pause(.seconds(3))
            for proxy in proxies { proxy.clear() }
            traffic.healed()
        }
        #expect(traffic.refusals.isEmpty)
    }

    @Test("5 % of the packets between gateways and Redis are lost: slower, without an error")
    func packetLoss() async throws {
        let ports = try proxies.map(\.port)
        let traffic = try await Row(
            section: .network, fault: "5 % of the packets to Redis are lost", seen: "some messages are late"
        ).run { _, traffic in
            try await Machine.losing(percent: 5, ofPorts: ports) { try await pause(.seconds(3)) }
            traffic.healed()
        }
        #expect(traffic.refusals.isEmpty)
    }

    @Test("One gateway is cut off from Redis for 4 s: its clients stay, and are brought what they missed")
    func partition() async throws {
        let proxies = try proxies
        // For so long that the others may say that its users have gone: they cannot be reached.
        let row = Row(
            section: .network, fault: "a gateway is cut off from Redis for 4 s",
            seen: "`unavailable`; others see `user_left`", mayBeGone: true)
        try await row.run { _, traffic in
            proxies[0].change { $0.held = [.up, .down] }
            try await pause(.seconds(4))
            proxies[0].clear()
            traffic.healed()
        }
    }

    @Test("Requests arrive at Redis and replies do not come back, for 4 s: what was stored is not stored again")
    func partitionOfReplies() async throws {
        let proxies = try proxies
        let traffic = try await Row(
            section: .network, fault: "no replies of Redis arrive for 4 s",
            seen: "`unavailable`; what was stored is not stored again"
        ).run { _, traffic in
            for proxy in proxies { proxy.change { $0.held = [.down] } }
            try await pause(.seconds(4))
            for proxy in proxies { proxy.clear() }
            traffic.healed()
        }
        #expect(traffic.refusals.keys.contains("unavailable"))
    }

    @Test("Requests do not arrive at Redis while its publications do, for 4 s")
    func partitionOfRequests() async throws {
        let proxies = try proxies
        try await Row(
            section: .network, fault: "no requests to Redis arrive for 4 s", seen: "`unavailable`"
        ).run { _, traffic in
            for proxy in proxies { proxy.change { $0.held = [.up] } }
            try await pause(.seconds(4))
            for proxy in proxies { proxy.clear() }
            traffic.healed()
        }
    }

    @Test("Redis refuses connections and resets those that stand, for 3 s")
    func refused() async throws {
        let proxies = try proxies
        try await Row(
            section: .network, fault: "connections to Redis are reset and refused for 3 s", seen: "`unavailable`"
        ).run { _, traffic in
            for proxy in proxies {
                proxy.change { $0.refuses = true }
                proxy.reset()
            }
            try await pause(.seconds(3))
            for proxy in proxies { proxy.clear() }
            traffic.healed()
        }
    }

    @Test("Replies are cut in two, and the connection is reset: nothing is mixed up")
    func cutReplies() async throws {
        let proxies = try proxies
        try await Row(
            section: .network, fault: "replies of Redis are cut in two", seen: "`unavailable` to a few"
        ).run { _, traffic in
            for (number, bytes) in [1, 3, 11].enumerated() {
                for proxy in proxies {
                    let before = proxy.cut
                    proxy.cutReplies(1, after: bytes)
                    try await eventually("reply \(number) is cut") { proxy.cut > before ? true : nil }
                }
            }
            for proxy in proxies { proxy.clear() }
            traffic.healed()
        }
    }
}

import TestSupport
import Testing

/// What happens to gateways and to the balancer before them.
extension FaultTests.OneRedis {
    @Test("A gateway is killed: its clients go on elsewhere")
    func killedGateway() async throws {
        let victim = try stage.gateways[0]
        try await Row(
            section: .gateways, fault: "a gateway is killed",
            seen: "1006; resumes on another gateway", leaving: .those(on: victim.node)
        ).run { _, _ in await victim.kill() }
    }

    @Test("A gateway holds still for 13 s, is declared dead, and comes back")
    func stoppedGateway() async throws {
        let victim = try stage.gateways[1]
        let row = Row(
            section: .gateways, fault: "a gateway hangs for 13 s",
            seen: "its clients leave after two and a half heartbeats; others see `user_left` within 5 s",
            leaving: .those(on: victim.node), mayBeGone: true,
            answersInTime: false)
        try await row.run { _, traffic in
            victim.pause()
            try await pause(.seconds(13))
            victim.resume()
            traffic.healed()
            try await victim.ready()
        }
    }

    @Test("A gateway is told to end: its clients move first, nobody seems to be away")
    func drainedGateway() async throws {
        let victim = try stage.gateways[2]
        try await Row(
            section: .gateways, fault: "a gateway is ended",
            seen: "`reconnect`; moves before the old connection ends", leaving: .those(on: victim.node)
        ).run { _, traffic in
            victim.terminate()
            let ending = try await victim.end()
            traffic.healed()
            #expect(ending == .exited(0))
        }
    }

    @Test("All gateways are restarted one after the other, behind the balancer")
    func rollingRestart() async throws {
        let stage = try stage
        var plan = Traffic.Plan()
        plan.through = stage.balancer
        let row = Row(
            section: .gateways, fault: "all gateways are restarted, one after the other",
            seen: "the same", plan: plan, leaving: .anybody)
        let traffic = try await row.run { stage, traffic in
            for gateway in stage.gateways {
                gateway.terminate()
                let ending = try await gateway.end()
                #expect(ending == .exited(0))
                try await gateway.restart()
            }
            traffic.healed()
        }
        for member in traffic.members {
            #expect(member.record.connections.count <= stage.gateways.count + 1, "\(member.name)")
        }
    }

    @Test("HAProxy is reloaded: connections stand, new ones are made")
    func reloadedBalancer() async throws {
        let balancer = try #require(try stage.balancer)
        var plan = Traffic.Plan()
        plan.through = balancer
        try await Row(
            section: .gateways, fault: "HAProxy is reloaded", seen: "nothing", plan: plan
        ).run { _, traffic in
            try await balancer.reload()
            let guest = try await Guest.connect("new", port: balancer.port)
            try await guest.join(traffic.rooms[0])
            try await guest.close()
        }
    }

    @Test("HAProxy is killed and started again: everybody comes back")
    func killedBalancer() async throws {
        let balancer = try #require(try stage.balancer)
        var plan = Traffic.Plan()
        plan.through = balancer
        try await Row(
            section: .gateways, fault: "HAProxy is killed, and back after 0.5 s",
            seen: "1006; resumes", plan: plan, leaving: .anybody,
            // Who fails twice or thrice before it is back may stay away for longer than presence waits.
            mayBeGone: true
        ).run { _, traffic in
            await balancer.kill()
            try await pause(.milliseconds(500))
            try await balancer.restart()
            traffic.healed()
        }
    }

    @Test("A gateway gets 15 % of a processor for 4 s: slower, and still there")
    func starvedGateway() async throws {
        let victim = try stage.gateways[1]
        let group = try ControlGroup(.cpu, of: victim.pid)
        do {
            try await Row(
                section: .gateways, fault: "a gateway gets 15 % of a processor for 4 s", seen: "nothing"
            ).run { _, traffic in
                try group.limit(.processor(percent: 15))
                try await pause(.seconds(4))
                try group.limit(.processor(percent: nil))
                traffic.healed()
            }
        } catch {
            await victim.kill()
            try await group.remove()
            throw error
        }
        await victim.kill()
        try await group.remove()
    }
}

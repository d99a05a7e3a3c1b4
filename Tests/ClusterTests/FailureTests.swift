import ChatClient
import TestSupport
import Testing

extension ClusterTests {
    @Suite("Failures under traffic")
    struct FailureTests {
        private let messages = 600

        @Test("A gateway is killed: its clients go on elsewhere, nothing acknowledged is missing or doubled")
        func killedGateway() async throws {
            try await Cluster.run(arguments: ["--messages-per-second", "0"]) { cluster in
                let urls = cluster.nodes.map(\.url)
                let alice = try await Witness.join("general", as: "alice", at: [urls[0], urls[1], urls[2]])
                let bob = try await Witness.join("general", as: "bob", at: [urls[1], urls[2], urls[0]])
                let victim = try #require(cluster.nodes.first { $0.node == alice.node })
                // Dora is lost with the gateway: she does not come back.
                _ = try await Guest.connect("dora", to: victim, in: "general")
                try await bob.record("dora's coming") { $0.joined.contains("dora") }

                async let aliceSends: Void = alice.send(messages)
                async let bobSends: Void = bob.send(messages)
                try await alice.record("a third sent") { $0.acknowledged.count >= messages / 3 }
                await victim.kill()
                _ = try await (aliceSends, bobSends)

                try await check([alice, bob])
                #expect(alice.record.acknowledged.count + bob.record.acknowledged.count == 2 * messages)
                #expect(alice.node != victim.node)
                for witness in [alice, bob] {
                    try await witness.record("dora's going") { $0.left.contains("dora") }
                    #expect(witness.record.left == ["dora"])
                }
                for witness in [alice, bob] { await witness.leave() }
            }
        }

        @Test("Redis is killed and started again: senders wait, nothing acknowledged is missing or doubled")
        func restartedRedis() async throws {
            try await Cluster.run(arguments: ["--messages-per-second", "0"]) { cluster in
                let urls = cluster.nodes.map(\.url)
                let alice = try await Witness.join("general", as: "alice", at: [urls[0]])
                let bob = try await Witness.join("general", as: "bob", at: [urls[1]])

                async let aliceSends: Void = alice.send(messages)
                async let bobSends: Void = bob.send(messages)
                try await alice.record("a third sent") { $0.acknowledged.count >= messages / 3 }
                await cluster.redis.kill()
                for node in cluster.nodes { try await node.unready(within: .seconds(10)) }
                try await cluster.redis.restart()
                for node in cluster.nodes { try await node.ready() }
                _ = try await (aliceSends, bobSends)

                try await check([alice, bob])
                for witness in [alice, bob] {
                    // The sessions stood all the time, and so did the users.
                    #expect(witness.record.nodes.count == 1)
                    #expect(witness.record.left == [])
                }
                for witness in [alice, bob] { await witness.leave() }
            }
        }

        @Test("All gateways are restarted one after the other: clients move, and nobody notices anything")
        func rollingRestart() async throws {
            // The balancer needs a second to see who is ready and who is not, and longer on a busy machine.
            let patience = ["--messages-per-second", "0", "--drain-deadline", "10"]
            try await Cluster.run(arguments: patience) { cluster in
                let witnesses = [
                    try await Witness.join("general", as: "alice", at: [cluster.balancerURL]),
                    try await Witness.join("general", as: "bob", at: [cluster.balancerURL]),
                    try await Witness.join("general", as: "carol", at: [cluster.balancerURL]),
                ]
                for (witness, joined) in zip(witnesses, [["bob", "carol"], ["carol"], []]) {
                    try await witness.record("who came") { $0.joined == joined }
                }
                async let alice: Void = witnesses[0].talk(every: .milliseconds(5))
                async let bob: Void = witnesses[1].talk(every: .milliseconds(5))
                async let carol: Void = witnesses[2].talk(every: .milliseconds(5))
                for node in cluster.nodes {
                    node.terminate()
                    #expect(try await node.end() == .exited(0))
                    try await node.restart()
                }
                for witness in witnesses { witness.stopTalking() }
                _ = try await (alice, bob, carol)

                try await check(witnesses)
                for (witness, joined) in zip(witnesses, [["bob", "carol"], ["carol"], []]) {
                    #expect((2...cluster.nodes.count + 1).contains(witness.record.nodes.count))
                    #expect(witness.record.left == [])
                    #expect(witness.record.joined == joined)
                }
                for witness in witnesses { await witness.leave() }
            }
        }

        /// All saw all that all sent, once, in one order without a hole, and nobody was told of a loss.
        private func check(_ witnesses: [Witness]) async throws {
            let sent = witnesses.flatMap(\.record.acknowledged)
            #expect(Set(sent).count == sent.count)
            for witness in witnesses {
                try await witness.record("all messages") { $0.messages.count >= sent.count }
            }
            for witness in witnesses {
                let record = witness.record
                #expect(record.messages.count == sent.count)
                #expect(Set(record.messages.map { "\($0.user) \($0.id ?? "")" }).count == sent.count)
                #expect(record.isWithoutHole)
                #expect(record.complaints == [])
                #expect(record.messages.map(\.position) == witnesses[0].record.messages.map(\.position))
                #expect(record.messages.map(\.id) == witnesses[0].record.messages.map(\.id))
            }
        }
    }
}

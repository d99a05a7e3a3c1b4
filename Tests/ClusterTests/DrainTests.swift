import TestSupport
import Testing

extension ClusterTests {
    @Suite("Drain")
    struct DrainTests {
        @Test("SIGTERM: not ready at once, clients are asked to go, 1012 to those who stay, exit 0")
        func drain() async throws {
            try await Cluster.run { cluster in
                let leaving = cluster.nodes[0]
                let alice = try await Guest.connect("alice", to: leaving, in: "general")
                let bob = try await Guest.connect("bob", to: cluster.nodes[1], in: "general")
                let carol = try await Guest.connect("carol", to: leaving, in: "general")
                try await bob.event("carol's coming") { $0.type == "user_joined" && $0.user == "carol" }
                try await bob.post("before", to: "general", id: "1")
                let last = try #require(
                    try await alice.event("bob's message") { $0.type == "message" }.position)

                leaving.terminate()
                try await leaving.unready(within: .seconds(5))
                let reconnect = try await alice.event("reconnect") { $0.type == "reconnect" }
                #expect((reconnect.deadline ?? 0) > 0)
                #expect(reconnect.reason?.isEmpty == false)

                // Alice does as she is told: a new connection elsewhere first, then she closes the old one.
                let again = try await Guest.connect("alice", port: cluster.balancer.port)
                #expect(again.node != leaving.node)
                let joined = try await again.join("general", fields: #","since":"\#(last)""#)
                #expect(joined.recovered == true)
                try await alice.close()
                // Carol stays until she is put out.
                #expect(try await carol.closeCode() == 1012)
                #expect(try await leaving.end() == .exited(0))

                let left = try await bob.event("carol's going") { $0.type == "user_left" }
                #expect(left.user == "carol")
                try await bob.post("after", to: "general", id: "2")
                try await again.event("bob's message") { $0.type == "message" && $0.text == "after" }
                // Alice never seemed to be away.
                #expect(bob.events.filter { $0.user == "alice" && $0.type != "message" }.isEmpty)
            }
        }

        @Test("A draining gateway refuses new clients with 503, and the balancer does not send it any")
        func refusesWhileDraining() async throws {
            try await Cluster.run(arguments: ["--drain-time", "3", "--drain-deadline", "6"]) { cluster in
                let leaving = cluster.nodes[0]
                let stays = try await Guest.connect("alice", to: leaving, in: "general")
                leaving.terminate()
                try await leaving.unready(within: .seconds(5))
                do {
                    _ = try await Guest.connect("bob", port: leaving.port)
                    Issue.record("a draining gateway took a new client")
                } catch let refusal as RefusedHandshake {
                    #expect(refusal.answer?.status == 503)
                    #expect(refusal.answer?.body.contains("\"error\":\"draining\"") == true)
                }
                for number in 0..<6 {
                    let guest = try await Guest.connect("user-\(number)", port: cluster.balancer.port)
                    #expect(guest.node != leaving.node)
                }
                #expect(try await stays.closeCode() == 1012)
                #expect(try await leaving.end() == .exited(0))
            }
        }

        @Test("A gateway without clients ends at once")
        func nobodyThere() async throws {
            try await Cluster.run(nodes: 1, arguments: ["--drain-time", "60", "--drain-deadline", "120"]) { cluster in
                cluster.nodes[0].terminate()
                let ending = try await cluster.nodes[0].end(within: .seconds(10))
                #expect(ending == .exited(0))
            }
        }
    }
}

import TestSupport
import Testing

extension ClusterTests {
    @Suite("Presence")
    struct PresenceTests {
        @Test("Members come and go once, on all gateways, however many sessions they have")
        func comeAndGo() async throws {
            try await Cluster.run { cluster in
                let alice = try await Guest.connect("alice", to: cluster.nodes[0], in: "general")
                let first = try await Guest.connect("bob", to: cluster.nodes[1], in: "general")
                let joined = try await alice.event("bob's coming") { $0.type == "user_joined" }
                #expect(joined.user == "bob")
                #expect(joined.count == 2)

                let second = try await Guest.connect("bob", to: cluster.nodes[2], in: "general")
                try await first.close()
                try await second.send(#"{"type":"leave","id":"out","room":"general"}"#)
                try await second.event("left") { $0.type == "left" && $0.id == "out" }
                let left = try await alice.event("bob's going") { $0.type == "user_left" }
                #expect(left.user == "bob")
                #expect(left.count == 1)
                #expect(alice.events.filter { $0.type == "user_joined" }.count == 1)
            }
        }

        @Test("The users of a gateway that was killed leave within 5 s, once each")
        func killedGateway() async throws {
            try await Cluster.run { cluster in
                let alice = try await Guest.connect("alice", to: cluster.nodes[0], in: "general")
                let bob = try await Guest.connect("bob", to: cluster.nodes[1], in: "general")
                let lost = ["carol", "dave", "erin"]
                for name in lost { _ = try await Guest.connect(name, to: cluster.nodes[2], in: "general") }
                for guest in [alice, bob] {
                    try await guest.event("erin's coming") { $0.type == "user_joined" && $0.user == "erin" }
                }

                let clock = ContinuousClock()
                let killed = clock.now
                await cluster.nodes[2].kill()
                for guest in [alice, bob] {
                    var gone: Set<String> = []
                    while gone.count < lost.count {
                        gone.insert(try await guest.event("user_left") { $0.type == "user_left" }.user ?? "")
                    }
                    #expect(gone == Set(lost))
                }
                #expect(clock.now - killed < .seconds(5))

                // The gateway comes back and carol with it: until then each going was told once.
                try await cluster.nodes[2].restart()
                _ = try await Guest.connect("carol", to: cluster.nodes[2], in: "general")
                for guest in [alice, bob] {
                    let back = try await guest.event("carol's coming") {
                        $0.type == "user_joined" && $0.user == "carol"
                    }
                    #expect(back.count == 3)
                    #expect(guest.events.filter { $0.type == "user_left" }.compactMap(\.user).sorted() == lost)
                }
                try await alice.send(#"{"type":"members","id":"m","room":"general"}"#)
                let members = try await alice.event("members") { $0.type == "members" }
                #expect(members.members == ["alice", "bob", "carol"])
                #expect(members.count == 3)
            }
        }
    }
}

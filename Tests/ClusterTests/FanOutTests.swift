import ChatProtocol
import TestSupport
import Testing

extension ClusterTests {
    @Suite("Rooms across gateways")
    struct FanOutTests {
        @Test("1,000 messages of alice on one gateway and of bob on another arrive at both in one order without a hole")
        func order() async throws {
            try await Cluster.run(arguments: ["--messages-per-second", "0"]) { cluster in
                let alice = try await Guest.connect("alice", to: cluster.nodes[0], in: "general")
                let bob = try await Guest.connect("bob", to: cluster.nodes[1], in: "general")
                let count = 1000
                async let aliceSees = exchange(alice, count: count)
                async let bobSees = exchange(bob, count: count)
                let (seenByAlice, seenByBob) = try await (aliceSees, bobSees)

                #expect(seenByAlice == seenByBob)
                #expect(Set(seenByAlice.map(\.id)).count == 2 * count)
                for name in ["alice", "bob"] {
                    #expect(seenByAlice.filter { $0.user == name }.map(\.id) == (0..<count).map { "\(name) \($0)" })
                }
                let positions = seenByAlice.compactMap { $0.position.flatMap { Position($0) } }
                try #require(positions.count == 2 * count)
                #expect(Set(positions.map(\.epoch)).count == 1)
                #expect(positions.map(\.seq) == Array(1...UInt64(2 * count)))
                for guest in [alice, bob] {
                    let acks = Dictionary(
                        guest.events.filter { $0.type == "ack" }.map { ($0.id, $0.position) }, uniquingKeysWith: { $1 })
                    let own = seenByAlice.filter { $0.user == guest.user }
                    #expect(acks == Dictionary(own.map { ($0.id, $0.position) }, uniquingKeysWith: { $1 }))
                }
            }
        }

        /// Posts `count` messages and reads until all messages of both and all own acks are there.
        private func exchange(_ guest: Guest, count: Int) async throws -> [Event] {
            async let sending: Void = {
                for number in 0..<count {
                    try await guest.post("message \(number)", to: "general", id: "\(guest.user) \(number)")
                }
            }()
            var messages: [Event] = []
            var acks = 0
            while messages.count < 2 * count || acks < count {
                let event = try await guest.event("messages") { $0.type == "message" || $0.type == "ack" }
                if event.type == "ack" { acks += 1 } else { messages.append(event) }
            }
            try await sending
            return messages
        }

        @Test("Three clients that come through the balancer land on three gateways")
        func balance() async throws {
            try await Cluster.run { cluster in
                var nodes: Set<String> = []
                var guests: [Guest] = []
                for name in ["alice", "bob", "carol"] {
                    let guest = try await Guest.connect(name, port: cluster.balancer.port)
                    try await guest.join("general")
                    nodes.insert(guest.node)
                    guests.append(guest)
                }
                #expect(nodes == ["gateway-1", "gateway-2", "gateway-3"])
                try await guests[0].post("hello", to: "general", id: "1")
                for guest in guests {
                    try await guest.event("alice's message") { $0.type == "message" && $0.text == "hello" }
                }
            }
        }

        @Test("A direct message reaches all sessions of the user, and all of the sender's, on all gateways")
        func directMessages() async throws {
            try await Cluster.run { cluster in
                let alice = try await Guest.connect("alice", port: cluster.nodes[0].port)
                let aliceElsewhere = try await Guest.connect("alice", port: cluster.nodes[1].port)
                var bobs: [Guest] = []
                for node in cluster.nodes { bobs.append(try await Guest.connect("bob", port: node.port)) }
                for bob in bobs {
                    try await bob.event("own inbox") { $0.type == "joined" && $0.room == "@bob" && $0.id == nil }
                }
                for session in [alice, aliceElsewhere] {
                    try await session.event("own inbox") { $0.type == "joined" && $0.room == "@alice" && $0.id == nil }
                }

                try await alice.post("psst", to: "@bob", id: "dm 1")
                let ack = try await alice.event("ack") { $0.type == "ack" && $0.id == "dm 1" }
                #expect(ack.room == "@bob")
                for bob in bobs {
                    let message = try await bob.event("alice's message") { $0.type == "message" }
                    #expect(message.room == "@bob")
                    #expect(message.user == "alice")
                    #expect(message.text == "psst")
                    #expect(message.position == ack.position)
                }
                for session in [alice, aliceElsewhere] {
                    let copy = try await session.pastOrNext("a copy") { $0.type == "message" }
                    #expect(copy.room == "@alice")
                    #expect(copy.to == "bob")
                    #expect(copy.text == "psst")
                }
            }
        }

        @Test("Typing and signals reach the members on other gateways, not the session that sent them")
        func signals() async throws {
            try await Cluster.run(nodes: 2) { cluster in
                let alice = try await Guest.connect("alice", to: cluster.nodes[0], in: "general")
                let bob = try await Guest.connect("bob", to: cluster.nodes[1], in: "general")
                try await alice.send(#"{"type":"typing","room":"general"}"#)
                let typing = try await bob.event("typing") { $0.type == "typing" }
                #expect(typing.user == "alice")
                #expect(typing.active == true)
                try await alice.send(#"{"type":"signal","room":"general","data":{"x":1}}"#)
                let signal = try await bob.event("signal") { $0.type == "signal" }
                #expect(signal.user == "alice")
                // What bob says afterwards has come to alice, her own signals have not.
                try await bob.post("seen", to: "general", id: "1")
                try await alice.event("bob's message") { $0.type == "message" }
                #expect(alice.events.allSatisfy { $0.type != "typing" && $0.type != "signal" })
            }
        }

        @Test("A session that left one gateway joins on another with what it missed, in order")
        func resumeElsewhere() async throws {
            try await Cluster.run { cluster in
                let alice = try await Guest.connect("alice", to: cluster.nodes[0], in: "general")
                let bob = try await Guest.connect("bob", to: cluster.nodes[1], in: "general")
                try await alice.post("0", to: "general", id: "0")
                let last = try #require(try await bob.event("message") { $0.type == "message" }.position)
                await bob.socket.cut()
                for number in 1...50 { try await alice.post("\(number)", to: "general", id: "\(number)") }
                try await alice.event("ack of the last") { $0.type == "ack" && $0.id == "50" }

                let again = try await Guest.connect("bob", port: cluster.nodes[2].port)
                let joined = try await again.join("general", fields: #","since":"\#(last)""#)
                #expect(joined.recovered == true)
                var texts: [String] = []
                while texts.count < 50 {
                    texts.append(try await again.event("message") { $0.type == "message" }.text ?? "")
                }
                #expect(texts == (1...50).map(String.init))
                // Back within the grace: nobody was told that he was gone.
                try await alice.catchUp()
                #expect(alice.events.allSatisfy { $0.type != "user_left" })
            }
        }
    }
}

import Foundation
import NIOCore
import TestSupport
import Testing

extension ClusterTests {
    /// Limits that cost whoever passes them an answer or the connection, and that operators see.
    @Suite("Limits")
    struct LimitTests {
        private func metric(_ sample: String, of gateway: GatewayProcess) async throws -> Bool {
            try await gateway.ops("/metrics").body.split(separator: "\n").contains { $0 == sample }
        }

        @Test("What is too deep is no JSON for a node")
        func depth() async throws {
            try await GatewayProcess.run(["--max-json-depth", "4"]) { gateway in
                let alice = try await Guest.connect("alice", to: gateway, in: "general")
                try await alice.send(#"{"type":"message","id":"1","room":"general","data":[[[1]]]}"#)
                try await alice.event("ack") { $0.id == "1" && $0.type == "ack" }
                try await alice.send(#"{"type":"message","id":"2","room":"general","data":[[[[1]]]]}"#)
                #expect(try await alice.event("an error") { $0.type == "error" }.code == "invalid_json")
                let posted = try await ModerationTests.ask(
                    "POST", "/rooms/general/messages?user=bob", #"{"data":[[[[1]]]]}"#, port: gateway.port)
                #expect(posted.status == 400)
                #expect(try await metric(#"roost_refused_frames_total{code="invalid_json"} 1"#, of: gateway))
                #expect(try await metric(#"roost_refused_requests_total{code="invalid_json"} 1"#, of: gateway))
                await alice.socket.cut()
            }
        }

        @Test("A message in too many frames ends the connection with 1009")
        func fragments() async throws {
            try await GatewayProcess.run(["--max-fragments", "3"]) { gateway in
                let alice = try await Guest.connect("alice", port: gateway.port)
                try await alice.socket.send(.init(firstByte: 0x01, payload: Array(#"{"type":"#.utf8)))
                for byte: UInt8 in [0x00, 0x00, 0x00] {
                    try await alice.socket.send(.init(firstByte: byte, payload: Array(" ".utf8)))
                }
                #expect(try await alice.closeCode() == 1009)
                try await eventually("it is counted") {
                    try await metric(#"roost_closed_connections_total{code="1009"} 1"#, of: gateway) ? true : nil
                }
                await alice.socket.cut()
            }
        }

        @Test("Header fields that are too long are refused with 431")
        func headers() async throws {
            try await GatewayProcess.run(["--max-header-bytes", "4096"]) { gateway in
                let short = try await HTTPProbe.get(
                    "/", port: gateway.port, headers: ["X-Filler": String(repeating: "x", count: 3000)])
                #expect(short.status == 200)
                let long = try await HTTPProbe.get(
                    "/", port: gateway.port, headers: ["X-Filler": String(repeating: "x", count: 5000)])
                #expect(long.status == 431)
            }
        }

        @Test("A user has so many sessions on all gateways together; who goes, or whose gateway dies, makes room")
        func sessions() async throws {
            try await Cluster.run(nodes: 2, arguments: ["--max-sessions-per-user", "2"]) { cluster in
                let (one, two) = (cluster.nodes[0], cluster.nodes[1])
                let first = try await Guest.connect("alice", port: one.port)
                let second = try await Guest.connect("alice", port: two.port)
                for guest in [first, second] { try await guest.event("the inbox") { $0.type == "joined" } }
                // Neither gateway has more than one.
                let third = try await Guest.connect("alice", port: one.port)
                #expect(try await third.closeCode() == 1013)
                try await eventually("it is counted") {
                    try await metric(#"roost_closed_connections_total{code="1013"} 1"#, of: one) ? true : nil
                }
                _ = try await Guest.connect("bob", port: one.port)

                await first.socket.cut()
                let fourth = try await eventually("there is room") { try await seat("alice", at: one) }
                await two.kill()
                let fifth = try await eventually("the dead make room") { try await seat("alice", at: one) }
                for guest in [fourth, fifth] { try await guest.catchUp() }
            }
        }

        /// A session that has entered its inbox; nil when it could not.
        private func seat(_ user: String, at node: GatewayProcess) async throws -> Guest? {
            guard let guest = try? await Guest.connect(user, port: node.port) else { return nil }
            return (try? await guest.event("the inbox") { $0.type == "joined" }) == nil ? nil : guest
        }

        @Test("Who repeats without end is told to wait; who does not repeat is not concerned")
        func retries() async throws {
            try await GatewayProcess.run(["--retries-per-second", "1"]) { gateway in
                let alice = try await Guest.connect("alice", to: gateway, in: "general")
                let other = try await Guest.connect("alice", to: gateway, in: "general")
                for number in 0..<40 {
                    let guest = number % 2 == 0 ? alice : other
                    try await guest.send(
                        #"{"type":"message","id":"\#(number)","room":"general","text":"x","retry":true}"#)
                    let answer = try await guest.event("an answer") { $0.id == "\(number)" && $0.type != "message" }
                    if number < 10 { #expect(answer.type == "ack") }
                    if answer.type == "error" {
                        #expect(answer.code == "rate_limited")
                        try await guest.post("x", to: "general", id: "last")
                        try await guest.event("ack") { $0.id == "last" && $0.type == "ack" }
                        break
                    }
                    #expect(number < 39, "nothing was refused")
                }
                await alice.socket.cut()
                await other.socket.cut()
            }
        }

        private static let outbox = (0..<1000).map {
            RawWebSocket.Frame.text(#"{"type":"message","id":"\#($0)","room":"general","text":"x","retry":true}"#)
        }

        @Test("An outbox that is sent again all at once is taken all at once")
        func outbox() async throws {
            try await GatewayProcess.run(["--retries-per-second", "2"]) { gateway in
                let alice = try await Guest.connect("alice", to: gateway, in: "general")
                try await alice.socket.send(Self.outbox)
                try await alice.event("the last ack") { $0.id == "999" && $0.type == "ack" }
                let types = alice.events.map(\.type)
                #expect(types.count { $0 == "ack" } == 1000)
                #expect(!types.contains("error"))
                await alice.socket.cut()
            }
        }

        @Test("Who asks for much of the past, by socket or HTTP, is told to wait; who asks for little elsewhere is not")
        func reads() async throws {
            try await GatewayProcess.run(["--reads-per-second", "100"]) { gateway in
                let alice = try await Guest.connect("alice", to: gateway, in: "general")
                let other = try await Guest.connect("alice", to: gateway, in: "general")
                func ask(_ guest: Guest, _ what: String, limit: Int) async throws -> Event {
                    let id = UUID().uuidString
                    try await guest.send(#"{"type":"\#(what)","id":"\#(id)","room":"general","limit":\#(limit)}"#)
                    return try await guest.event("an answer") { $0.id == id }
                }
                #expect(try await ask(alice, "history", limit: 990).type == "history")
                #expect(try await ask(other, "members", limit: 1000).type == "members")
                for (guest, what) in [(alice, "history"), (other, "members")] {
                    let refused = try await ask(guest, what, limit: 1)
                    #expect(refused.code == "rate_limited")
                    #expect(try #require(refused.retryAfter) > 1000)
                }
                let byHTTP = try await HTTPProbe.get("/rooms/general/messages?user=alice&limit=1", port: gateway.port)
                #expect(byHTTP.status == 429)
                #expect(byHTTP.headers["retry-after"] != nil)
                let bob = try await Guest.connect("bob", to: gateway, in: "general")
                #expect(try await ask(bob, "history", limit: 50).type == "history")
                // Nor do messages wait.
                try await alice.post("x", to: "general", id: "x")
                try await alice.event("ack") { $0.id == "x" && $0.type == "ack" }
                for guest in [alice, other, bob] { await guest.socket.cut() }
            }
        }

        @Test("Who has been the first to write to very many rooms waits before the next, and goes on in those it is in")
        func newRooms() async throws {
            try await GatewayProcess.run(["--new-rooms-per-second", "1"]) { gateway in
                let alice = try await Guest.connect("alice", to: gateway, in: "general")
                try await alice.post("x", to: "general", id: "first")
                try await alice.event("ack") { $0.id == "first" && $0.type == "ack" }
                // More than the burst: 300.
                try await alice.socket.send(
                    (0..<350).map {
                        .text(#"{"type":"message","id":"\#($0)","room":"@user-\#($0)","text":"x"}"#)
                    })
                try await alice.event("the last ack") { $0.id == "349" && $0.type == "ack" }
                #expect(!alice.events.contains { $0.type == "error" })
                try await alice.post("x", to: "@user-1000", id: "one more")
                let refused = try await alice.event("an answer") { $0.id == "one more" }
                #expect(refused.code == "rate_limited")
                #expect(try #require(refused.retryAfter) > 1000)
                let byHTTP = try await ModerationTests.ask(
                    "POST", "/rooms/another/messages?user=alice", #"{"text":"x"}"#, port: gateway.port)
                #expect(byHTTP.status == 429)
                try await alice.post("x", to: "general", id: "last")
                try await alice.event("ack") { $0.id == "last" && $0.type == "ack" }
                let bob = try await ModerationTests.ask(
                    "POST", "/rooms/another/messages?user=bob", #"{"text":"x"}"#, port: gateway.port)
                #expect(bob.status == 201)
                await alice.socket.cut()
            }
        }

        @Test("A room takes so many messages a second of all its members together")
        func roomRate() async throws {
            try await GatewayProcess.run(["--room-messages-per-second", "1"]) { gateway in
                var codes: [String?] = []
                for number in 0..<20 where codes.last != "rate_limited" {
                    let answer = try await ModerationTests.ask(
                        "POST", "/rooms/general/messages?user=user-\(number)", #"{"text":"x"}"#, port: gateway.port)
                    codes.append(answer.body.contains("rate_limited") ? "rate_limited" : nil)
                }
                #expect(codes.last == "rate_limited")
                let elsewhere = try await ModerationTests.ask(
                    "POST", "/rooms/other/messages?user=alice", #"{"text":"x"}"#, port: gateway.port)
                #expect(elsewhere.status == 201)
            }
        }
    }
}

import ChatGateway
import Foundation
import NIOCore
import TestSupport
import Testing

extension ClusterTests {
    /// On three gateways of one Redis: what a moderator does on one holds on all when the answer comes.
    @Suite("Moderation")
    struct ModerationTests {
        private static let arguments = ["--auth-secret", IdentityTests.secret, "--auth-leeway", "0"]

        /// A request of an administrator, or of an operator when the port is that for operations.
        static func ask(
            _ method: String, _ path: String, _ body: String = "", port: Int, token: String? = nil
        ) async throws -> HTTPAnswer {
            let authorization = token.map { "Authorization: Bearer \($0)\r\n" } ?? ""
            return try await HTTPProbe.send(
                "\(method) \(path) HTTP/1.1\r\nHost: 127.0.0.1:\(port)\r\nConnection: close\r\n\(authorization)"
                    + "Content-Length: \(body.utf8.count)\r\n\r\n\(body)", port: port)
        }

        private static func status(port: Int, token: String) async throws -> Int {
            do {
                let socket = try await RawWebSocket.open(port: port, query: "token=\(token)")
                await socket.cut()
                return 101
            } catch let refusal as RefusedHandshake {
                return refusal.answer?.status ?? 0
            }
        }

        @Test("All sessions of a user end, on all gateways, and are counted exactly, also while a gateway is dead")
        func endSessions() async throws {
            try await Cluster.run(arguments: Self.arguments) { cluster in
                let token = try await IdentityTests.token("alice")
                var alices: [Guest] = []
                for node in cluster.nodes + [cluster.nodes[0]] {
                    alices.append(try await Guest.connect("alice", port: node.port, query: "&token=\(token)"))
                }
                let bob = try await Guest.connect(
                    "bob", port: cluster.nodes[1].port, query: "&token=\(try await IdentityTests.token("bob"))")
                let admin = try await IdentityTests.token("root") { $0.isAdmin = true }
                let path = "/users/alice/sessions"
                let denied = try await Self.ask("DELETE", path, port: cluster.nodes[2].port, token: token)
                #expect(denied.status == 403)
                let ended = try await Self.ask("DELETE", path, port: cluster.nodes[2].port, token: admin)
                #expect(ended.body == #"{"closed":4}"#)
                for alice in alices {
                    #expect(try await alice.closeCode() == 1008)
                    await alice.socket.cut()
                }
                // Nothing keeps the user from coming back.
                let back = try await Guest.connect("alice", port: cluster.nodes[0].port, query: "&token=\(token)")
                await cluster.nodes[2].kill()
                let again = try await Self.ask("DELETE", path, port: cluster.nodes[1].opsPort)
                #expect(again.body == #"{"closed":1}"#)
                #expect(try await back.closeCode() == 1008)
                try await bob.catchUp()
                await back.socket.cut()
                await bob.socket.cut()
            }
        }

        @Test("A revoked token ends its sessions, and lets nobody in, also on a gateway that starts later")
        func revokedToken() async throws {
            try await Cluster.run(nodes: 2, arguments: Self.arguments) { cluster in
                let lost = try await IdentityTests.token("alice") { $0.id = "lost" }
                let kept = try await IdentityTests.token("alice") { $0.id = "kept" }
                let thief = try await Guest.connect("alice", port: cluster.nodes[0].port, query: "&token=\(lost)")
                let alice = try await Guest.connect("alice", port: cluster.nodes[0].port, query: "&token=\(kept)")
                let answer = try await Self.ask(
                    "POST", "/tokens/revocations", #"{"jti":"lost"}"#, port: cluster.nodes[1].opsPort)
                #expect(answer.body == #"{"closed":1}"#)
                #expect(try await thief.closeCode() == 1008)
                try await alice.send(#"{"type":"auth","id":"1","token":"\#(lost)"}"#)
                #expect(try await alice.event("an error") { $0.id == "1" }.code == "unauthorized")
                let late = try await GatewayProcess.start(
                    node: "late", redis: cluster.redis.url, arguments: Self.arguments, folder: cluster.folder)
                try await late.ready()
                for node in cluster.nodes + [late] {
                    #expect(try await Self.status(port: node.port, token: lost) == 401)
                    let page = try await HTTPProbe.get(
                        "/rooms/general/messages", port: node.port, headers: ["Authorization": "Bearer \(lost)"])
                    #expect(page.status == 401)
                    #expect(try await Self.status(port: node.port, token: kept) == 101)
                }
                await late.kill()
                await thief.socket.cut()
                await alice.socket.cut()
            }
        }

        @Test("All tokens of a user from before a time are revoked, and one that was issued later is good")
        func revokedTokens() async throws {
            try await Cluster.run(nodes: 2, arguments: Self.arguments) { cluster in
                let now = UInt64(Date().timeIntervalSince1970)
                let old = try await IdentityTests.token("alice") { $0.issuedAt = now - 100 }
                let new = try await IdentityTests.token("alice") { $0.issuedAt = now - 50 }
                let alice = try await Guest.connect("alice", port: cluster.nodes[0].port, query: "&token=\(old)")
                let body = #"{"user":"alice","issued_before":\#(now - 60)}"#
                let port = cluster.nodes[1].opsPort
                #expect(try await Self.ask("POST", "/tokens/revocations", body, port: port).body == #"{"closed":1}"#)
                #expect(try await alice.closeCode() == 1008)
                for node in cluster.nodes {
                    #expect(try await Self.status(port: node.port, token: old) == 401)
                    #expect(try await Self.status(port: node.port, token: new) == 101)
                }
                await alice.socket.cut()
            }
        }

        @Test("A banned user is closed everywhere and kept out until the ban is lifted")
        func bannedUser() async throws {
            try await Cluster.run(nodes: 2) { cluster in
                let alice = try await Guest.connect("alice", port: cluster.nodes[0].port)
                let port = cluster.nodes[1].opsPort
                let ban = try await Self.ask("PUT", "/users/alice/ban", #"{"seconds":600,"reason":"spam"}"#, port: port)
                #expect(ban.body == #"{"closed":1}"#)
                #expect(try await alice.closeCode() == 1008)
                for node in cluster.nodes {
                    let answer = try await HTTPProbe.get("/rooms/general/messages?user=alice", port: node.port)
                    #expect(answer.status == 403)
                    #expect(answer.body == #"{"error":"forbidden","message":"this user is banned: spam"}"#)
                }
                let told = try await Self.ask("GET", "/users/alice/ban", port: cluster.nodes[0].opsPort)
                #expect(told.body.hasPrefix(#"{"seconds":59"#) && told.body.hasSuffix(#","reason":"spam"}"#))
                #expect(try await Self.ask("DELETE", "/users/alice/ban", port: port).status == 200)
                let back = try await Guest.connect("alice", port: cluster.nodes[0].port)
                #expect(try await Self.ask("GET", "/users/alice/ban", port: port).status == 404)
                await back.socket.cut()
                await alice.socket.cut()
            }
        }

        @Test("A gateway that was cut off from Redis does as ordered when it is back")
        func cutOff() async throws {
            try await Cluster.run(nodes: 1, arguments: Self.arguments) { cluster in
                let redis = try await FaultProxy.start(before: cluster.redis.port)
                let far = try await GatewayProcess.start(
                    node: "far", redis: redis.url, arguments: Self.arguments,
                    folder: cluster.folder)
                try await far.ready()
                let token = try await IdentityTests.token("alice") { $0.id = "lost" }
                let alice = try await Guest.connect("alice", port: far.port, query: "&token=\(token)")
                redis.change { $0.refuses = true }
                redis.reset()
                _ = try await Self.ask(
                    "POST", "/tokens/revocations", #"{"jti":"lost"}"#, port: cluster.nodes[0].opsPort)
                redis.clear()
                #expect(try await alice.closeCode() == 1008)
                await far.kill()
                try await redis.stop()
                await alice.socket.cut()
            }
        }

        @Test("Who is kicked leaves the room on all gateways, and may come back")
        func kick() async throws {
            try await Cluster.run(nodes: 2) { cluster in
                let bob = try await Guest.connect("bob", to: cluster.nodes[1], in: "general")
                var alices: [Guest] = []
                for node in cluster.nodes { alices.append(try await Guest.connect("alice", to: node, in: "general")) }
                let answer = try await Self.ask(
                    "DELETE", "/rooms/general/members/alice", #"{"reason":"spam"}"#, port: cluster.nodes[1].opsPort)
                #expect(answer.body == #"{"closed":2}"#)
                for alice in alices {
                    let told = try await alice.event("to be removed") { $0.type == "error" }
                    #expect(told.code == "forbidden" && told.room == "general")
                    try await alice.event("left") { $0.type == "left" && $0.room == "general" }
                    try await alice.post("still here?", to: "general", id: "1")
                    #expect(try await alice.event("an error") { $0.id == "1" }.code == "not_joined")
                }
                try await bob.event("alice went") { $0.type == "user_left" && $0.user == "alice" }
                try await alices[0].join("general")
                for guest in alices + [bob] { await guest.socket.cut() }
            }
        }

        @Test("Who is banned from a room leaves it, and can neither join, read nor post there on any gateway")
        func roomBan() async throws {
            try await Cluster.run(nodes: 2) { cluster in
                let alice = try await Guest.connect("alice", to: cluster.nodes[0], in: "general")
                let port = cluster.nodes[1].opsPort
                let ban = "/rooms/general/bans/alice"
                let answer = try await Self.ask("PUT", ban, #"{"seconds":600,"reason":"spam"}"#, port: port)
                #expect(answer.body == #"{"closed":1}"#)
                try await alice.event("to be removed") { $0.type == "error" && $0.room == "general" }
                for (json, id) in [
                    (#"{"type":"join","id":"1","room":"general"}"#, "1"),
                    (#"{"type":"history","id":"2","room":"general"}"#, "2"),
                    (#"{"type":"members","id":"3","room":"general"}"#, "3"),
                ] {
                    try await alice.send(json)
                    #expect(try await alice.event("an error") { $0.id == id }.code == "forbidden", "\(json)")
                }
                for node in cluster.nodes {
                    for (method, path) in [
                        ("GET", "messages"), ("GET", "events"), ("GET", "members"), ("POST", "messages"),
                    ] {
                        let answer = try await Self.ask(
                            method, "/rooms/general/\(path)?user=alice", #"{"text":"x"}"#, port: node.port)
                        #expect(answer.status == 403, "\(method) \(path): \(answer.body)")
                    }
                }
                try await alice.join("other")
                let bans = try await Self.ask("GET", "/rooms/general/bans", port: port)
                #expect(bans.body.hasPrefix(#"{"alice":{"seconds":59"#))
                #expect(try await Self.ask("DELETE", ban, port: port).status == 200)
                try await alice.join("general")
                await alice.socket.cut()
            }
        }

        @Test("Who is muted can read, but not post, type or signal, by socket and by HTTP")
        func mute() async throws {
            try await Cluster.run(nodes: 2) { cluster in
                let alice = try await Guest.connect("alice", to: cluster.nodes[0], in: "general")
                let bob = try await Guest.connect("bob", to: cluster.nodes[1], in: "general")
                let port = cluster.nodes[1].opsPort
                let path = "/rooms/general/mutes/alice"
                #expect(try await Self.ask("PUT", path, #"{"seconds":600}"#, port: port).status == 200)
                try await alice.post("hello", to: "general", id: "1")
                #expect(try await alice.event("an error") { $0.id == "1" }.code == "forbidden")
                try await alice.send(#"{"type":"typing","room":"general"}"#)
                #expect(try await alice.event("an error") { $0.type == "error" }.code == "forbidden")
                let posted = try await Self.ask(
                    "POST", "/rooms/general/messages?user=alice", #"{"text":"x"}"#, port: cluster.nodes[1].port)
                #expect(posted.status == 403)
                try await bob.post("hello", to: "general", id: "2")
                try await alice.event("bob's message") { $0.type == "message" && $0.user == "bob" }
                #expect(try await Self.ask("DELETE", path, port: port).status == 200)
                try await alice.post("hello", to: "general", id: "3")
                try await alice.event("ack") { $0.id == "3" && $0.type == "ack" }
                for guest in [alice, bob] { await guest.socket.cut() }
            }
        }

        @Test("Slow mode, a limit of members and one of messages hold across gateways")
        func settings() async throws {
            try await Cluster.run(nodes: 2) { cluster in
                let port = cluster.nodes[0].opsPort
                let path = "/rooms/general/settings"
                let set = try await Self.ask("PUT", path, #"{"slow_mode":3600,"member_limit":2}"#, port: port)
                #expect(set.body == #"{"slow_mode":3600,"member_limit":2,"messages_per_second":0}"#)
                let alice = try await Guest.connect("alice", to: cluster.nodes[0], in: "general")
                let again = try await Guest.connect("alice", to: cluster.nodes[1], in: "general")
                let bob = try await Guest.connect("bob", to: cluster.nodes[1], in: "general")
                let carol = try await Guest.connect("carol", port: cluster.nodes[0].port)
                try await carol.send(#"{"type":"join","id":"1","room":"general"}"#)
                #expect(try await carol.event("an error") { $0.id == "1" }.code == "room_full")
                try await alice.post("one", to: "general", id: "1")
                try await alice.event("ack") { $0.id == "1" && $0.type == "ack" }
                try await again.post("two", to: "general", id: "2")
                let refused = try await again.event("an error") { $0.id == "2" }
                #expect(refused.code == "rate_limited")
                let posted = try await Self.ask(
                    "POST", "/rooms/general/messages?user=alice", #"{"text":"x"}"#, port: cluster.nodes[1].port)
                #expect(posted.status == 429 && posted.headers["retry-after"] != nil)
                try await bob.close()
                try await eventually("bob's place is free") {
                    try await carol.send(#"{"type":"join","id":"2","room":"general"}"#)
                    return try await carol.event("an answer") { $0.id == "2" }.type == "joined" ? true : nil
                }
                #expect(try await Self.ask("GET", path, port: cluster.nodes[1].opsPort).body == set.body)
                for guest in [alice, again, bob, carol] { await guest.socket.cut() }
            }
        }

        @Test("The places of a gateway that was killed are given back")
        func placesOfTheDead() async throws {
            try await Cluster.run(nodes: 2) { cluster in
                let port = cluster.nodes[0].opsPort
                _ = try await Self.ask("PUT", "/rooms/general/settings", #"{"member_limit":1}"#, port: port)
                let alice = try await Guest.connect("alice", to: cluster.nodes[1], in: "general")
                let bob = try await Guest.connect("bob", port: cluster.nodes[0].port)
                try await bob.send(#"{"type":"join","id":"1","room":"general"}"#)
                #expect(try await bob.event("an error") { $0.id == "1" }.code == "room_full")
                await cluster.nodes[1].kill()
                try await eventually("the place is free") {
                    try await bob.send(#"{"type":"join","id":"2","room":"general"}"#)
                    return try await bob.event("an answer") { $0.id == "2" }.type == "joined" ? true : nil
                }
                for guest in [alice, bob] { await guest.socket.cut() }
            }
        }

        @Test("An administrator moderates by socket; nobody else does")
        func bySocket() async throws {
            try await Cluster.run(nodes: 2, arguments: Self.arguments) { cluster in
                let token = try await IdentityTests.token("root") { $0.isAdmin = true }
                let root = try await Guest.connect("root", port: cluster.nodes[0].port, query: "&token=\(token)")
                let alice = try await Guest.connect(
                    "alice", port: cluster.nodes[1].port, query: "&token=\(try await IdentityTests.token("alice"))")
                try await alice.join("general")
                let kick = #"{"type":"moderate","id":"1","action":"kick","room":"general","user":"alice"}"#
                try await alice.send(kick)
                #expect(try await alice.event("an error") { $0.id == "1" }.code == "forbidden")
                try await root.send(kick)
                #expect(try await root.event("moderated") { $0.id == "1" }.type == "moderated")
                try await alice.event("to be removed") { $0.type == "error" && $0.room == "general" && $0.id == nil }
                try await root.send(#"{"type":"moderate","id":"2","action":"ban","user":"alice","seconds":60}"#)
                #expect(try await root.event("moderated") { $0.id == "2" }.type == "moderated")
                #expect(try await alice.closeCode() == 1008)
                try await root.send(#"{"type":"moderate","id":"3","action":"dance"}"#)
                #expect(try await root.event("an error") { $0.id == "3" }.code == "invalid_message")
                for guest in [root, alice] { await guest.socket.cut() }
            }
        }

        @Test("Who moderates has to say what, and how")
        func wrongRequests() async throws {
            try await Cluster.run(nodes: 1) { cluster in
                let port = cluster.nodes[0].opsPort
                for (method, path, body, status, code) in [
                    ("PUT", "/users/alice/ban", "[]", 400, "invalid_json"),
                    ("PUT", "/users/alice/ban", #"{"seconds":0}"#, 400, "invalid_message"),
                    ("PUT", "/users/alice/ban", #"{"reason":""}"#, 400, "invalid_message"),
                    ("PUT", "/users/a%20b/ban", "", 400, "invalid_user"),
                    ("POST", "/users/alice/ban", "", 405, "method_not_allowed"),
                    ("POST", "/tokens/revocations", "", 400, "invalid_json"),
                    ("POST", "/tokens/revocations", "{}", 400, "invalid_message"),
                    ("POST", "/tokens/revocations", #"{"jti":"x","user":"alice"}"#, 400, "invalid_message"),
                    ("DELETE", "/users/%7balice%7d/sessions", "", 400, "invalid_user"),
                    ("PUT", "/rooms/@alice/bans/bob", "", 400, "invalid_room"),
                    ("PUT", "/rooms/general/settings", "{}", 400, "invalid_message"),
                    ("PUT", "/rooms/general/settings", #"{"slow_mode":-1}"#, 400, "invalid_message"),
                    ("PUT", "/rooms/general/mutes/alice", #"{"seconds":315360001}"#, 400, "invalid_message"),
                    ("DELETE", "/rooms/general/settings", "", 405, "method_not_allowed"),
                ] {
                    let answer = try await Self.ask(method, path, body, port: port)
                    #expect(answer.status == status, "\(method) \(path) \(body): \(answer.body)")
                    #expect(answer.body.contains("\"error\":\"\(code)\""), "\(method) \(path) \(body): \(answer.body)")
                }
                // Without authentication there is nothing of it on the public port.
                let answer = try await Self.ask("DELETE", "/users/alice/sessions", port: cluster.nodes[0].port)
                #expect(answer.status == 404)
            }
        }
    }
}

import ChatGateway
import Foundation
import NIOCore
import TestSupport
import Testing

extension ClusterTests {
    /// Who is let in, by what, and how many.
    @Suite("Admission")
    struct AdmissionTests {
        private static func handshake(
            _ target: String = "/ws", _ fields: [String: String] = [:], at gateway: GatewayProcess
        ) async throws -> HTTPAnswer {
            let all = [
                "Host": "127.0.0.1:\(gateway.port)", "Upgrade": "websocket", "Connection": "Upgrade",
                "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
            ].merging(fields) { $1 }
            return try await HTTPProbe.send(
                "GET \(target) HTTP/1.1\r\n" + all.map { "\($0): \($1)\r\n" }.joined() + "\r\n", port: gateway.port)
        }

        private static func isCounted(_ sample: String, at gateway: GatewayProcess) async throws {
            let page = try await gateway.ops("/metrics").body
            #expect(page.split(separator: "\n").contains { $0 == sample }, "\(sample)")
        }

        @Test("Where others can reach it a gateway lets nobody in unasked, unless told to, and says so loudly")
        func open() async throws {
            let folder = try ScratchFolder("open")
            defer { folder.remove() }
            // Of a network that there is not, so that nobody is in fact served.
            let arguments = ["serve", "--listen", "192.0.2.1:8080", "--ops-listen", "127.0.0.1:0"]
            let careful = try GatewayProcess.command(arguments, folder: folder.url)
            #expect(await careful.end() == .exited(64))
            #expect(careful.output.contains("insecure-no-auth"))
            let careless = try GatewayProcess.command(arguments + ["--insecure-no-auth"], folder: folder.url)
            #expect(await careless.end() == .exited(1))
            #expect(careless.output.contains("NO AUTHENTICATION"))
        }

        /// Key pairs as their owners make them.
        private static let pairs = [
            ["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"],
            ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"],
            ["-algorithm", "ED25519"],
        ]

        @Test(
            "Who has the private half of a key signs tokens; a gateway with the public half takes them",
            arguments: pairs)
        func keyPairs(pair: [String]) async throws {
            let folder = try ScratchFolder("pair")
            defer { folder.remove() }
            let (secret, open) = (folder.url.appending(path: "secret.pem"), folder.url.appending(path: "open.pem"))
            for arguments in [
                ["genpkey"] + pair + ["-out", secret.path()],
                ["pkey", "-in", secret.path(), "-pubout", "-out", open.path()],
            ] {
                let command = try ChildProcess(
                    "openssl", executable: "openssl", arguments: arguments, folder: folder.url)
                #expect(await command.end() == .exited(0), "\(command.output)")
            }
            let key = try await TokenKey.pem(try String(contentsOf: secret, encoding: .utf8))
            let now = UInt64(Date().timeIntervalSince1970)
            let token = try TokenSigner(key: key).sign(.init(user: "alice", issuedAt: now, expires: now + 600))
            try await GatewayProcess.run(["--auth-keys-file", open.path()]) { gateway in
                let alice = try await Guest.connect("alice", port: gateway.port, query: "&token=\(token)")
                try await alice.catchUp()
                await alice.socket.cut()
                let parts = token.split(separator: ".")
                let forged = "\(parts[0]).\(parts[1]).\(parts[2].first == "A" ? "B" : "A")\(parts[2].dropFirst())"
                #expect(try await Self.handshake("/ws?token=\(forged)", at: gateway).status == 401)
                try await Self.isCounted(#"roost_refused_tokens_total{reason="signature"} 1"#, at: gateway)
                // The gateway's own key, taken for a secret.
                let confused = try await TokenKey.secret(
                    Array(try Data(contentsOf: open)) + Array(repeating: 0, count: 32), algorithm: .hs256)
                let other = try TokenSigner(key: confused).sign(.init(user: "alice", issuedAt: now, expires: now + 600))
                #expect(try await Self.handshake("/ws?token=\(other)", at: gateway).status == 401)
                try await Self.isCounted(#"roost_refused_tokens_total{reason="unknown_key"} 1"#, at: gateway)
            }
        }

        @Test("A token may stand in each of its places, the first one decides, and none is sent back")
        func places() async throws {
            try await GatewayProcess.run(["--auth-secret", IdentityTests.secret]) { gateway in
                let token = try await IdentityTests.token("alice")
                for (target, fields, status) in [
                    ("/ws", ["Authorization": "Bearer \(token)"], 101),
                    ("/ws?token=\(token)", [:], 101),
                    ("/ws", ["Sec-WebSocket-Protocol": "roost.v1, bearer.\(token)"], 101),
                    ("/ws?token=\(token)", ["Authorization": "Bearer wrong"], 401),
                    ("/ws?token=wrong", ["Sec-WebSocket-Protocol": "roost.v1, bearer.\(token)"], 401),
                    ("/ws?user=alice", [:], 401),
                ] {
                    let answer = try await Self.handshake(target, fields, at: gateway)
                    #expect(answer.status == status, "\(target) \(fields.keys)")
                    let isOffered = fields["Sec-WebSocket-Protocol"] != nil
                    #expect(answer.headers["sec-websocket-protocol"] == (isOffered && status == 101 ? "roost.v1" : nil))
                    #expect(!answer.headers.values.contains { $0.contains(token) } && !answer.body.contains(token))
                }
            }
        }

        @Test("Who guesses tokens is told to wait, by socket and by HTTP, and nobody at another address is")
        func guessing() async throws {
            try await GatewayProcess.run(["--auth-secret", IdentityTests.secret, "--trusted-proxies", "127.0.0.1"]) {
                gateway in
                func knock(_ token: String, from address: String) async throws -> HTTPAnswer {
                    try await Self.handshake("/ws?token=\(token)", ["X-Forwarded-For": address], at: gateway)
                }
                let token = try await IdentityTests.token("alice")
                var answers: [HTTPAnswer] = []
                for number in 0..<40 where answers.last?.status != 429 {
                    answers.append(try await knock("\(token)\(number)", from: "192.0.2.1"))
                }
                #expect(answers.first?.status == 401)
                #expect(answers.last?.status == 429)
                #expect(answers.last?.headers["retry-after"] == "1")
                #expect(answers.last?.headers["connection"] == "close")
                let asked = try await HTTPProbe.get(
                    "/rooms/general/messages", port: gateway.port,
                    headers: ["Authorization": "Bearer wrong", "X-Forwarded-For": "192.0.2.1"])
                #expect(asked.status == 429)
                #expect(try await knock(token, from: "192.0.2.2").status == 101)
                let page = try await gateway.ops("/metrics").body
                #expect(page.contains(#"roost_refused_handshakes_total{code="rate_limited"}"#))
            }
        }

        @Test("A node, and an address, has so many connections")
        func connections() async throws {
            try await GatewayProcess.run([
                "--max-connections", "3", "--max-connections-per-address", "2", "--trusted-proxies", "127.0.0.1",
            ]) { gateway in
                func enter(from address: String) async throws -> RawWebSocket {
                    try await RawWebSocket.open(
                        port: gateway.port, query: "user=alice", headers: ["X-Forwarded-For": address])
                }
                func refusal(from address: String) async throws -> HTTPAnswer? {
                    do {
                        await (try await enter(from: address)).cut()
                        return nil
                    } catch let refused as RefusedHandshake {
                        return refused.answer
                    }
                }
                let first = try await enter(from: "192.0.2.1")
                let second = try await enter(from: "192.0.2.1")
                let third = try await refusal(from: "192.0.2.1")
                #expect(third?.status == 429 && third?.headers["retry-after"] != nil)
                #expect(third?.body.contains("too_many_connections") == true)
                let other = try await enter(from: "192.0.2.2")
                let fourth = try await refusal(from: "192.0.2.3")
                #expect(fourth?.status == 503 && fourth?.headers["retry-after"] != nil)
                #expect(fourth?.body.contains(#""error":"full""#) == true)
                try await Self.isCounted(
                    #"roost_refused_handshakes_total{code="too_many_connections"} 1"#, at: gateway)
                try await Self.isCounted(#"roost_refused_handshakes_total{code="full"} 1"#, at: gateway)
                await first.cut()
                try await eventually("who went makes room") {
                    try await refusal(from: "192.0.2.1") == nil ? true : nil
                }
                for socket in [second, other] { await socket.cut() }
            }
        }

        @Test("Behind the balancer it is the balancer that says where a client is, whatever the client says")
        func balancer() async throws {
            try await Cluster.run(
                nodes: 1, arguments: ["--max-connections-per-address", "1", "--trusted-proxies", "127.0.0.1"]
            ) { cluster in
                let port = cluster.balancer.port
                let first = try await RawWebSocket.open(
                    port: port, query: "user=mallory", headers: ["X-Forwarded-For": "192.0.2.1"])
                let refused = await #expect(throws: RefusedHandshake.self) {
                    _ = try await RawWebSocket.open(
                        port: port, query: "user=mallory", headers: ["X-Forwarded-For": "192.0.2.2"])
                }
                #expect(refused?.answer?.status == 429)
                await first.cut()
            }
        }

        @Test("A session is in so many rooms, joins so many a second, and says so much; each refusal is counted")
        func sessionLimits() async throws {
            try await GatewayProcess.run([
                "--max-rooms-per-session", "2", "--joins-per-second", "1", "--messages-per-second", "1",
                "--max-message-bytes", "256",
            ]) { gateway in
                let alice = try await Guest.connect("alice", port: gateway.port)
                for room in ["a", "b"] { try await alice.join(room) }
                func codes(_ what: String, _ frame: (String) -> String) async throws -> [String] {
                    var codes: [String] = []
                    for number in 0..<20 where codes.last != "rate_limited" {
                        let id = "\(what) \(number)"
                        try await alice.send(frame(id))
                        let answer = try await alice.event("an answer") { $0.id == id && $0.type != "message" }
                        codes.append(answer.code ?? answer.type)
                    }
                    return codes
                }
                let joins = try await codes("join") { #"{"type":"join","id":"\#($0)","room":"c"}"# }
                #expect(joins.first == "too_many_rooms" && joins.last == "rate_limited")
                let posts = try await codes("post") { #"{"type":"message","id":"\#($0)","room":"a","text":"x"}"# }
                #expect(posts.first == "ack" && posts.last == "rate_limited")
                try await alice.post(String(repeating: "x", count: 256), to: "a", id: "long")
                #expect(
                    try await alice.event("an answer") { $0.id == "long" }.code == "message_too_large")
                let tooMany = joins.count { $0 == "too_many_rooms" }
                try await Self.isCounted(#"roost_refused_frames_total{code="too_many_rooms"} \#(tooMany)"#, at: gateway)
                try await Self.isCounted(#"roost_refused_frames_total{code="rate_limited"} 2"#, at: gateway)
                try await Self.isCounted(#"roost_refused_frames_total{code="message_too_large"} 1"#, at: gateway)
                await alice.socket.cut()
            }
        }

        @Test("What strangers make a gateway write to Redis does not stay for ever")
        func nothingStays() async throws {
            try await Cluster.run(nodes: 1, arguments: ["--history-age", "60"]) { cluster in
                let alice = try await Guest.connect("alice", port: cluster.nodes[0].port)
                for room in ["a", "b"] { try await alice.join(room) }
                try await alice.send(#"{"type":"message","id":"1","room":"a","text":"x","retry":true}"#)
                try await alice.event("ack") { $0.id == "1" && $0.type == "ack" }
                try await alice.post("x", to: "@bob", id: "2")
                try await alice.event("ack") { $0.id == "2" && $0.type == "ack" }
                try await alice.close()
                func redis(_ command: String...) async throws -> [String] {
                    try await RedisCLI.run(["-p", "\(cluster.redis.port)"] + command, folder: cluster.folder)
                        .split(separator: "\n").map(String.init)
                }
                // Of who was there nothing is left; what was said has an end.
                try await eventually("she has left everywhere") {
                    try await redis("KEYS", "roost:{*:sessions").isEmpty ? true : nil
                }
                let keys = try await redis("KEYS", "*")
                for room in ["a", "@alice", "@bob"] { #expect(keys.contains("roost:{\(room)}:log"), "\(keys)") }
                // But for the names of the gateways.
                for key in keys where key != "roost:nodes" {
                    let left = try await redis("PTTL", key)
                    #expect(left.first.flatMap { Int($0) } ?? 0 > 0, "\(key): \(left)")
                }
            }
        }
    }
}

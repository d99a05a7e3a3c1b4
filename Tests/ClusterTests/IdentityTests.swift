import ChatClient
import ChatGateway
import Foundation
import NIOCore
import TestSupport
import Testing

extension ClusterTests {
    @Suite("Identity")
    struct IdentityTests {
        static let secret = "a secret of more than thirty-two bytes"

        static func token(
            _ user: String, lasting seconds: UInt64 = 600, _ change: (inout TokenSigner.Request) -> Void = { _ in }
        ) async throws -> String {
            let signer = TokenSigner(key: try await .secret(Array(secret.utf8), algorithm: .hs256))
            let now = UInt64(Date().timeIntervalSince1970)
            var request = TokenSigner.Request(user: user, issuedAt: now, expires: now + seconds)
            change(&request)
            return try signer.sign(request)
        }

        private func withGateway(
            _ arguments: String..., work: (GatewayProcess) async throws -> Void
        ) async throws {
            try await GatewayProcess.run(["--auth-secret", Self.secret] + arguments, work: work)
        }

        @Test("Nobody comes in without a token, and nobody learns why a token is wrong")
        func refusals() async throws {
            try await withGateway { gateway in
                let old = try await Self.token("alice") { $0.expires = $0.issuedAt - 60 }
                let good = try await Self.token("alice")
                let unsigned =
                    "eyJhbGciOiJub25lIn0." + good.split(separator: ".")[1] + "." + good.split(separator: ".")[2]
                var answers: Set<String> = []
                for token in [old, good + "x", unsigned, "x", ""] {
                    await #expect {
                        _ = try await RawWebSocket.open(
                            port: gateway.port, query: "user=alice", headers: ["Authorization": "Bearer \(token)"])
                    } throws: { error in
                        guard let answer = (error as? RefusedHandshake)?.answer else { return false }
                        answers.insert(answer.body)
                        return answer.status == 401 && answer.headers["www-authenticate"] == "Bearer"
                    }
                }
                #expect(answers == [#"{"error":"unauthorized","message":"this token is not valid"}"#])
            }
        }

        @Test("The user is who the token says, the rooms are those that it allows")
        func rights() async throws {
            try await withGateway { gateway in
                let token = try await Self.token("alice") {
                    $0.rooms = ["open-*"]
                    $0.post = ["open-talk"]
                }
                let socket = try await RawWebSocket.open(port: gateway.port, query: "user=admin&token=\(token)")
                guard case .text(let welcome) = try await socket.next() else {
                    throw Impatience(description: "no welcome")
                }
                #expect(welcome.contains(#""user":"alice""#))
                await socket.cut()

                let alice = try await Guest.connect("alice", port: gateway.port, query: "&token=\(token)")
                for (json, code) in [
                    (#"{"type":"join","id":"1","room":"closed"}"#, "forbidden"),
                    (#"{"type":"history","id":"2","room":"closed"}"#, "forbidden"),
                    (#"{"type":"members","id":"3","room":"closed"}"#, "forbidden"),
                    (#"{"type":"resume","id":"4","rooms":{"closed":"0-0"}}"#, "forbidden"),
                    (#"{"type":"message","id":"5","room":"@bob","text":"x"}"#, "forbidden"),
                ] {
                    try await alice.send(json)
                    #expect(try await alice.event("an error") { $0.type == "error" }.code == code, "\(json)")
                }
                try await alice.join("open-talk")
                try await alice.join("open-news")
                try await alice.post("hello", to: "open-talk", id: "6")
                try await alice.event("ack") { $0.type == "ack" && $0.id == "6" }
                try await alice.post("hello", to: "open-news", id: "7")
                #expect(try await alice.event("an error") { $0.id == "7" }.code == "forbidden")
                await alice.socket.cut()
            }
        }

        @Test("By HTTP a token allows the same rooms as by socket")
        func rightsByHTTP() async throws {
            try await withGateway { gateway in
                let token = try await Self.token("alice") {
                    $0.rooms = ["open-*"]
                    $0.post = ["open-talk"]
                }
                for (method, path, status) in [
                    ("GET", "/rooms/closed/messages", 403), ("GET", "/rooms/closed/messages?wait=1", 403),
                    ("GET", "/rooms/closed/messages?after=0-0", 403), ("GET", "/rooms/closed/events", 403),
                    ("GET", "/rooms/closed/events?since=0-0", 403), ("GET", "/rooms/closed/members", 403),
                    ("POST", "/rooms/closed/messages", 403), ("POST", "/rooms/open-news/messages", 403),
                    ("POST", "/rooms/@bob/messages", 403), ("GET", "/rooms/@bob/messages", 403),
                    ("PUT", "/rooms/open-talk/bans/bob", 403), ("DELETE", "/users/bob/sessions", 403),
                    ("POST", "/rooms/open-talk/messages", 201), ("GET", "/rooms/open-news/messages", 200),
                ] {
                    let body = method == "GET" ? "" : #"{"text":"x"}"#
                    let answer = try await ModerationTests.ask(method, path, body, port: gateway.port, token: token)
                    #expect(answer.status == status, "\(method) \(path): \(answer.body)")
                    #expect(status != 403 || answer.body.hasPrefix(#"{"error":"forbidden""#), "\(answer.body)")
                }
            }
        }

        /// Types of frames that ask about a room, with a field that they need.
        private static let questions = [
            "join": "", "history": "", "members": "", "message": #","text":"x""#,
            "moderate": #","action":"kick","user":"bob""#,
        ]

        @Test("Whether a forbidden room or a user is there no answer tells: nothing is looked up for it")
        func enumeration() async throws {
            try await Cluster.run(nodes: 1, arguments: ["--auth-secret", Self.secret]) { cluster in
                let port = cluster.nodes[0].port
                let bob = try await Guest.connect("bob", port: port, query: "&token=\(try await Self.token("bob"))")
                try await bob.join("there")
                try await bob.post("a secret", to: "there", id: "1")
                try await bob.event("ack") { $0.type == "ack" }
                let token = try await Self.token("alice") { $0.rooms = ["open"] }
                let alice = try await Guest.connect("alice", port: port, query: "&token=\(token)")
                try await alice.join("open")

                // To write to somebody who never was here is answered like to write to somebody who is.
                var acks: [Event] = []
                for user in ["bob", "nobody"] {
                    try await alice.post("hello", to: "@\(user)", id: user)
                    var ack = try await alice.event("ack") { $0.id == user && $0.type != "message" }
                    (ack.id, ack.room, ack.position, ack.time) = (nil, nil, nil, nil)
                    acks.append(ack)
                }
                #expect(acks[0].type == "ack" && acks[0] == acks[1])

                // What has to be looked up is not answered any more.
                cluster.redis.suspend()
                defer { cluster.redis.resume() }
                for room in ["there", "nowhere"] {
                    for (type, fields) in Self.questions {
                        let id = "\(type) \(room)"
                        try await alice.send(#"{"type":"\#(type)","id":"\#(id)","room":"\#(room)"\#(fields)}"#)
                        let answer = try await alice.event(id) { $0.id == id }
                        let expected = type == "message" ? "not_joined" : "forbidden"
                        #expect(answer.code == expected, "\(id): \(answer)")
                    }
                }
            }
        }

        @Test("A session hears that its token expires, and ends with 1008 when no other comes")
        func expiry() async throws {
            try await withGateway("--auth-leeway", "0") { gateway in
                let alice = try await Guest.connect(
                    "alice", port: gateway.port, query: "&token=\(try await Self.token("alice", lasting: 3))")
                try await alice.event("expiring") { $0.type == "expiring" }
                #expect(try await alice.closeCode() == 1008)
                await alice.socket.cut()
            }
        }

        @Test("A fresh token of the same user keeps the session; any other does not")
        func renewal() async throws {
            try await withGateway("--auth-leeway", "0") { gateway in
                let alice = try await Guest.connect(
                    "alice", port: gateway.port, query: "&token=\(try await Self.token("alice", lasting: 4))")
                let bobs = try await Self.token("bob")
                try await alice.send(#"{"type":"auth","id":"1","token":"\#(bobs)"}"#)
                #expect(try await alice.event("an error") { $0.id == "1" }.code == "forbidden")
                try await alice.send(#"{"type":"auth","id":"2","token":"x"}"#)
                #expect(try await alice.event("an error") { $0.id == "2" }.code == "unauthorized")
                try await alice.event("expiring") { $0.type == "expiring" }
                let fresh = try await Self.token("alice", lasting: 6)
                try await alice.send(#"{"type":"auth","id":"3","token":"\#(fresh)"}"#)
                #expect(try await alice.event("authenticated") { $0.id == "3" }.type == "authenticated")
                // The next warning is that of the new token.
                try await alice.event("expiring again") { $0.type == "expiring" }
                #expect(!alice.events.contains { $0.type == "left" })
                await alice.socket.cut()
            }
        }

        @Test("Keys that change while a gateway runs count at once, and a token's own word on its algorithm does not")
        func keysChange() async throws {
            let folder = try ScratchFolder("keys")
            defer { folder.remove() }
            let file = folder.url.appending(path: "keys.json")
            func set(_ id: String, _ byte: UInt8) throws -> TokenKeySource {
                let secret = Array(repeating: byte, count: 64)
                let text = Data(secret).base64EncodedString().replacing("+", with: "-").replacing("/", with: "_")
                    .replacing("=", with: "")
                let json = #"{"keys":[{"kty":"oct","kid":"\#(id)","alg":"HS256","k":"\#(text)"}]}"#
                try Data(json.utf8).write(to: file, options: .atomic)
                return TokenKeySource(id: id, secret: secret)
            }
            let old = try set("old", 1)
            let gateway = try await GatewayProcess.start(
                node: "keys", redis: nil, arguments: ["--auth-keys-file", file.path()], folder: folder.url)
            do {
                try await checkKeys(gateway, old) { try set("new", 2) }
                await gateway.kill()
            } catch {
                print(gateway.output)
                await gateway.kill()
                throw error
            }
        }

        private struct TokenKeySource {
            var id: String
            var secret: [UInt8]

            func token(_ algorithm: TokenAlgorithm = .hs256, naming name: String? = nil) async throws -> String {
                let key = try await TokenKey.secret(secret, algorithm: algorithm, id: name ?? id)
                let now = UInt64(Date().timeIntervalSince1970)
                return try TokenSigner(key: key).sign(.init(user: "alice", issuedAt: now, expires: now + 600))
            }
        }

        private func checkKeys(
            _ gateway: GatewayProcess, _ old: TokenKeySource, change: () throws -> TokenKeySource
        ) async throws {
            func status(_ token: String) async throws -> Int {
                try await HTTPProbe.get(
                    "/rooms/general/messages", port: gateway.port, headers: ["Authorization": "Bearer \(token)"]
                ).status
            }
            #expect(try await status(try await old.token()) == 200)
            #expect(try await status(try await old.token(naming: "other")) == 401)
            #expect(try await status(try await old.token(.hs512)) == 401)
            let standing = try await Guest.connect(
                "alice", port: gateway.port, query: "&token=\(try await old.token())")
            let new = try change()
            try await eventually("the new key counts") {
                try await status(try await new.token()) == 200 ? true : nil
            }
            #expect(try await status(try await old.token()) == 401)
            // Who is in stays in until the token ends.
            try await standing.catchUp()
            await standing.socket.cut()
        }

        @Test("A client that is asked for tokens stays connected across the end of one")
        func provider() async throws {
            try await withGateway("--auth-leeway", "0") { gateway in
                var configuration = ChatClient.Configuration(urls: [gateway.url])
                configuration.tokenProvider = { try await Self.token("alice", lasting: 3) }
                let client = try ChatClient(configuration)
                let events = client.events
                try await client.connect()
                try await client.join("general", history: 0)
                var warnings = 0
                for await event in events {
                    if case .disconnected = event { Issue.record("disconnected") }
                    if case .expiring = event { warnings += 1 }
                    if warnings == 2 { break }
                }
                try await client.send(text: "still here", to: "general")
                await client.close()
            }
        }

        @Test("Tokens, secrets and messages are in no log, of the gateway or of the balancer, whatever is logged")
        func logs() async throws {
            try await Cluster.run(nodes: 1, arguments: ["--auth-secret", Self.secret, "--log-level", "trace"]) {
                cluster in
                let port = cluster.balancer.port
                let token = try await Self.token("alice")
                let alice = try await Guest.connect("alice", port: port, query: "&token=\(token)")
                try await alice.send(#"{"type":"auth","id":"1","token":"\#(token)"}"#)
                try await alice.event("authenticated") { $0.id == "1" }
                try await alice.join("general")
                try await alice.post("between the two of us", to: "general", id: "2")
                try await alice.event("ack") { $0.id == "2" && $0.type == "ack" }
                try await alice.send(#"{"type":"signal","room":"general","data":"between the two of us","x":}"#)
                try await alice.event("an error") { $0.code == "invalid_json" }
                let path = "/rooms/general/messages"
                for (text, status) in [(#"{"text":"between the two of us"}"#, 201), ("between the two of us", 400)] {
                    let answer = try await ModerationTests.ask("POST", path, text, port: port, token: token)
                    #expect(answer.status == status)
                }
                _ = try await HTTPProbe.get("/nothing?token=\(token)", port: port)
                _ = try? await RawWebSocket.open(port: port, query: "token=\(token)x")
                await alice.socket.cut()
                let signature = try #require(token.split(separator: ".").last)
                try await eventually("the session's end is logged") {
                    cluster.nodes[0].output.contains("A session ended") ? true : nil
                }
                for output in [cluster.nodes[0].output, cluster.balancer.output] {
                    #expect(!output.contains(signature))
                    #expect(!output.contains(Self.secret))
                    #expect(!output.contains("between the two of us"))
                }
            }
        }

        @Test("roost token signs what roost serve takes")
        func command() async throws {
            try await withGateway { gateway in
                let folder = try ScratchFolder("token")
                defer { folder.remove() }
                let command = try GatewayProcess.command(
                    ["token", "--user", "alice", "--room", "general", "--expires-in", "60"],
                    environment: ["ROOST_AUTH_SECRET": Self.secret], folder: folder.url)
                #expect(await command.end() == .exited(0))
                let token = command.output.split(separator: "\n").joined()
                let alice = try await Guest.connect("alice", port: gateway.port, query: "&token=\(token)")
                try await alice.join("general")
                await alice.socket.cut()
            }
        }
    }
}

import ChatGateway
import Foundation
import NIOCore
import TestSupport
import Testing

extension ClusterTests {
    @Suite("The HTTP API")
    struct HTTPAPITests {
        private static let apiKey = "an API key"
        /// printf 'an API key' | sha256sum
        private static let apiKeyHash = "05576ecdfc69d74646c5d3f99f7bc2089d52cad6863ad2df06b77b4f6002e161"

        private func withGateway(
            _ arguments: [String] = [], work: (GatewayProcess) async throws -> Void
        ) async throws {
            try await GatewayProcess.run(["--drain-time", "1", "--drain-deadline", "4"] + arguments, work: work)
        }

        private func ask(
            _ method: String, _ path: String, _ body: String = "", port: Int, fields: [String: String] = [:]
        ) async throws -> HTTPAnswer {
            var all = ["Host": "127.0.0.1:\(port)", "Connection": "close"]
            if method != "GET" { all["Content-Length"] = "\(body.utf8.count)" }
            let head = all.merging(fields) { $1 }.map { "\($0): \($1)\r\n" }.joined()
            return try await HTTPProbe.send("\(method) \(path) HTTP/1.1\r\n\(head)\r\n\(body)", port: port)
        }

        private struct Page: Decodable {
            var messages: [Event]
            var more: Bool
        }

        private func page(_ answer: HTTPAnswer) throws -> Page {
            #expect(answer.status == 200, "\(answer.body)")
            return try JSONDecoder().decode(Page.self, from: Data(answer.body.utf8))
        }

        @Test("What is posted once is stored once, and can be read")
        func postAndRead() async throws {
            try await withGateway { gateway in
                let bob = try await Guest.connect("bob", to: gateway, in: "general")
                let path = "/rooms/general/messages?user=alice"
                let body = #"{"id":"1","text":"hello","data":{"n":1}}"#
                let first = try await ask("POST", path, body, port: gateway.port)
                #expect(first.status == 201)
                let again = try await ask("POST", path, #"{"id":"1","text":"hello","retry":true}"#, port: gateway.port)
                #expect(again.status == 200)
                let receipt = try JSONDecoder().decode(
                    Event.self, from: Data(("{\"type\":\"\"," + first.body.dropFirst()).utf8))
                let second = try JSONDecoder().decode(
                    Event.self, from: Data(("{\"type\":\"\"," + again.body.dropFirst()).utf8))
                #expect(second.position == receipt.position)
                #expect(second.duplicate == true)
                #expect(try await bob.event("message") { $0.type == "message" }.text == "hello")

                _ = try await ask("POST", path, #"{"text":"two"}"#, port: gateway.port)
                let all = try page(try await ask("GET", path, port: gateway.port))
                #expect(all.messages.map(\.text) == ["hello", "two"])
                #expect(all.messages.first?.user == "alice")
                let after = try page(
                    try await ask("GET", path + "&after=\(try #require(receipt.position))", port: gateway.port))
                #expect(after.messages.map(\.text) == ["two"])
                let latest = try page(try await ask("GET", path + "&limit=1", port: gateway.port))
                #expect(latest.messages.map(\.text) == ["two"])
                #expect(latest.more)
                await bob.socket.cut()
            }
        }

        @Test("A long poll answers as soon as there is something, and otherwise when its time is over")
        func longPoll() async throws {
            try await withGateway { gateway in
                let path = "/rooms/general/messages?user=alice"
                #expect(try page(try await ask("GET", path + "&wait=1", port: gateway.port)).messages == [])
                let waiting = try await RawConnection.connect(host: "127.0.0.1", port: gateway.port)
                try await waiting.send("GET \(path)&wait=60 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
                // Sent again until the poll, which may not stand yet, has heard one.
                let answer = try await eventually("the poll is answered") { () -> HTTPAnswer? in
                    _ = try await ask("POST", path, #"{"text":"news"}"#, port: gateway.port)
                    do {
                        return try await waiting.receive("an answer", within: .milliseconds(500)) {
                            try HTTPProbe.parse(&$0)
                        }
                    } catch is Impatience {
                        return nil
                    }
                }
                #expect(try page(answer).messages.first?.text == "news")
                // What is there already is not waited for; nobody saw the waiting one in the room.
                #expect(
                    try page(try await ask("GET", path + "&after=0-0&wait=60", port: gateway.port)).messages.count > 0)
                let members = try await ask("GET", "/rooms/general/members?user=alice", port: gateway.port)
                #expect(members.body.contains(#""members":[],"count":0"#))
                await waiting.close()
            }
        }

        /// Reads one event of a stream, passing over comments: its fields.
        private func event(
            _ stream: RawConnection, within limit: TimeAmount = .seconds(20)
        ) async throws -> [String: String]? {
            try await stream.receive("an event", within: limit) { bytes in
                // Chunk sizes stand between events, on lines of their own.
                while let end = bytes.readableBytesView.firstRange(of: Array("\n\n".utf8)) {
                    let text = bytes.readString(length: end.upperBound - bytes.readerIndex) ?? ""
                    var fields: [String: String] = [:]
                    for line in text.split(whereSeparator: \.isNewline) {
                        let halves = line.split(separator: ": ", maxSplits: 1)
                        if halves.count == 2 { fields[String(halves[0])] = String(halves[1]) }
                    }
                    if fields["event"] != nil || fields["retry"] != nil { return fields }
                }
                return nil
            }
        }

        private func stream(
            _ path: String, port: Int, fields: String = ""
        ) async throws -> RawConnection {
            let stream = try await RawConnection.connect(host: "127.0.0.1", port: port)
            try await stream.send("GET \(path) HTTP/1.1\r\nHost: 127.0.0.1\r\n\(fields)\r\n")
            let head = try await stream.receive("a head") { bytes -> String? in
                guard let end = bytes.readableBytesView.firstRange(of: Array("\r\n\r\n".utf8)) else { return nil }
                return bytes.readString(length: end.upperBound - bytes.readerIndex)
            }
            #expect(head?.hasPrefix("HTTP/1.1 200 ") == true)
            #expect(head?.lowercased().contains("content-type: text/event-stream") == true)
            return stream
        }

        @Test("A listener is a member, hears what is posted, and resumes where it was")
        func events() async throws {
            try await withGateway { gateway in
                let bob = try await Guest.connect("bob", to: gateway, in: "general")
                let path = "/rooms/general/events?user=alice"
                let first = try await stream(path, port: gateway.port)
                let joined = try #require(try await event(first))
                #expect(joined["event"] == "joined")
                #expect(joined["id"] == "0-0")
                try await bob.event("alice came") { $0.type == "user_joined" && $0.user == "alice" }
                try await bob.post("one", to: "general", id: "1")
                let one = try #require(try await event(first))
                #expect(one["event"] == "message")
                #expect(one["data"]?.contains(#""text":"one""#) == true)
                let position = try #require(one["id"])
                #expect(one["data"]?.contains(position) == true)
                await first.close()
                try await bob.event("alice went") { $0.type == "user_left" && $0.user == "alice" }

                try await bob.post("two", to: "general", id: "2")
                try await bob.event("ack") { $0.id == "2" && $0.type == "ack" }
                let second = try await stream(
                    path + "&since=0-0", port: gateway.port, fields: "Last-Event-ID: \(position)\r\n")
                let again = try #require(try await event(second))
                #expect(again["event"] == "joined")
                #expect(again["id"] == nil)
                #expect(again["data"]?.contains(#""recovered":true"#) == true)
                #expect(try await event(second)?["data"]?.contains(#""text":"two""#) == true)

                gateway.terminate()
                #expect(try await event(second)?["retry"] != nil)
                await second.close()
                await bob.socket.cut()
            }
        }

        @Test("A stream says something now and then, and ends when its token does")
        func streamEnds() async throws {
            try await withGateway(
                ["--auth-secret", IdentityTests.secret, "--auth-leeway", "0", "--heartbeat", "0.2"]
            ) { gateway in
                let token = try await IdentityTests.token("alice", lasting: 2)
                let stream = try await stream("/rooms/general/events?token=\(token)", port: gateway.port)
                #expect(try await event(stream)?["event"] == "joined")
                let comment = try await stream.receive("a comment") { bytes -> Bool? in
                    bytes.readableBytesView.firstRange(of: Array(":\n\n".utf8)).map { _ in true }
                }
                #expect(comment == true)
                let end = try await stream.receive("the last chunk") { bytes -> Bool? in
                    bytes.readableBytesView.firstRange(of: Array("\r\n0\r\n\r\n".utf8)).map { _ in true }
                }
                #expect(end == true)
                await stream.close()
            }
        }

        /// What is refused, with status and code.
        private static let refused: [(method: String, path: String, body: String, status: Int, code: String)] = [
            ("GET", "/rooms", "", 404, "not_found"),
            ("GET", "/rooms/general", "", 404, "not_found"),
            ("GET", "/rooms/a/b/messages?user=a", "", 404, "not_found"),
            ("PUT", "/rooms/general/messages?user=a", "", 405, "method_not_allowed"),
            ("POST", "/rooms/general/events?user=a", "", 405, "method_not_allowed"),
            ("GET", "/rooms/general/messages", "", 400, "invalid_user"),
            ("GET", "/rooms/general/messages?user=%zz", "", 400, "bad_request"),
            ("GET", "/rooms/a%20b/messages?user=a", "", 400, "invalid_room"),
            ("GET", "/rooms/a%0d%0aX:%201/messages?user=a", "", 400, "invalid_room"),
            ("GET", "/rooms/%7b*%7d/members?user=a", "", 400, "invalid_room"),
            ("GET", "/rooms/@bob/messages?user=a", "", 403, "forbidden"),
            ("GET", "/rooms/@bob/events?user=a", "", 403, "forbidden"),
            ("GET", "/rooms/@a/members?user=a", "", 403, "forbidden"),
            ("GET", "/rooms/general/messages?user=a&limit=0", "", 400, "bad_request"),
            ("GET", "/rooms/general/messages?user=a&limit=%2B5", "", 400, "bad_request"),
            ("GET", "/rooms/general/messages?user=a&wait=61", "", 400, "bad_request"),
            ("GET", "/rooms/general/messages?user=a&after=x", "", 400, "bad_request"),
            ("GET", "/rooms/general/messages?user=a&after=0-0&before=0-0", "", 400, "bad_request"),
            ("GET", "/rooms/general/events?user=a&since=now", "", 400, "bad_request"),
            ("POST", "/rooms/general/messages?user=a", "", 400, "invalid_json"),
            ("POST", "/rooms/general/messages?user=a", "[]", 400, "invalid_json"),
            ("POST", "/rooms/general/messages?user=a", "{}", 400, "invalid_message"),
            ("POST", "/rooms/general/messages?user=a", #"{"text":"x","retry":true}"#, 400, "invalid_message"),
            (
                "POST", "/rooms/general/messages?user=a", #"{"text":"\#(String(repeating: "x", count: 16_384))"}"#, 413,
                "message_too_large"
            ),
            ("POST", "/rooms/general/messages?user=a", String(repeating: "x", count: 70_000), 413, "message_too_large"),
            ("DELETE", "/users/alice/sessions", "", 404, "not_found"),
        ]

        @Test("Every wrong request is refused with JSON that says why")
        func refusals() async throws {
            try await withGateway { gateway in
                for (method, path, body, status, code) in Self.refused {
                    let answer = try await ask(method, path, body, port: gateway.port)
                    let shown = "\(method) \(path): \(answer.body)"
                    #expect(answer.status == status, "\(shown)")
                    #expect(answer.body.hasPrefix("{\"error\":\"\(code)\",\"message\":\""), "\(shown)")
                    #expect(answer.headers["x"] == nil, "\(shown)")
                    #expect(answer.status != 405 || answer.headers["allow"] != nil, "\(shown)")
                }
            }
        }

        @Test("Pages of origins that are not allowed can neither post nor read; those that are can do both")
        func crossOrigin() async throws {
            try await withGateway(["--allowed-origins", "https://app.example"]) { gateway in
                let path = "/rooms/general/messages?user=alice"
                let evil = try await ask(
                    "POST", path, #"{"text":"x"}"#, port: gateway.port, fields: ["Origin": "https://evil.example"])
                #expect(evil.status == 403)
                #expect(evil.body.contains("origin_not_allowed"))
                #expect(evil.headers["access-control-allow-origin"] == nil)
                let app = ["Origin": "https://app.example"]
                let asked = try await ask(
                    "OPTIONS", path, port: gateway.port,
                    fields: app.merging(["Access-Control-Request-Method": "POST"]) { $1 })
                #expect(asked.status == 204)
                #expect(asked.headers["access-control-allow-methods"]?.contains("POST") == true)
                for answer in [
                    asked, try await ask("POST", path, #"{"text":"x"}"#, port: gateway.port, fields: app),
                    try await ask("POST", path, "{", port: gateway.port, fields: app),
                ] {
                    #expect(answer.headers["access-control-allow-origin"] == "https://app.example")
                    #expect(answer.headers["vary"] == "Origin")
                }
            }
        }

        @Test("A server with an API key speaks for its users, and may end their sessions; so may an administrator")
        func servers() async throws {
            try await withGateway(["--auth-secret", IdentityTests.secret, "--api-key-hashes", Self.apiKeyHash]) {
                gateway in
                let key = ["Authorization": "Bearer \(Self.apiKey)"]
                let path = "/rooms/general/messages"
                let post = #"{"text":"news"}"#
                #expect(try await ask("POST", path + "?user=bot", post, port: gateway.port).status == 401)
                #expect(try await ask("POST", path, post, port: gateway.port, fields: key).status == 400)
                #expect(try await ask("POST", path + "?user=bot", post, port: gateway.port, fields: key).status == 201)
                await #expect(throws: RefusedHandshake.self) {
                    _ = try await RawWebSocket.open(port: gateway.port, query: "user=bot", headers: key)
                }

                let token = try await IdentityTests.token("alice")
                let alice = try await Guest.connect("alice", port: gateway.port, query: "&token=\(token)")
                let other = try await Guest.connect(
                    "bob", port: gateway.port, query: "&token=\(try await IdentityTests.token("bob"))")
                let sessions = "/users/alice/sessions"
                let mine = ["Authorization": "Bearer \(token)"]
                #expect(try await ask("DELETE", sessions, port: gateway.port).status == 401)
                #expect(try await ask("DELETE", sessions, port: gateway.port, fields: mine).status == 403)
                let ended = try await ask("DELETE", sessions, port: gateway.port, fields: key)
                #expect(ended.body == #"{"closed":1}"#)
                #expect(try await alice.closeCode() == 1008)
                let admin = try await IdentityTests.token("root") { $0.isAdmin = true }
                let none = try await ask(
                    "DELETE", sessions, port: gateway.port, fields: ["Authorization": "Bearer \(admin)"])
                #expect(none.body == #"{"closed":0}"#)
                let operators = try await ask("DELETE", "/users/bob/sessions", port: gateway.opsPort)
                #expect(operators.body == #"{"closed":1}"#)
                #expect(try await other.closeCode() == 1008)
                await alice.socket.cut()
                await other.socket.cut()
            }
        }

        @Test("Who posts too fast is told when to go on")
        func rate() async throws {
            try await withGateway(["--messages-per-second", "1"]) { gateway in
                let path = "/rooms/general/messages?user=alice"
                var statuses: [Int] = []
                var last: HTTPAnswer?
                for _ in 0..<4 {
                    last = try await ask("POST", path, #"{"text":"x"}"#, port: gateway.port)
                    statuses.append(last?.status ?? 0)
                    if last?.status == 429 { break }
                }
                #expect(statuses.last == 429)
                #expect(last?.headers["retry-after"] == "1")
                #expect(last?.body.contains("rate_limited") == true)
            }
        }

        private struct Document: Decodable {
            struct Operation: Decodable {
                var responses: [String: Anything]
            }
            struct Anything: Decodable {}
            var openapi: String
            var paths: [String: [String: Operation]]
        }

        @Test("The OpenAPI document is served, and says what the node does")
        func document() async throws {
            try await withGateway(["--auth-secret", IdentityTests.secret, "--api-key-hashes", Self.apiKeyHash]) {
                gateway in
                let answer = try await ask("GET", "/openapi.json", port: gateway.port)
                #expect(answer.headers["content-type"] == "application/json; charset=utf-8")
                let document = try JSONDecoder().decode(Document.self, from: Data(answer.body.utf8))
                #expect(document.openapi == "3.1.0")
                #expect(document.paths.count == 12)
                for (path, operations) in document.paths {
                    let target = path.replacing("{room}", with: "general").replacing("{user}", with: "alice")
                    for method in ["get", "post", "put", "delete", "patch"] {
                        let answer = try await ask(method.uppercased(), target, port: gateway.port)
                        let isDocumented = operations[method] != nil
                        // Without a token nothing is done, but what there is differs from what there is not.
                        #expect(answer.status == (isDocumented ? 401 : 405), "\(method) \(path)")
                        if let operation = operations[method] {
                            #expect(operation.responses["\(answer.status)"] != nil, "\(method) \(path)")
                        }
                    }
                }
            }
        }
    }
}

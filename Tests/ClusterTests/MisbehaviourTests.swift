import NIOCore
import TestSupport
import Testing

extension ClusterTests {
    @Suite("Misbehaviour")
    struct MisbehaviourTests {
        /// A frame that closes the connection, and the close code for it.
        static let fatal: [(name: String, bytes: [UInt8], code: UInt16)] = [
            ("garbage", Array(repeating: 0xFF, count: 64), 1002),
            ("an unmasked frame", bytes(.init(firstByte: 0x81, isMasked: false, payload: Array("{}".utf8))), 1002),
            ("a reserved bit", bytes(.init(firstByte: 0xC1, payload: Array("{}".utf8))), 1002),
            ("a reserved opcode", bytes(.init(firstByte: 0x83, payload: [])), 1002),
            ("a continuation of nothing", bytes(.init(firstByte: 0x80, payload: [])), 1002),
            ("a fragmented ping", bytes(.init(firstByte: 0x09, payload: [])), 1002),
            ("a length of 2^63", [0x81, 0xFF, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], 1002),
            ("a binary frame", bytes(.init(firstByte: 0x82, payload: [1, 2, 3])), 1003),
            ("text that is not UTF-8", bytes(.init(firstByte: 0x81, payload: [0x7B, 0xC3, 0x28, 0x7D])), 1007),
            ("a frame far too big", bytes(.text(String(repeating: "x", count: 4 * 16_384 + 1))), 1009),
        ]

        private static func bytes(_ frame: RawWebSocket.Frame) -> [UInt8] { Array(frame.bytes.readableBytesView) }

        /// A frame that is answered with an error, after which the connection goes on.
        static let refused: [(json: String, code: String, id: String?)] = [
            ("", "invalid_json", nil),
            ("hello", "invalid_json", nil),
            ("[]", "invalid_json", nil),
            (#"{"type":"ping","id":"1""#, "invalid_json", nil),
            (#"{"type":"ping","type":"ping"}"#, "invalid_json", nil),
            (#"{"type":"message","room":"general","text":"\ud800"}"#, "invalid_json", nil),
            (String(repeating: "[", count: 10_000), "invalid_json", nil),
            ("{}", "invalid_message", nil),
            (#"{"type":7,"id":"1"}"#, "invalid_message", "1"),
            (#"{"type":"dance","id":"1"}"#, "unknown_type", "1"),
            (#"{"type":"message","id":"1","room":"general"}"#, "invalid_message", "1"),
            (#"{"type":"message","id":"1","room":"general","text":null}"#, "invalid_message", "1"),
            (#"{"type":"message","id":"","room":"general","text":"x"}"#, "invalid_message", nil),
            (#"{"type":"join","id":"1","room":"general","history":1001}"#, "invalid_message", "1"),
            (#"{"type":"join","id":"1","room":"general","history":1,"since":"0-0"}"#, "invalid_message", "1"),
            (#"{"type":"join","id":"1","room":"general","since":"x"}"#, "invalid_message", "1"),
            (#"{"type":"join","id":"1","room":"a}b"}"#, "invalid_room", "1"),
            (#"{"type":"join","id":"1","room":"{}"}"#, "invalid_room", "1"),
            (#"{"type":"join","id":"1","room":"*"}"#, "invalid_room", "1"),
            (#"{"type":"join","id":"1","room":"with space"}"#, "invalid_room", "1"),
            (#"{"type":"join","id":"1","room":"new\nline"}"#, "invalid_room", "1"),
            (#"{"type":"join","id":"1","room":"caf\u00e9"}"#, "invalid_room", "1"),
            (#"{"type":"join","id":"1","room":""}"#, "invalid_room", "1"),
            (#"{"type":"join","id":"1","room":"\#(String(repeating: "r", count: 129))"}"#, "invalid_room", "1"),
            (#"{"type":"message","id":"1","room":"elsewhere","text":"x"}"#, "not_joined", "1"),
            (#"{"type":"leave","id":"1","room":"elsewhere"}"#, "not_joined", "1"),
            (#"{"type":"leave","id":"1","room":"@mallory"}"#, "forbidden", "1"),
            (#"{"type":"join","id":"1","room":"@bob"}"#, "forbidden", "1"),
            (#"{"type":"history","id":"1","room":"@bob"}"#, "forbidden", "1"),
            (#"{"type":"auth","id":"1","token":"x"}"#, "forbidden", "1"),
            (
                #"{"type":"message","id":"1","room":"general","text":"\#(String(repeating: "x", count: 16_384))"}"#,
                "message_too_large", "1"
            ),
        ]

        @Test("Every wrong frame gets its answer, and the others in the room notice nothing")
        func answers() async throws {
            try await Cluster.run { cluster in
                let alice = try await Guest.connect("alice", to: cluster.nodes[0], in: "general")
                let bob = try await Guest.connect("bob", to: cluster.nodes[1], in: "general")
                let mallory = try await Guest.connect("mallory", to: cluster.nodes[0], in: "general")

                for (json, code, id) in Self.refused {
                    try await mallory.send(json)
                    let error = try await mallory.event("an error") { $0.type == "error" }
                    let shown = json.prefix(80)
                    #expect(error.code == code, "\(shown)")
                    #expect(error.id == id, "\(shown)")
                    #expect(error.message?.isEmpty == false, "\(shown)")
                }
                for (name, bytes, code) in Self.fatal {
                    let session = try await Guest.connect("mallory", to: cluster.nodes[0], in: "general")
                    try await session.socket.send(bytes: bytes)
                    #expect(try await session.closeCode() == code, "\(name)")
                    #expect(session.events.allSatisfy { $0.type == "joined" || $0.type == "message" }, "\(name)")
                    await session.socket.cut()
                }

                // The connection that was told off still works.
                try await mallory.post("sorry", to: "general", id: "last")
                try await mallory.event("ack") { $0.type == "ack" && $0.id == "last" }
                for guest in [alice, bob] {
                    try await guest.event("mallory's message") { $0.type == "message" && $0.text == "sorry" }
                    let strange = guest.events.filter {
                        !["joined", "message"].contains($0.type) && !($0.type == "user_joined" && $0.user != guest.user)
                    }
                    #expect(strange == [])
                    #expect(guest.events.filter { $0.type == "message" }.count == 1)
                    #expect(guest.events.filter { $0.type == "user_joined" && $0.user == "mallory" }.count == 1)
                }
            }
        }

        /// A handshake that is refused, with the status and the code of the answer.
        static let handshakes: [(name: String, request: String, status: Int, code: String)] = [
            ("another path", upgrade("/nothing?user=a"), 404, "not_found"),
            (
                "another method", upgrade("/ws?user=a", method: "POST", more: "Content-Length: 0\r\n"), 405,
                "method_not_allowed"
            ),
            (
                "no upgrade", "GET /ws?user=a HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n", 426,
                "upgrade_required"
            ),
            ("another version", upgrade("/ws?user=a", version: "12"), 426, "upgrade_required"),
            ("a short key", upgrade("/ws?user=a", key: "c2hvcnQ="), 400, "bad_request"),
            ("a bad query", upgrade("/ws?user=a&echo=maybe"), 400, "bad_request"),
            (
                "a foreign page", upgrade("/ws?user=a", more: "Origin: https://evil.example.org\r\n"), 403,
                "origin_not_allowed"
            ),
            ("no user", upgrade("/ws"), 400, "invalid_user"),
            ("a bad user", upgrade("/ws?user=%0d%0aX:1"), 400, "invalid_user"),
        ]

        private static func upgrade(
            _ target: String, method: String = "GET", version: String = "13", key: String = "dGhlIHNhbXBsZSBub25jZQ==",
            more: String = ""
        ) -> String {
            "\(method) \(target) HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                + "Sec-WebSocket-Version: \(version)\r\nSec-WebSocket-Key: \(key)\r\n\(more)\r\n"
        }

        @Test("Every wrong handshake is refused over HTTP, also through the balancer")
        func refusedHandshakes() async throws {
            try await Cluster.run(nodes: 1) { cluster in
                for port in [cluster.nodes[0].port, cluster.balancer.port] {
                    for (name, request, status, code) in Self.handshakes {
                        let answer = try await HTTPProbe.send(request, port: port)
                        #expect(answer.status == status, "\(name)")
                        // What HAProxy cannot even read it refuses by itself, in its own words.
                        let isOwnAnswer = port == cluster.balancer.port && answer.body.hasPrefix("<html>")
                        #expect(isOwnAnswer || answer.body.contains("\"error\":\"\(code)\""), "\(name): \(answer.body)")
                    }
                }
            }
        }
    }
}

import TestSupport
import Testing

extension ClusterTests {
    /// Requests that two readers could take for different ones, of which the second may be somebody else's.
    @Suite("Smuggling")
    struct SmugglingTests {
        private static let fields = "Host: 127.0.0.1\r\n"
        private static let hidden = "GET /hidden HTTP/1.1\r\n\(fields)Connection: close\r\n\r\n"

        private static func post(_ fields: String, _ body: String) -> String {
            "POST /rooms/general/messages?user=mallory HTTP/1.1\r\n\(Self.fields)\(fields)\r\n\(body)\(hidden)"
        }

        /// Each hides a request in what may be a body, or in a header field.
        static let requests: [(name: String, request: String)] = [
            ("a length and chunks", post("Content-Length: 6\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n")),
            ("chunks and a length", post("Transfer-Encoding: chunked\r\nContent-Length: 6\r\n", "0\r\n\r\n")),
            ("two lengths", post("Content-Length: 0\r\nContent-Length: \(hidden.utf8.count)\r\n", "")),
            ("two lengths in one field", post("Content-Length: 0, \(hidden.utf8.count)\r\n", "")),
            ("a length with a sign", post("Content-Length: +0\r\n", "")),
            ("a length that is no number", post("Content-Length: 0x0\r\n", "")),
            ("an encoding that nobody knows", post("Transfer-Encoding: xchunked\r\n", "0\r\n\r\n")),
            ("chunks that are not the last encoding", post("Transfer-Encoding: chunked, identity\r\n", "0\r\n\r\n")),
            ("a blank before the colon", post("Transfer-Encoding : chunked\r\n", "0\r\n\r\n")),
            ("a folded field", post("X: y\r\n Transfer-Encoding: chunked\r\n", "0\r\n\r\n")),
            ("a chunk's length with a prefix", post("Transfer-Encoding: chunked\r\n", "0x0\r\n\r\n")),
            ("a chunk that is longer than it says", post("Transfer-Encoding: chunked\r\n", "1\r\nab\r\n0\r\n\r\n")),
            ("a carriage return in a field", "GET / HTTP/1.1\r\n\(fields)X: y\rTransfer-Encoding: chunked\r\n\r\n"),
            ("a zero byte in a field", "GET / HTTP/1.1\r\n\(fields)X: y\0z\r\n\r\n"),
            (
                "a handshake with a body",
                "GET /ws?user=mallory HTTP/1.1\r\n\(fields)Upgrade: websocket\r\nConnection: Upgrade\r\n"
                    + "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
                    + "Content-Length: \(hidden.utf8.count)\r\n\r\n\(hidden)"
            ),
        ]

        @Test("A request that can be read in two ways is refused once, and what follows it is not looked at")
        func ambiguous() async throws {
            try await GatewayProcess.run([]) { gateway in
                for (name, request) in Self.requests {
                    let answers = try await Self.answers(to: request, at: gateway)
                    #expect(answers.map(\.status) == [400], "\(name)")
                    #expect(answers.first?.headers["connection"] == "close", "\(name)")
                    #expect(answers.first?.body.contains(#""error":"bad_request""#) == true, "\(name)")
                }
                // Where there is no doubt they are two requests.
                let body = #"{"text":"hello"}"#
                for (fields, body) in [
                    ("Content-Length: \(body.utf8.count)\r\n", body),
                    ("Transfer-Encoding: chunked\r\n", "10\r\n\(body)\r\n0\r\n\r\n"),
                ] {
                    let answers = try await Self.answers(to: Self.post(fields, body), at: gateway)
                    #expect(answers.map(\.status) == [201, 404], "\(fields)")
                }
            }
        }

        /// All that comes until the gateway ends the connection.
        private static func answers(to request: String, at gateway: GatewayProcess) async throws -> [HTTPAnswer] {
            let connection = try await RawConnection.connect(host: "127.0.0.1", port: gateway.port)
            try await connection.send(request)
            var answers: [HTTPAnswer] = []
            while let answer = try await connection.receive("an answer, or the end", { try HTTPProbe.parse(&$0) }) {
                answers.append(answer)
            }
            await connection.close()
            return answers
        }
    }
}

import ChatProtocol
import NIOHTTP1
import Testing

@testable import ChatGateway

@Suite("Judging a handshake")
struct HandshakeValidatorTests {
    private static let good: [(String, String)] = [
        ("Host", "chat.example:8080"), ("Upgrade", "websocket"), ("Connection", "keep-alive, Upgrade"),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="), ("Sec-WebSocket-Version", "13"),
    ]

    private func judge(
        _ target: String = "/ws", method: HTTPMethod = .GET, version: HTTPVersion = .http1_1, echo: Bool = false,
        without: [String] = [], with extra: [(String, String)] = []
    ) -> HandshakeValidator.Verdict {
        let fields = Self.good.filter { !without.contains($0.0) } + extra
        let head = HTTPRequestHead(version: version, method: method, uri: target, headers: HTTPHeaders(fields))
        return HandshakeValidator(limits: WebSocketLimits(), isEchoEnabled: echo).judge(head, peerAddress: "192.0.2.7")
    }

    private func refusal(_ verdict: HandshakeValidator.Verdict) -> HTTPRefusal? {
        if case .refuse(let refusal) = verdict { refusal } else { nil }
    }

    private func handshake(_ verdict: HandshakeValidator.Verdict) -> Handshake? {
        if case .upgrade(let handshake) = verdict { handshake } else { nil }
    }

    @Test("one in good order is taken apart")
    func inOrder() throws {
        let offers = [("Sec-WebSocket-Protocol", "roost.v1, bearer.abc"), ("Sec-WebSocket-Protocol", "x")]
        let found = try #require(handshake(judge("/ws?user=al%C3%A9&user=bob&echo=false&a+b=c+d&flag", with: offers)))
        #expect(found.key == "dGhlIHNhbXBsZSBub25jZQ==")
        #expect(found.selectedProtocol == "roost.v1")
        #expect(found.request.query == ["user": "alé", "echo": "false", "a+b": "c+d", "flag": ""])
        #expect(found.request.offeredProtocols == ["roost.v1", "bearer.abc", "x"])
        #expect(found.request.host == "chat.example:8080")
        #expect(found.request.peerAddress == "192.0.2.7")
        #expect(found.request.path == .ws)
    }

    @Test("a token is never selected as the protocol")
    func bearerOnly() throws {
        let found = try #require(handshake(judge(with: [("Sec-WebSocket-Protocol", "bearer.roost.v1")])))
        #expect(found.selectedProtocol == nil)
    }

    @Test(
        "spellings that are as good",
        arguments: [
            (["Upgrade"], [("Upgrade", "WebSocket")]), (["Upgrade"], [("Upgrade", "h2c, websocket")]),
            (["Connection"], [("Connection", "upgrade")]),
            (["Connection"], [("connection", "close"), ("Connection", "UPGRADE")]),
            ([], [("Content-Length", "0")]), (["Host"], [("Host", "[::1]:8080")]),
        ] as [([String], [(String, String)])])
    func equivalents(_ without: [String], _ with: [(String, String)]) {
        #expect(handshake(judge(without: without, with: with)) != nil)
    }

    @Test("the absolute form names the same resource")
    func absoluteForm() {
        #expect(handshake(judge("http://chat.example:8080/ws?user=a"))?.request.query == ["user": "a"])
        #expect(handshake(judge("HTTP://chat.example/ws")) != nil)
    }

    @Test(
        "another path is no WebSocket",
        arguments: ["/", "/ws/", "/WS", "/wsx", "//ws", "/%77s", "/echo", "/ws%3Fuser=a", "*"])
    func otherPaths(_ target: String) {
        #expect(refusal(judge(target))?.status == .notFound)
        #expect(refusal(judge(target))?.code == .notFound)
        #expect(judge(target, without: ["Upgrade"]) == .plain)
    }

    @Test("echo is there where it is enabled")
    func echo() {
        #expect(handshake(judge("/echo", echo: true))?.request.path == .echo)
    }

    @Test("another method is told which one to use", arguments: [HTTPMethod.POST, .HEAD, .OPTIONS, .CONNECT])
    func methods(_ method: HTTPMethod) {
        let found = refusal(judge(method: method))
        #expect(found?.status == .methodNotAllowed)
        #expect(found?.headers["Allow"] == ["GET"])
    }

    @Test(
        "without an upgrade, or with another version, the right one is named",
        arguments: [
            (["Upgrade"], []), (["Sec-WebSocket-Version"], []),
            (["Sec-WebSocket-Version"], [("Sec-WebSocket-Version", "8")]),
            (["Sec-WebSocket-Version"], [("Sec-WebSocket-Version", "13, 8")]), ([], [("Sec-WebSocket-Version", "13")]),
        ] as [([String], [(String, String)])])
    func upgradeRequired(_ without: [String], _ with: [(String, String)]) {
        let found = refusal(judge(without: without, with: with))
        #expect(found?.status == .upgradeRequired)
        #expect(found?.code == .upgradeRequired)
        #expect(found?.headers["Upgrade"] == ["websocket"])
        #expect(found?.headers["Sec-WebSocket-Version"] == ["13"])
    }

    @Test(
        "a malformed one is a bad request",
        arguments: [
            (["Host"], []), ([], [("Host", "other")]), (["Host"], [("Host", "")]), (["Host"], [("Host", "a b")]),
            (["Host"], [("Host", "user@host")]), (["Connection"], []), (["Connection"], [("Connection", "close")]),
            (["Upgrade"], [("Upgrade", "h2c")]), (["Sec-WebSocket-Key"], []),
            ([], [("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")]),
            (["Sec-WebSocket-Key"], [("Sec-WebSocket-Key", "c2hvcnQ=")]),
            (["Sec-WebSocket-Key"], [("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ")]),
            (["Sec-WebSocket-Key"], [("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25j!Q==")]),
            (["Sec-WebSocket-Key"], [("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=A")]),
            ([], [("Content-Length", "5")]), ([], [("Transfer-Encoding", "chunked")]),
        ] as [([String], [(String, String)])])
    func malformed(_ without: [String], _ with: [(String, String)]) {
        let found = refusal(judge(without: without, with: with))
        #expect(found?.status == .badRequest)
        #expect(found?.code == .badRequest)
    }

    @Test("HTTP/1.0 cannot be upgraded")
    func oldHTTP() {
        #expect(refusal(judge(version: .http1_0))?.status == .badRequest)
    }

    @Test("a query that is not percent-encoded UTF-8", arguments: ["%", "%4", "%zz", "a=%C3", "a=%ff", "ok=1&x=%G0"])
    func badQuery(_ query: String) {
        #expect(refusal(judge("/ws?" + query))?.status == .badRequest)
    }

    @Test("of several faults the protocol's order decides which is told")
    func order() {
        #expect(refusal(judge("/nowhere", method: .POST, without: ["Sec-WebSocket-Key"]))?.status == .notFound)
        #expect(refusal(judge(method: .POST, without: ["Sec-WebSocket-Version"]))?.status == .methodNotAllowed)
        #expect(refusal(judge(without: ["Sec-WebSocket-Version", "Host"]))?.status == .upgradeRequired)
        #expect(refusal(judge("/ws?%", without: ["Upgrade"]))?.status == .upgradeRequired)
    }

    @Test("too long a target, and too much of header fields")
    func sizes() {
        #expect(refusal(judge("/ws?x=" + String(repeating: "a", count: 8200)))?.status == .uriTooLong)
        #expect(handshake(judge("/ws?x=" + String(repeating: "a", count: 8000))) != nil)
        let big = [("X-Big", String(repeating: "b", count: 16_400))]
        #expect(refusal(judge(with: big))?.status == .requestHeaderFieldsTooLarge)
        let many = (0..<70).map { ("X-\($0)", "v") }
        #expect(refusal(judge(with: many))?.status == .requestHeaderFieldsTooLarge)
    }

    @Test("an ordinary request of HTTP/1.1 has exactly one Host")
    func plainHost() {
        #expect(refusal(judge("/", without: ["Host", "Upgrade"]))?.status == .badRequest)
        #expect(refusal(judge("/", without: ["Upgrade"], with: [("Host", "b")]))?.status == .badRequest)
        #expect(judge("/", version: .http1_0, without: ["Host", "Upgrade"]) == .plain)
    }
}

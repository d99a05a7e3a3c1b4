import ChatProtocol
import Hummingbird
import Logging
import NIOCore
import NIOHTTP1
import NIOPosix
import ServiceLifecycle
import Testing

@testable import ChatGateway

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#else
import Darwin
#endif

@Suite("The public port, over real sockets", .timeLimit(.minutes(1)))
struct GatewayListenerTests {
    private static let plain = "Host: localhost\r\n\r\n"

    // MARK: Handshakes

    @Test("a WebSocket opens with the right accept key, and echoes")
    func opens() async throws {
        try await withListener { address in
            try await RawClient.connect(to: address) { client in
                let answer = try await client.upgrade(fields: "Sec-WebSocket-Protocol: bearer.secret, roost.v1\r\n")
                #expect(answer.status == 101)
                #expect(answer.field("Sec-WebSocket-Accept") == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")
                #expect(answer.field("Sec-WebSocket-Protocol") == "roost.v1")
                #expect(!answer.head.contains("secret"))
                try await client.send(ClientFrame.bytes(ClientFrame.text, "hello"))
                #expect(try await client.frame() == .text("hello"))
            }
        }
    }

    @Test("frames in the packet of the handshake are not lost")
    func earlyFrames() async throws {
        try await withListener { address in
            try await RawClient.connect(to: address) { client in
                let request = "GET /echo HTTP/1.1\r\n" + RawClient.handshake
                try await client.send(Array(request.utf8) + ClientFrame.bytes(ClientFrame.text, "early"))
                #expect(try await client.answer().status == 101)
                #expect(try await client.frame() == .text("early"))
            }
        }
    }

    @Test("a handshake may come byte by byte")
    func slowHandshake() async throws {
        try await withListener { address in
            try await RawClient.connect(to: address) { client in
                for byte in ("GET /echo HTTP/1.1\r\n" + RawClient.handshake).utf8 { try await client.send([byte]) }
                #expect(try await client.answer().status == 101)
                for byte in ClientFrame.bytes(ClientFrame.text, "é") { try await client.send([byte]) }
                #expect(try await client.frame() == .text("é"))
            }
        }
    }

    @Test("an upgrade is possible after ordinary requests on the same connection")
    func upgradeAfterRequests() async throws {
        try await withListener { address in
            try await RawClient.connect(to: address) { client in
                for _ in 0..<2 {
                    try await client.send("GET /icon.svg HTTP/1.1\r\n" + Self.plain)
                    #expect(try await client.answer().status == 200)
                }
                #expect(try await client.upgrade().status == 101)
                try await client.send(ClientFrame.bytes(ClientFrame.text, "third"))
                #expect(try await client.frame() == .text("third"))
            }
        }
    }

    @Test("also when all of it comes in one packet")
    func pipelinedUpgrade() async throws {
        try await withListener { address in
            try await RawClient.connect(to: address) { client in
                let packet =
                    "GET /icon.svg HTTP/1.1\r\n" + Self.plain + "HEAD /style.css HTTP/1.1\r\n" + Self.plain
                    + "GET /echo HTTP/1.1\r\n" + RawClient.handshake
                try await client.send(Array(packet.utf8) + ClientFrame.bytes(ClientFrame.text, "last"))
                #expect(try await client.answer().body.contains("<svg"))
                #expect(try await client.answer(hasBody: false).status == 200)
                #expect(try await client.answer().status == 101)
                #expect(try await client.frame() == .text("last"))
            }
        }
    }

    struct Refused: Sendable, CustomTestStringConvertible {
        var testDescription: String
        var request: String
        var status: Int
        var code: ErrorCode
        var field: String?

        init(_ name: String, _ request: String, _ status: Int, _ code: ErrorCode, field: String? = nil) {
            testDescription = name
            self.request = request
            self.status = status
            self.code = code
            self.field = field
        }
    }

    private static let filler = String(repeating: "x", count: 9000)

    static let refused = [
        Refused("an upgrade elsewhere", "GET /chat HTTP/1.1\r\n" + RawClient.handshake, 404, .notFound),
        Refused("no such page", "GET /chat HTTP/1.1\r\n" + plain, 404, .notFound),
        Refused("POST to the WebSocket", "POST /ws HTTP/1.1\r\n" + plain, 405, .methodNotAllowed, field: "Allow"),
        Refused("POST to the page", "POST / HTTP/1.1\r\n" + plain, 405, .methodNotAllowed, field: "Allow"),
        Refused("no upgrade", "GET /ws HTTP/1.1\r\n" + plain, 426, .upgradeRequired, field: "Sec-WebSocket-Version"),
        Refused("no Host", "GET / HTTP/1.1\r\n\r\n", 400, .badRequest),
        Refused("HTTP/1.0", "GET /ws HTTP/1.0\r\n" + RawClient.handshake, 400, .badRequest),
        Refused("a body", "GET /ws HTTP/1.1\r\nContent-Length: 3\r\n" + RawClient.handshake + "abc", 400, .badRequest),
        Refused(
            "two lengths",
            "GET /ws HTTP/1.1\r\nContent-Length: 0\r\nTransfer-Encoding: chunked\r\n" + RawClient.handshake, 400,
            .badRequest),
        Refused("not HTTP", "\u{16}\u{3}\u{1} this is TLS\r\n\r\n", 400, .badRequest),
        Refused("another version", "GET / HTTP/3.7\r\n\r\n", 400, .badRequest),
        Refused("a bare line feed in a name", "GET / HTTP/1.1\r\nA\nB: c\r\n\r\n", 400, .badRequest),
        Refused("a long target", "GET /\(filler) HTTP/1.1\r\n" + plain, 414, .badRequest),
        Refused("a target without an end", "GET /\(filler)\(filler)\(filler)", 414, .badRequest),
        Refused("a long field", "GET / HTTP/1.1\r\nX: \(filler)\(filler)\r\n" + plain, 431, .badRequest),
        Refused("a field without an end", "GET / HTTP/1.1\r\nX: \(filler)\(filler)\(filler)", 431, .badRequest),
        Refused(
            "a hundred fields", "GET / HTTP/1.1\r\n" + String(repeating: "X: y\r\n", count: 100) + plain, 431,
            .badRequest),
        Refused("a large body", "POST / HTTP/1.1\r\nContent-Length: 70000\r\n" + plain, 413, .messageTooLarge),
    ]

    @Test("each refusal is JSON, ends the connection, and nothing after it is answered", arguments: refused)
    func refusals(_ refused: Refused) async throws {
        try await withListener { address in
            try await RawClient.connect(to: address) { client in
                try await client.send(refused.request)
                let answer = try await client.answer()
                #expect(answer.status == refused.status)
                #expect(answer.body.hasPrefix("{\"error\":\"\(refused.code.rawValue)\",\"message\":\""))
                #expect(answer.field("Connection") == "close")
                #expect(answer.field("Content-Type") == "application/json; charset=utf-8")
                if let field = refused.field { #expect(answer.field(field) != nil) }
                try await client.send("GET / HTTP/1.1\r\n" + Self.plain)
                #expect(try await client.end() == 0)
            }
        }
    }

    @Test("what the doorkeeper refuses is told the same way")
    func doorkeeper() async throws {
        let door = TestDoor { request in
            request.query["user"] == "alice"
                ? .success(EchoSession())
                : .failure(HTTPRefusal(.serviceUnavailable, .full, "no seat left", headers: ["Retry-After": "7"]))
        }
        try await withListener(door: door) { address in
            try await RawClient.connect(to: address) { client in
                let answer = try await client.upgrade("/ws?user=bob")
                #expect(answer.status == 503)
                #expect(answer.body == #"{"error":"full","message":"no seat left"}"#)
                #expect(answer.field("Retry-After") == "7")
                #expect(try await client.end() == 0)
            }
            try await RawClient.connect(to: address) { client in
                let answer = try await client.upgrade("/ws?user=alice")
                #expect(answer.status == 101)
            }
        }
    }

    @Test("echo is not there unless it is enabled")
    func noEcho() async throws {
        try await withListener({ $0.isEchoEnabled = false }) { address in
            try await RawClient.connect(to: address) { client in
                let answer = try await client.upgrade("/echo")
                #expect(answer.status == 404)
            }
        }
    }

    @Test(
        "a client that says nothing, or only half, is dropped in time", arguments: ["", "GET /ws HTTP/1.1\r\nHost: lo"])
    func handshakeTimeout(_ beginning: String) async throws {
        try await withListener({ $0.limits.handshakeTimeout = .milliseconds(700) }) { address in
            try await RawClient.connect(to: address) { client in
                if !beginning.isEmpty { try await client.send(beginning) }
                do {
                    #expect(try await client.end() == 0)
                } catch let error as IOError where error.errnoCode == ECONNRESET {
                    // On a busy machine its time is over before the half was read.
                }
            }
        }
    }

    // MARK: Closing

    @Test(
        "a fault is told in a Close frame before TCP ends in order, even while the client goes on sending",
        arguments: [
            (ClientFrame.bytes(0x81, [0x61], mask: nil), 1002), (ClientFrame.bytes(0x83), 1002),
            (ClientFrame.bytes(0x81, [0xFF]), 1007), ([0x81, 0xFF, 0, 0, 0, 1, 0, 0, 0, 0], 1009),
            (ClientFrame.closing(1005), 1002),
        ] as [([UInt8], UInt16)])
    func faults(_ frame: [UInt8], _ code: UInt16) async throws {
        try await withListener { address in
            try await RawClient.connect(to: address) { client in
                try await client.upgrade()
                try await client.send(frame + Array(repeating: 0x20, count: 50_000))
                #expect(try await client.frame().closeCode == code)
                try await client.send(Array(repeating: 0x20, count: 50_000))
                #expect(try await client.end() == 0)
            }
        }
    }

    @Test("a Close frame is answered with its code, and TCP ends")
    func clientClose() async throws {
        try await withListener { address in
            try await RawClient.connect(to: address) { client in
                try await client.upgrade()
                try await client.send(ClientFrame.closing(4001, "done"))
                #expect(try await client.frame().closeCode == 4001)
                #expect(try await client.end() == 0)
            }
        }
    }

    @Test("a silent client is pinged twice and then ended with 1001")
    func heartbeat() async throws {
        try await withListener({
            $0.limits.heartbeat = .milliseconds(100)
            $0.limits.closeTimeout = .milliseconds(100)
        }) { address in
            try await RawClient.connect(to: address) { client in
                try await client.upgrade()
                #expect(try await client.frame() == .init(first: 0x89, payload: []))
                #expect(try await client.frame() == .init(first: 0x89, payload: []))
                #expect(try await client.frame().closeCode == 1001)
                #expect(try await client.end() == 0)
            }
        }
    }

    /// Sends more than systems buffer as soon as it is opened.
    private final class Flood: WebSocketSession {
        private let chunks: Int
        private let ended: @Sendable (Ending, _ mostUnsent: Int) -> Void
        private var mostUnsent = 0

        init(chunks: Int, ended: @escaping @Sendable (Ending, Int) -> Void) {
            self.chunks = chunks
            self.ended = ended
        }

        func opened(_ connection: WebSocketConnection) {
            for _ in 0..<chunks {
                connection.send(text: ByteBuffer(repeating: 0x61, count: 65_000))
                mostUnsent = max(mostUnsent, connection.unsentBytes)
            }
            connection.flush()
        }

        func received(_ text: ByteBuffer) {}
        func receivedBinary(_ bytes: ByteBuffer) {}
        func receivedAllForNow() {}
        func writabilityChanged(to isWritable: Bool) {}
        func closed(_ ending: Ending) { ended(ending, mostUnsent) }
    }

    @Test("a client that reads nothing costs a bounded number of bytes, and learns why when it reads at last")
    func unreadOutput() async throws {
        let (endings, tell) = AsyncStream.makeStream(of: (Ending, Int).self)
        let door = TestDoor { _ in .success(Flood(chunks: 400) { tell.yield(($0, $1)) }) }
        try await withListener(door: door, { $0.limits.unreadOutputBytes = 500_000 }) { address in
            try await RawClient.connect(to: address) { client in
                try await client.upgrade("/ws")
                for await (ending, mostUnsent) in endings.prefix(1) {
                    #expect(ending == .byNode(.overloaded))
                    #expect(mostUnsent < 800_000)
                }
                var last = try await client.frame()
                while last.first == 0x81 { last = try await client.frame() }
                #expect(last.closeCode == 1013)
            }
        }
    }

    @Test("one whose output is stuck for too long is ended although its writes never complete")
    func stalled() async throws {
        let (endings, tell) = AsyncStream.makeStream(of: (Ending, Int).self)
        let door = TestDoor { _ in .success(Flood(chunks: 400) { tell.yield(($0, $1)) }) }
        try await withListener(
            door: door,
            {
                $0.limits.unreadOutputBytes = 100_000_000
                $0.limits.stallTimeout = .milliseconds(200)
                $0.limits.closeTimeout = .milliseconds(100)
            }
        ) { address in
            try await RawClient.connect(to: address) { client in
                try await client.upgrade("/ws")
                for await (ending, _) in endings.prefix(1) { #expect(ending == .byNode(.overloaded)) }
            }
        }
    }

    /// Sends numbered frames of many lengths whenever the client has said something, and closes after the last.
    private final class Ledger: WebSocketSession {
        private let frames: Int
        private let said: @Sendable () -> Void
        private var connection: WebSocketConnection?

        init(frames: Int, said: @escaping @Sendable () -> Void) {
            self.frames = frames
            self.said = said
        }

        func opened(_ connection: WebSocketConnection) { self.connection = connection }

        func received(_ text: ByteBuffer) {
            for number in 0..<frames {
                // Each turn of the loop flushes, also while earlier frames still wait.
                connection?.eventLoop.assumeIsolated().execute { [self] in
                    connection?.send(text: ByteBuffer(string: "\(number) " + String(repeating: "x", count: number * 7)))
                    connection?.flush()
                    guard number == frames - 1 else { return }
                    connection?.close(.restart, reason: "")
                    said()
                }
            }
        }

        func receivedBinary(_ bytes: ByteBuffer) {}
        func receivedAllForNow() {}
        func writabilityChanged(to isWritable: Bool) {}
        func closed(_ ending: Ending) { connection = nil }
    }

    @Test("frames that a slow reader's socket takes in parts arrive whole and in order, the Close frame last")
    func slowReader() async throws {
        let frames = 2_000
        let (said, tell) = AsyncStream.makeStream(of: Void.self)
        let door = TestDoor { _ in .success(Ledger(frames: frames) { tell.finish() }) }
        try await withListener(door: door, { $0.limits.unreadOutputBytes = 100_000_000 }) { address in
            try await RawClient.connect(to: address) { client in
                try await client.upgrade("/ws")
                try await client.send(ClientFrame.bytes(ClientFrame.text, "go"))
                // Meanwhile the client's channel reads a little, and stops as nobody takes it.
                for await _ in said {}
                for number in 0..<frames {
                    let frame = try await client.frame()
                    try #require(frame == .text("\(number) " + String(repeating: "x", count: number * 7)))
                }
                #expect(try await client.frame().closeCode == 1012)
            }
        }
    }

    @Test("a client that vanishes is lost to its session")
    func vanishing() async throws {
        let (endings, tell) = AsyncStream.makeStream(of: Ending.self)
        let door = TestDoor { _ in .success(Flood(chunks: 1) { ending, _ in tell.yield(ending) }) }
        try await withListener(door: door) { address in
            try await RawClient.connect(to: address) { client in
                try await client.upgrade("/ws")
                _ = try await client.frame()
            }
            for await ending in endings.prefix(1) { #expect(ending == .lost) }
        }
    }

    // MARK: Ordinary requests

    @Test("routes see body, query, header fields and address of a request")
    func routes() async throws {
        try await withListener(routes: { router in
            router.post("/rooms/:room") { request, context in
                let body = try await request.body.collect(upTo: 1000)
                let query = request.uri.queryParameters["wait"].map { String($0) } ?? ""
                let room = context.parameters.get("room") ?? ""
                return "\(room) \(query) \(String(buffer: body)) \(context.peerAddress)"
            }
        }) { address in
            try await RawClient.connect(to: address) { client in
                try await client.send("POST /rooms/a?wait=5 HTTP/1.1\r\nTransfer-Encoding: chunked\r\n" + Self.plain)
                try await client.send("3\r\nabc\r\n")
                try await client.send("2\r\nde\r\n0\r\n\r\n")
                let answer = try await client.answer()
                #expect(answer.body == "a 5 abcde 127.0.0.1")
                #expect(answer.field("Date")?.hasSuffix("GMT") == true)
            }
        }
    }

    @Test("a client may ask for leave to send its body")
    func expectContinue() async throws {
        try await withListener(routes: { router in
            router.post("/x") { request, _ in String(buffer: try await request.body.collect(upTo: 1000)) }
        }) { address in
            try await RawClient.connect(to: address) { client in
                try await client.send("POST /x HTTP/1.1\r\nContent-Length: 2\r\nExpect: 100-continue\r\n" + Self.plain)
                #expect(try await client.answer().status == 100)
                try await client.send("ok")
                #expect(try await client.answer().body == "ok")
            }
        }
    }

    @Test("a client that ends its output still gets its answer")
    func halfClosed() async throws {
        try await withListener { address in
            try await RawClient.connect(to: address) { client in
                try await client.send("GET /icon.svg HTTP/1.1\r\n" + Self.plain)
                client.endOutput()
                #expect(try await client.answer().status == 200)
                #expect(try await client.end() == 0)
            }
        }
    }

    @Test("requests beyond the bound are refused, and the bound is free again afterwards")
    func requestBound() async throws {
        let (gate, open) = AsyncStream.makeStream(of: Void.self)
        let (entered, enter) = AsyncStream.makeStream(of: Void.self)
        try await withListener(
            { $0.maxRequests = 1 },
            routes: { router in
                router.get("/slow") { _, _ in
                    enter.yield()
                    for await _ in gate.prefix(1) {}
                    return "done"
                }
            }
        ) { address in
            try await RawClient.connect(to: address) { slow in
                try await slow.send("GET /slow HTTP/1.1\r\n" + Self.plain)
                for await _ in entered.prefix(1) {}
                try await RawClient.connect(to: address) { client in
                    try await client.send("GET / HTTP/1.1\r\n" + Self.plain)
                    let answer = try await client.answer()
                    #expect(answer.status == 503)
                    #expect(answer.body.hasPrefix(#"{"error":"full""#))
                    #expect(try await client.end() == 0)
                }
                open.yield()
                #expect(try await slow.answer().body == "done")
                try await slow.send("GET /icon.svg HTTP/1.1\r\n" + Self.plain)
                #expect(try await slow.answer().status == 200)
            }
        }
    }

    @Test("a route is cancelled when its client has gone")
    func cancellation() async throws {
        let (cancelled, tell) = AsyncStream.makeStream(of: Bool.self)
        let (entered, enter) = AsyncStream.makeStream(of: Void.self)
        try await withListener(routes: { router in
            router.get("/wait") { _, _ in
                enter.yield()
                for await _ in AsyncStream<Void>.makeStream().stream {}
                tell.yield(Task.isCancelled)
                return "too late"
            }
        }) { address in
            try await RawClient.connect(to: address) { client in
                try await client.send("GET /wait HTTP/1.1\r\n" + Self.plain)
                for await _ in entered.prefix(1) {}
                // An end of output alone may mean a client that still reads: a reset is unmistakable.
                let options = try #require(client.channel as? any SocketOptionProvider)
                try await options.setSoLinger(linger(l_onoff: 1, l_linger: 0)).get()
            }
            for await isCancelled in cancelled.prefix(1) { #expect(isCancelled) }
        }
    }

    @Test("at graceful shutdown what is under way is finished, and nothing more accepted")
    func gracefulShutdown() async throws {
        let (gate, open) = AsyncStream.makeStream(of: Void.self)
        let (entered, enter) = AsyncStream.makeStream(of: Void.self)
        let router = Router(context: HTTPContext.self)
        router.get("/slow") { _, _ in
            enter.yield()
            for await _ in gate.prefix(1) {}
            return "done"
        }
        var configuration = GatewayListener.Configuration()
        configuration.port = 0
        let silent = Logger(label: "test", factory: { _ in SwiftLogNoOpLogHandler() })
        let listener = GatewayListener(
            configuration: configuration, group: MultiThreadedEventLoopGroup.singleton, doorkeeper: TestDoor(),
            responder: router.buildResponder(), logger: silent)
        let address = try await listener.bind()
        let services = ServiceGroup(services: [listener], logger: silent)
        try await withThrowingTaskGroup(of: Void.self) { tasks in
            tasks.addTask { try await services.run() }
            try await RawClient.connect(to: address) { client in
                try await client.upgrade("/ws")
                try await RawClient.connect(to: address) { slow in
                    try await slow.send("GET /slow HTTP/1.1\r\n" + Self.plain)
                    for await _ in entered.prefix(1) {}
                    await services.triggerGracefulShutdown()
                    // The shutdown takes its course elsewhere: it has begun when nobody gets in any more.
                    while (try? await RawClient.connect(to: address) { _ in }) != nil {}
                    open.yield()
                    let answer = try await slow.answer()
                    #expect(answer.body == "done")
                    #expect(answer.field("Connection") == "close")
                    #expect(try await slow.end() == 0)
                }
                // Sessions end when those who drain them say so.
                try await client.send(ClientFrame.bytes(ClientFrame.text, "still here"))
                #expect(try await client.frame() == .text("still here"))
            }
            try await tasks.waitForAll()
        }
    }

    @Test("a port that is taken is named")
    func portInUse() async throws {
        try await withListener { address in
            var configuration = GatewayListener.Configuration()
            configuration.port = address.port ?? 0
            let second = GatewayListener(
                configuration: configuration, group: MultiThreadedEventLoopGroup.singleton, doorkeeper: TestDoor(),
                responder: Router(context: HTTPContext.self).buildResponder(),
                logger: Logger(label: "test", factory: { _ in SwiftLogNoOpLogHandler() }))
            let error = await #expect(throws: ListenError.self) { try await second.bind() }
            #expect(error?.code == .inUse)
            #expect(error?.description.hasPrefix("127.0.0.1:\(configuration.port) is already in use") == true)
        }
    }
}

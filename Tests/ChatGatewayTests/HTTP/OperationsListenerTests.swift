import ChatProtocol
import Logging
import NIOCore
import NIOHTTP1
import NIOPosix
import Testing

@testable import ChatGateway

@Suite("The operations port", .timeLimit(.minutes(1)))
struct OperationsListenerTests {
    private static let silent = Logger(label: "test", factory: { _ in SwiftLogNoOpLogHandler() })

    private func get(_ path: String, readiness: OperationsListener.Readiness = .ready) async throws -> RawClient.Answer
    {
        let (addresses, tell) = AsyncStream.makeStream(of: SocketAddress.self)
        let listener = OperationsListener(
            host: "127.0.0.1", port: 0, group: MultiThreadedEventLoopGroup.singleton, logger: Self.silent,
            readiness: { readiness }, metrics: { ByteBuffer(string: "roost_connections 3\n") },
            onListening: { tell.yield($0) })
        return try await withThrowingTaskGroup(of: Void.self) { tasks in
            tasks.addTask { try await listener.run() }
            defer { tasks.cancelAll() }
            for await address in addresses.prefix(1) {
                return try await RawClient.connect(to: address) { client in
                    try await client.send("GET \(path) HTTP/1.1\r\nHost: localhost\r\n\r\n")
                    return try await client.answer()
                }
            }
            throw RawClient.Ended()
        }
    }

    @Test("a node that runs is healthy")
    func health() async throws {
        let answer = try await get("/healthz")
        #expect(answer.status == 200)
        #expect(answer.body == "ok\n")
    }

    @Test("a node is ready, or says why not")
    func readiness() async throws {
        #expect(try await get("/readyz").status == 200)
        let refusal = HTTPRefusal(.serviceUnavailable, .draining, "this node goes away")
        let answer = try await get("/readyz", readiness: .notReady(refusal))
        #expect(answer.status == 503)
        #expect(answer.body == #"{"error":"draining","message":"this node goes away"}"#)
    }

    @Test("metrics are in Prometheus's text format")
    func metrics() async throws {
        let answer = try await get("/metrics")
        #expect(answer.field("Content-Type") == "text/plain; version=0.0.4; charset=utf-8")
        #expect(answer.body == "roost_connections 3\n")
    }

    @Test("anything else is not found, in JSON")
    func other() async throws {
        let answer = try await get("/")
        #expect(answer.status == 404)
        #expect(answer.body.hasPrefix(#"{"error":"not_found","message":""#))
    }

    @Test("a port that is taken is named")
    func portInUse() async throws {
        try await withListener { address in
            let listener = OperationsListener(
                host: "127.0.0.1", port: address.port ?? 0, group: MultiThreadedEventLoopGroup.singleton,
                logger: Self.silent, readiness: { .ready }, metrics: { ByteBuffer() })
            let error = await #expect(throws: ListenError.self) { try await listener.run() }
            #expect(error?.code == .inUse)
        }
    }
}

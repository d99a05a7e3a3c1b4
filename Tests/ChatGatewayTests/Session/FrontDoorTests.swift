import ChatHub
import ChatProtocol
import Logging
import NIOCore
import NIOEmbedded
import NIOHTTP1
import TestSupport
import Testing

@testable import ChatGateway

@Suite("The front door")
struct FrontDoorTests {
    private let loop = EmbeddedEventLoop()

    private func door(
        _ settings: FrontDoor.Settings = .init(), status: @escaping @Sendable () -> BrokerStatus = { .available }
    ) -> FrontDoor {
        let broker = MemoryBroker(eventLoop: loop, loops: [], clock: { 1 })
        let logger = Logger(label: "test", factory: { _ in SwiftLogNoOpLogHandler() })
        let directory = RoomDirectory(broker: broker, logger: logger)
        let environment = ChatSession.Environment(
            node: "n", hub: LoopHub(eventLoop: loop, index: 0, broker: broker, directory: directory, clock: { 1 }),
            registry: SessionRegistry(), limits: .init(), maxMessageBytes: 1, heartbeat: 1, presenceGrace: .zero,
            clock: { 1 }, logger: logger)
        return FrontDoor(
            settings: settings, environments: [NIOLoopBound(environment, eventLoop: loop)], storeStatus: status)
    }

    private func request(
        user: String? = "alice", query: [String: String] = [:], origins: [String] = [],
        host: String = "chat.example:8080",
        address: String = "127.0.0.1", path: SocketRequest.Path = .ws
    ) -> SocketRequest {
        var query = query
        query["user"] = user
        return SocketRequest(
            path: path, query: query, headers: HTTPHeaders(origins.map { ("Origin", $0) }), host: host,
            peerAddress: address, offeredProtocols: [])
    }

    private func code(_ door: FrontDoor, _ request: SocketRequest) -> ErrorCode? {
        switch door.admit(request, on: loop) {
        case .success: nil
        case .failure(let refusal): refusal.code
        }
    }

    @Test func whoHasANameComesIn() {
        #expect(code(door(), request()) == nil)
        #expect(code(door(), request(query: ["echo": "false"])) == nil)
    }

    @Test(arguments: [nil, "", "-a", "a b", "@a", "ä", String(repeating: "a", count: 129)])
    func aMissingOrMalformedNameDoesNot(name: String?) {
        #expect(code(door(), request(user: name)) == .invalidUser)
    }

    @Test func echoIsTrueOrFalse() {
        #expect(code(door(), request(query: ["echo": "maybe"])) == .badRequest)
    }

    @Test(arguments: [
        ([String](), true), (["http://chat.example:8080"], true), (["https://CHAT.example:8080"], true),
        (["http://chat.example"], false), (["http://evil.example"], false), (["null"], false),
        (["http://chat.example:8080.evil.example"], false), (["http://chat.example:8080@evil.example"], false),
        (["http://chat.example:8080", "http://chat.example:8080"], false),
    ])
    func withoutAListOnlyPagesOfTheNodesOwnHostComeIn(origins: [String], isAllowed: Bool) {
        #expect(code(door(), request(origins: origins)) == (isAllowed ? nil : .originNotAllowed))
    }

    @Test func theSchemesOwnPortMayBeLeftOut() {
        #expect(code(door(), request(origins: ["https://chat.example"], host: "chat.example")) == nil)
        #expect(code(door(), request(origins: ["https://chat.example"], host: "chat.example:443")) == nil)
        #expect(code(door(), request(origins: ["http://chat.example"], host: "chat.example:443")) == .originNotAllowed)
    }

    @Test func withAListOnlyThoseOnItComeIn() {
        let door = door(.init(allowedOrigins: ["https://app.example"]))
        #expect(code(door, request(origins: ["https://app.example"])) == nil)
        #expect(code(door, request(origins: ["http://chat.example:8080"])) == .originNotAllowed)
        #expect(code(door, request()) == nil)
    }

    @Test func theStateOfTheNodeIsCheckedFirst() {
        let door = door(.init(), status: { .unavailable("away") })
        #expect(code(door, request(user: nil, origins: ["http://evil.example"])) == .unavailable)
        door.startDraining()
        #expect(code(door, request()) == .draining)
        #expect(code(door, request(path: .echo)) == .draining)
        #expect(door.refusals == [.unavailable: 1, .draining: 1])
    }

    @Test func aFullNodeRefusesUntilSomebodyLeaves() throws {
        let door = door(.init(maxConnections: 2))
        let first = try door.admit(request(), on: loop).get()
        _ = try door.admit(request(), on: loop).get()
        guard case .failure(let refusal) = door.admit(request(), on: loop) else {
            Issue.record("a third was admitted")
            return
        }
        #expect(refusal.code == .full)
        #expect(refusal.headers["Retry-After"] == ["1"])
        first.closed(.lost)
        #expect(code(door, request()) == nil)
    }

    @Test func placesAreCountedForEachAddress() throws {
        let door = door(.init(maxConnectionsPerAddress: 1))
        let first = try door.admit(request(address: "10.0.0.1"), on: loop).get()
        #expect(code(door, request(address: "10.0.0.1")) == .tooManyConnections)
        #expect(code(door, request(address: "10.0.0.2")) == nil)
        first.closed(.byPeer(code: 1000))
        #expect(code(door, request(address: "10.0.0.1")) == nil)
    }
}

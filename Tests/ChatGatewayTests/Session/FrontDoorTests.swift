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
        _ settings: FrontDoor.Settings = .init(), authenticator: Authenticator? = nil,
        status: @escaping @Sendable () -> BrokerStatus = { .available }
    ) -> FrontDoor {
        let broker = MemoryBroker(eventLoop: loop, loops: [], clock: { 1 })
        let logger = Logger(label: "test", factory: { _ in SwiftLogNoOpLogHandler() })
        let directory = RoomDirectory(broker: broker, logger: logger)
        let environment = ChatSession.Environment(
            node: "n", hub: LoopHub(eventLoop: loop, index: 0, broker: broker, directory: directory, clock: { 1 }),
            registry: SessionRegistry(), limits: .init(), maxMessageBytes: 1, heartbeat: 1, presenceGrace: .zero,
            clock: { 1 }, logger: logger)
        return FrontDoor(
            settings: settings, authenticator: authenticator,
            environments: [NIOLoopBound(environment, eventLoop: loop)], storeStatus: status)
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
        let door = door(.init(origins: OriginPolicy(allowed: ["https://app.example"])))
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

    private func guarded() async throws -> (FrontDoor, TokenSigner) {
        let secret = "a secret of more than thirty-two bytes"
        var configuration = AuthenticationConfiguration()
        configuration.secret = secret
        let authenticator = try await Authenticator(
            configuration, logger: Logger(label: "test", factory: { _ in SwiftLogNoOpLogHandler() }))
        return (
            door(authenticator: authenticator),
            TokenSigner(key: try await .secret(Array(secret.utf8), algorithm: .hs256))
        )
    }

    @Test func whoHasATokenComesInUnderTheNameInIt() async throws {
        let (door, signer) = try await guarded()
        let now = WallClock.milliseconds() / 1000
        let token = try signer.sign(.init(user: "bob", issuedAt: now, expires: now + 60))
        let session = try door.admit(request(query: ["token": token]), on: loop).get()
        #expect((session as? ChatSession)?.user == .of("bob"))
        session.closed(.lost)
        var offered = request()
        offered.offeredProtocols = ["roost.v1", "bearer." + token]
        #expect(code(door, offered) == nil)
    }

    @Test func whoHasNoneOrAWrongOneDoesNot() async throws {
        let (door, signer) = try await guarded()
        let now = WallClock.milliseconds() / 1000
        let old = try signer.sign(.init(user: "bob", issuedAt: now - 100, expires: now - 60))
        for query in [[:], ["token": ""], ["token": "x"], ["token": old]] {
            guard case .failure(let refusal) = door.admit(request(query: query), on: loop) else {
                Issue.record("admitted with \(query)")
                continue
            }
            #expect(refusal.status == .unauthorized)
            #expect(refusal.code == .unauthorized)
            #expect(refusal.headers["WWW-Authenticate"] == ["Bearer"])
            #expect(!refusal.message.contains("expired"))
        }
        #expect(code(door, request(origins: ["http://evil.example"])) == .originNotAllowed)
        #expect(door.refusals == [.unauthorized: 4, .originNotAllowed: 1])
    }

    @Test func aUserHasSoManySessionsAndNoMore() throws {
        let door = door(.init(maxSessionsPerUser: 1))
        let first = try door.admit(request(), on: loop).get()
        #expect(code(door, request()) == .tooManyConnections)
        #expect(code(door, request(user: "bob")) == nil)
        first.closed(.lost)
        #expect(code(door, request()) == nil)
    }

    @Test func whoGuessesTokensIsSentAwayAndNobodyElse() async throws {
        let (door, signer) = try await guarded()
        let now = WallClock.milliseconds() / 1000
        let token = try signer.sign(.init(user: "bob", issuedAt: now, expires: now + 60))
        var codes: [ErrorCode?] = []
        for number in 0..<30 {
            codes.append(code(door, request(query: ["token": "guess\(number)"], address: "10.0.0.1")))
        }
        #expect(codes.first == .unauthorized)
        #expect(codes.last == .rateLimited)
        #expect(code(door, request(query: ["token": token], address: "10.0.0.1")) == .rateLimited)
        #expect(code(door, request(query: ["token": token], address: "10.0.0.2")) == nil)
    }
}

import ChatHub
import ChatProtocol
import Foundation
import Logging
import NIOCore
import NIOPosix
import RedisBroker
import ServiceLifecycle
import TestSupport
import Testing

@Suite("Reaching Redis and logging in")
struct LoginTests {
    private func works(_ broker: TestBroker) async throws {
        try await broker.node.subscribe(to: room())
        let receipt = try await broker.node.append(.test("hello"), to: room())
        #expect(try await broker.listener.hearsMessages(1, in: room()).map(\.position) == [receipt.position])
        try await broker.shutdown()
    }

    @Test func withAPasswordADatabaseAndAName() async throws {
        var options = RedisServer.Options()
        options.password = "s3cret/@:%"
        try await RedisServer.run(options) { server in
            let url = try RedisURL("redis://:s3cret%2F%40%3A%25@127.0.0.1:\(server.port)/3")
            let broker = try await TestBroker.start(url, node: "gateway-1")
            let clients = try await server.command("CLIENT", "LIST")
            for name in ["roost-gateway-1-0", "roost-gateway-1-1", "roost-gateway-1-subscription"] {
                #expect(clients.contains("name=\(name) "))
            }
            #expect(clients.contains(" db=3 "))
            try await works(broker)
        }
    }

    /// The rules that the README has for it.
    @Test func withAUserWhoMayDoNothingElse() async throws {
        let readme = try String(
            contentsOf: URL(filePath: #filePath).deletingLastPathComponent().appending(path: "../../README.md"),
            encoding: .utf8)
        let line = try #require(readme.split(separator: "\n").first { $0.hasPrefix("ACL SETUSER roost ") })
        try await RedisServer.run { server in
            try await server.command(line.split(separator: " ").map { $0 == ">PASSWORD" ? ">pass" : String($0) })
            try await works(TestBroker.start(RedisURL("redis://roost:pass@127.0.0.1:\(server.port)")))
            #expect(try await server.command("ACL", "LOG").isEmpty)
            for command in [
                "FLUSHALL", "FLUSHDB", "KEYS *", "DEBUG SLEEP 0", "SHUTDOWN", "CONFIG SET maxmemory 1", "ACL LIST",
                "MONITOR", "SCRIPT FLUSH", "FUNCTION FLUSH", "REPLICAOF NO ONE", "SAVE", "GET other", "DEL other",
                "PUBLISH other x", "SUBSCRIBE other", "PSUBSCRIBE *",
            ] {
                let words = ["ACL", "DRYRUN", "roost"] + command.split(separator: " ").map(String.init)
                #expect(try await server.command(words) != "OK", "\(command)")
            }
            #expect(try await server.command("ACL", "DRYRUN", "roost", "PUBLISH", "roost:{general}", "x") == "OK")
        }
    }

    @Test func throughAUnixSocket() async throws {
        try await RedisServer.run { server in
            try await works(TestBroker.start(RedisURL("unix://\(server.socketPath)?db=2")))
        }
    }

    @Test func overTLSWithACAFile() async throws {
        let folder = try ScratchFolder("tls")
        defer { folder.remove() }
        var options = RedisServer.Options()
        let certificate = try await TestCertificate.make(in: folder.url)
        options.certificate = certificate
        try await RedisServer.run(options) { server in
            try await works(
                TestBroker.start(RedisURL("rediss://localhost:\(server.port)")) {
                    $0.tlsCAFile = certificate.certificate
                })
            try await works(
                TestBroker.start(RedisURL(server.url)) {
                    $0.tlsCAFile = certificate.certificate
                    $0.tlsServerName = "localhost"
                })
            let stranger = try await TestBroker.start(server, waits: false)
            try await eventually("a certificate that nobody vouches for is refused") {
                stranger.broker.status.reason.contains("TLS failed") ? true : nil
            }
            try await stranger.shutdown()
        }
    }

    @Test func aWrongCAFileIsSaidBeforeAnythingIsTried() throws {
        var configuration = RedisBrokerConfiguration(url: try RedisURL("rediss://localhost"), node: "node")
        configuration.tlsCAFile = "/nowhere/ca.pem"
        let failure = #expect(throws: RedisTLSError.self) {
            try RedisBroker(
                configuration: configuration, group: MultiThreadedEventLoopGroup.singleton,
                logger: Logger(label: "test", factory: { _ in SwiftLogNoOpLogHandler() }))
        }
        #expect(failure?.description.contains("/nowhere/ca.pem") == true)
    }

    @Test(arguments: [":wrong@", "nobody:wrong@", ""])
    func aWrongLoginIsSaidPlainlyAndNotFatal(login: String) async throws {
        var options = RedisServer.Options()
        options.password = "right"
        try await RedisServer.run(options) { server in
            let broker = try await TestBroker.start(
                RedisURL("redis://\(login)127.0.0.1:\(server.port)"), waits: false)
            try await eventually("the reason is known") {
                broker.broker.status.reason.contains(login.isEmpty ? "NOAUTH" : "WRONGPASS") ? true : nil
            }
            #expect(!broker.broker.status.reason.contains("wrong"), "the password is not shown")
            // Corrected in Redis instead: the broker goes on trying.
            try await server.command("ACL", "SETUSER", "default", login.isEmpty ? "nopass" : ">wrong")
            try await server.command("ACL", "SETUSER", "nobody", "on", ">wrong", "allkeys", "allchannels", "+@all")
            try await broker.isAvailable()
            try await broker.shutdown()
        }
    }

    @Test func aReplicaIsNotGoodEnough() async throws {
        try await RedisServer.run { primary in
            try await RedisServer.run { replica in
                try await replica.command("REPLICAOF", "127.0.0.1", "\(primary.port)")
                let broker = try await TestBroker.start(replica, waits: false)
                try await eventually("the reason is known") {
                    broker.broker.status.reason.contains("not a primary") ? true : nil
                }
                try await replica.command("REPLICAOF", "NO", "ONE")
                try await broker.isAvailable()
                // Demoted under the broker's feet.
                let heard = broker.listener.events.count
                try await replica.command("REPLICAOF", "127.0.0.1", "\(primary.port)")
                let reason = try await broker.isUnavailable(after: heard)
                #expect(reason.contains("READONLY") || reason.contains("not a primary"))
                try await broker.shutdown()
            }
        }
    }

    private func service(_ server: RedisServer) throws -> (RedisBroker, ServiceGroup) {
        let logger = Logger(label: "test", factory: { _ in SwiftLogNoOpLogHandler() })
        let broker = try RedisBroker(
            configuration: .init(url: RedisURL(server.url), node: "node"),
            group: MultiThreadedEventLoopGroup.singleton, logger: logger)
        return (broker, ServiceGroup(services: [broker], logger: logger))
    }

    @Test func aRedisThatMayThrowLogsAwayEndsTheStart() async throws {
        var options = RedisServer.Options()
        options.arguments = ["--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru"]
        try await RedisServer.run(options) { server in
            let (_, services) = try service(server)
            let failure = await #expect(throws: UnsuitableRedis.self) { try await services.run() }
            #expect(failure?.description.contains("allkeys-lru") == true)
        }
    }

    @Test func aRedisThatMayThrowLogsAwayLaterMakesTheNodeUnavailableWithTheReason() async throws {
        try await RedisServer.run { server in
            let (broker, services) = try service(server)
            async let run: Void = services.run()
            let node = try await BrokerNode(broker)
            _ = try await node.listener.hears("available") { $0.contains(.status(.available)) ? true : nil }
            try await server.command("CONFIG", "SET", "maxmemory", "100mb", "maxmemory-policy", "volatile-lru")
            try await server.command("CLIENT", "KILL", "TYPE", "normal")
            try await eventually("the reason is known") { broker.status.reason.contains("volatile-lru") ? true : nil }
            try await server.command("CONFIG", "SET", "maxmemory-policy", "noeviction")
            try await eventually("it is available again") { broker.status == .available ? true : nil }
            await services.triggerGracefulShutdown()
            try await run
        }
    }

    @Test func aUserWithoutTheRightToSeeThePolicyIsGoodEnough() async throws {
        try await RedisServer.run { server in
            try await server.command(
                "ACL", "SETUSER", "roost", "on", ">pass", "~roost:*", "&roost:*", "+@all", "-config")
            try await works(TestBroker.start(RedisURL("redis://roost:pass@127.0.0.1:\(server.port)")))
        }
    }

    @Test func asAServiceItEndsInGoodOrderWhenTheGroupShutsDown() async throws {
        try await RedisServer.run { server in
            let broker = try RedisBroker(
                configuration: .init(url: RedisURL(server.url), node: "node"),
                group: MultiThreadedEventLoopGroup.singleton,
                logger: Logger(label: "test", factory: { _ in SwiftLogNoOpLogHandler() }))
            let services = ServiceGroup(
                services: [broker], logger: Logger(label: "test", factory: { _ in SwiftLogNoOpLogHandler() }))
            async let run: Void = services.run()
            let node = try await BrokerNode(broker)
            _ = try await node.listener.hears("available") { $0.contains(.status(.available)) ? true : nil }
            _ = try await node.enter(room(), .random(), user("alice"))
            await services.triggerGracefulShutdown()
            try await run
            #expect(try await server.command("KEYS", "*") == "")
            #expect(broker.status != .available)
        }
    }
}

extension BrokerStatus {
    var reason: String {
        switch self {
        case .available: ""
        case .unavailable(let reason): reason
        }
    }
}

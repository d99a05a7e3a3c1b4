import ChatHub
import Hiredis
import NIOCore
import Testing

@testable import RedisBroker

@Suite("One connection to Redis")
struct ConnectionMachineTests {
    private typealias Machine = RedisConnection.StateMachine<String>
    private let start = NIODeadline.uptimeNanoseconds(1_000_000_000)
    private let ok = Reply.status(ByteBuffer(string: "OK"))

    private func handshake(_ url: String = "redis://host", scripts: [Script] = []) throws -> RedisHandshake {
        RedisHandshake(url: try RedisURL(url), clientName: "name", scripts: scripts)
    }

    private func machine(isSubscription: Bool = false, isReady: Bool = true) throws -> Machine {
        var machine = Machine(
            handshake: try handshake(), isSubscription: isSubscription, now: start, handshakeTimeout: .seconds(2),
            commandTimeout: .seconds(2), pingInterval: .seconds(5))
        if isReady { for _ in 0..<6 { _ = machine.received(ok, at: start) } }
        return machine
    }

    // MARK: Handshake

    @Test func everythingIsSaidInOneGo() throws {
        #expect(
            try handshake().commands == [
                ["CLIENT", "SETNAME", "name"], ["CLIENT", "INFO"], ["ROLE"], ["INFO", "replication"],
                ["CONFIG", "GET", "maxmemory*"], ["PING"],
            ])
        #expect(
            try handshake("redis://me:pw@host/2", scripts: [.leave]).commands == [
                ["AUTH", "me", "pw"], ["SELECT", 2], ["CLIENT", "SETNAME", "name"], ["CLIENT", "INFO"], ["ROLE"],
                ["INFO", "replication"], ["CONFIG", "GET", "maxmemory*"], ["PING"],
                ["SCRIPT", "LOAD", .text(Script.leave.source)],
            ])
        #expect(try handshake("redis://:pw@host").commands.first == ["AUTH", "pw"])
    }

    @Test func itEndsWithTheNamesOfTheScripts() throws {
        var handshake = try handshake(scripts: [.enter, .leave])
        for _ in 0..<6 { #expect(handshake.received(ok) == .more) }
        #expect(handshake.received(.bulk(ByteBuffer(string: "abc"))) == .more)
        #expect(handshake.received(.error("NOPERM no script")) == .done(["abc", nil]))
    }

    @Test(arguments: [
        ("redis://:pw@host", 0, "WRONGPASS invalid username-password pair", "WRONGPASS"),
        ("redis://:pw@host", 0, "ERR AUTH <password> called without any password", "take it out"),
        ("redis://:pw@host", 0, "ERR unknown command 'AUTH', with args beginning with: 'secret'", "(ERR)"),
        ("redis://host/7", 0, "ERR DB index is out of range", "database 7"),
        ("redis://host", 5, "NOAUTH Authentication required.", "put it into the Redis URL"),
        ("redis://host", 5, "LOADING Redis is loading the dataset in memory", "LOADING"),
        ("redis://host", 5, "BUSY Redis is busy running a script", "BUSY"),
    ])
    func aRefusalIsPlain(_ url: String, _ before: Int, _ error: String, _ reason: String) throws {
        var handshake = try handshake(url)
        for _ in 0..<before { #expect(handshake.received(ok) == .more) }
        guard case .refused(let said) = handshake.received(.error(error)) else {
            Issue.record("not refused")
            return
        }
        #expect(said.contains(reason))
        #expect(!said.contains("secret"), "what was sent is never shown")
    }

    @Test func aReplicaIsRefusedAndMissingRightsAreNot() throws {
        var handshake = try handshake()
        #expect(handshake.received(.error("NOPERM this user has no permissions to run 'client'")) == .more)
        #expect(handshake.received(.error("NOPERM")) == .more)
        var other = handshake
        #expect(handshake.received(.error("NOPERM")) == .more)
        guard case .refused(let said) = other.received(.array([.bulk(ByteBuffer(string: "slave")), .integer(1)])) else {
            Issue.record("not refused")
            return
        }
        #expect(said.contains("slave"))
    }

    @Test func whatRedisSaysOfItsHistoryIsTheGeneration() throws {
        var handshake = try handshake()
        for _ in 0..<3 { #expect(handshake.received(ok) == .more) }
        let info = "# Replication\r\nrole:master\r\nmaster_replid:0123456789abcdef0123456789abcdef01234567\r\n"
        #expect(handshake.received(.bulk(ByteBuffer(string: info))) == .more)
        #expect(handshake.generation == "0123456789abcdef")
        #expect(StoreGeneration.read("role:master") == nil)
        #expect(StoreGeneration.read("master_replid:\r\n") == nil)
    }

    @Test func aNewGenerationSettlesAfterAWhileAndTheFirstOneAtOnce() {
        var generation = StoreGeneration(settlingTime: .seconds(1))
        let replaced = [("a", 0), ("a", 5), (nil, 5), ("b", 6)].map { id, second in
            generation.connected(to: id, at: start + .seconds(second))
        }
        // The first one, the same again, a user without the right to ask, another one.
        #expect(replaced == [false, false, false, true])
        #expect(generation.current == "b")
        #expect(generation.settles(after: start + .seconds(6)) == start + .seconds(7))
        #expect(generation.settles(after: start + .seconds(7)) == nil)
        generation = StoreGeneration(settlingTime: .seconds(1))
        _ = generation.connected(to: "a", at: start)
        #expect(generation.settles(after: start) == nil)
    }

    private func settings(_ pairs: [String]) -> Reply { .array(pairs.map { .bulk(ByteBuffer(string: $0)) }) }

    @Test(arguments: ["allkeys-lru", "volatile-ttl"])
    func aRedisThatMayThrowLogsAwayIsUnsuitable(policy: String) throws {
        var handshake = try handshake()
        for _ in 0..<4 { #expect(handshake.received(ok) == .more) }
        let answer = ["maxmemory", "1000", "maxmemory-samples", "5", "maxmemory-policy", policy]
        guard case .unsuitable(let said) = handshake.received(settings(answer)) else {
            Issue.record("not unsuitable")
            return
        }
        #expect(said.contains(policy) && said.contains("noeviction"), "says what is wrong and what to do")
    }

    @Test(arguments: [
        ["maxmemory", "0", "maxmemory-policy", "allkeys-lru"], ["maxmemory-policy", "noeviction", "maxmemory", "1"],
    ])
    func aRedisThatKeepsWhatItWasGivenIsSuitable(answer: [String]) throws {
        var handshake = try handshake()
        for _ in 0..<4 { #expect(handshake.received(ok) == .more) }
        #expect(handshake.received(settings(answer)) == .more)
        #expect(!handshake.hidesPolicy)
    }

    @Test func aRedisThatDoesNotTellItsPolicyIsUsedAndItIsNoted() throws {
        for answer in [Reply.error("NOPERM"), settings([]), settings(["maxmemory", "1"])] {
            var handshake = try handshake()
            for _ in 0..<4 { #expect(handshake.received(ok) == .more) }
            #expect(handshake.received(answer) == .more)
            #expect(handshake.hidesPolicy)
        }
    }

    @Test func aSentinelIsAskedForNothingThatItDoesNotHave() throws {
        let url = try RedisURL("redis+sentinel://me:pw@host/main/2?sentinel_password=s")
        #expect(
            RedisHandshake(url: url.ofSentinels, clientName: "name", scripts: [], peer: .guide).commands
                == [["AUTH", "s"], ["CLIENT", "SETNAME", "name"], ["PING"]])
        #expect(
            RedisHandshake(url: url, clientName: "name", scripts: []).commands.prefix(2)
                == [["AUTH", "me", "pw"], ["SELECT", 2]])
    }

    @Test func theConnectionThatIsReplacedIsEndedFirst() throws {
        var handshake = try handshake()
        #expect(handshake.received(ok) == .more)
        let info = "id=7 addr=10.0.0.1:50000 laddr=10.0.0.2:6379 fd=8 name=name"
        #expect(handshake.received(.bulk(ByteBuffer(string: info))) == .more)
        let identity = try #require(handshake.identity)
        let next = RedisHandshake(
            url: try RedisURL("redis://:pw@host"), clientName: "name", scripts: [], previous: identity)
        #expect(
            next.commands.prefix(2) == [["AUTH", "pw"], ["CLIENT", "KILL", "ID", 7, "ADDR", "10.0.0.1:50000"]])
        for answer in ["id=7", "id=x addr=a", "addr=a"] {
            #expect(RedisClientIdentity(.bulk(ByteBuffer(string: answer))) == nil)
        }
        #expect(RedisClientIdentity(.error("NOPERM")) == nil)
    }

    // MARK: Commands

    @Test func answersBelongToCommandsInOrder() throws {
        var machine = try machine()
        #expect(machine.isReady)
        for name in ["a", "b"] { machine.sent(name, at: start, deadline: start + .seconds(2)) }
        for name in ["a", "b"] {
            guard case .answered(name, sentAt: start) = machine.received(ok, at: start + .seconds(1)) else {
                Issue.record("\(name) was not answered")
                return
            }
        }
        guard case .close = machine.received(ok, at: start + .seconds(1)) else {
            Issue.record("an answer too many is a fault")
            return
        }
    }

    @Test func aCommandWithoutAnswerEndsTheConnectionForAll() throws {
        var machine = try machine()
        machine.sent("a", at: start, deadline: start + .seconds(2))
        machine.sent("b", at: start, deadline: start + .seconds(1))
        #expect(machine.nextTick == start + .seconds(1))
        #expect(machine.ticked(at: start + .milliseconds(999)) == .nothing)
        guard case .close = machine.ticked(at: start + .seconds(1)) else {
            Issue.record("not closed")
            return
        }
        #expect(machine.closed() == ["a", "b"])
        #expect(machine.isClosed)
        #expect(machine.nextTick == nil)
        #expect(machine.closed() == [])
    }

    @Test func silenceIsAskedAndAnAnswerIsLife() throws {
        var machine = try machine()
        #expect(machine.nextTick == start + .seconds(5))
        #expect(machine.ticked(at: start + .seconds(5)) == .ping)
        #expect(machine.nextTick == start + .seconds(7))
        guard case .nothing = machine.received(ok, at: start + .seconds(6)) else {
            Issue.record("the answer to a PING is nobody's")
            return
        }
        #expect(machine.ticked(at: start + .seconds(7)) == .nothing)
        #expect(machine.ticked(at: start + .seconds(11)) == .ping)
        guard case .close = machine.ticked(at: start + .seconds(13)) else {
            Issue.record("not closed")
            return
        }
    }

    @Test func aLoginWithoutAnswerEnds() throws {
        var machine = try machine(isReady: false)
        #expect(!machine.isReady)
        #expect(machine.nextTick == start + .seconds(2))
        guard case .close = machine.ticked(at: start + .seconds(2)) else {
            Issue.record("not closed")
            return
        }
    }

    @Test func aSubscribingConnectionOnlyListens() throws {
        var machine = try machine(isSubscription: true)
        #expect(machine.nextTick == nil, "its life is proved by probes")
        guard case .pushed = machine.received(.array([]), at: start) else {
            Issue.record("not handed on")
            return
        }
    }

    @Test(arguments: [
        ("OOM command not allowed", true), ("MISCONF disk", true), ("READONLY You can't write", true),
        ("LOADING", true), ("BUSY running", true), ("NOREPLICAS", true), ("WRONGTYPE Operation", false),
        ("ERR unknown", false), ("OOMPH", false),
    ])
    func errorsThatPassAreUnavailable(_ text: String, _ passes: Bool) {
        #expect((RedisError.brokerError(text).code == .unavailable) == passes)
        #expect(!RedisError.brokerError("ERR a\r\nb").message.contains("b"))
    }
}

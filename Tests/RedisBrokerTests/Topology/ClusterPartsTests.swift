import ChatProtocol
import Hiredis
import NIOCore
import TestSupport
import Testing

@testable import RedisBroker

@Suite("What is known of a cluster")
struct ClusterPartsTests {
    private let a = RedisURL.Endpoint.tcp(host: "a", port: 1)
    private let b = RedisURL.Endpoint.tcp(host: "b", port: 2)
    private let c = RedisURL.Endpoint.tcp(host: "c", port: 3)

    // MARK: Slots

    @Test(arguments: [
        ("123456789", 0x31C3), ("foo", 12182), ("bar", 5061), ("{user1000}.following", 3443), ("user1000", 3443),
        ("foo{}{bar}", 8363), ("foo{{bar}}zap", 4015), ("foo{bar}{zap}", 5061), ("", 0), ("{}", 15257),
    ])
    func aKeyHasTheSlotThatRedisGivesIt(key: String, slot: Int) {
        #expect(HashSlot.of(key) == slot % HashSlot.count)
    }

    @Test func everythingOfARoomIsInItsSlot() throws {
        let keys = Keys(prefix: "roost")
        let name = try room("general")
        for key in [
            keys.log(name), keys.retried(name), keys.sessions(name), keys.users(name), keys.channel(name),
        ] { #expect(HashSlot.of(key) == HashSlot.of(name)) }
    }

    @Test func aProbeFindsAChannelInAnySlot() throws {
        for slot in [0, 16_383] {
            let tag = try #require(HashSlot.tag { $0 == slot })
            #expect(HashSlot.of(Keys(prefix: "roost").probe(of: "node.1", tag: tag)) == slot)
        }
    }

    // MARK: Redirections

    @Test func redirectionsAreReadAndOtherErrorsAreNone() {
        #expect(
            Redirection("MOVED 3999 127.0.0.1:6381") == .moved(slot: 3999, to: .init(host: "127.0.0.1", port: 6381)))
        #expect(Redirection("ASK 0 ::1:6381") == .asked(slot: 0, of: .init(host: "::1", port: 6381)))
        #expect(Redirection("MOVED 3999 :6381") == .moved(slot: 3999, to: .init(host: "", port: 6381)))
        #expect(Redirection("MOVED 3999 ?:6381") == .moved(slot: 3999, to: .init(host: "", port: 6381)))
        for later in [
            "TRYAGAIN Multiple keys", "CLUSTERDOWN Hash slot not served", "LOADING Redis is", "MASTERDOWN Link",
        ] {
            #expect(Redirection(later) == .later)
        }
        for other in [
            "MOVED", "MOVED x a:1", "MOVED 16384 a:1", "MOVED -1 a:1", "MOVED 1 a", "MOVED 1 a:0", "MOVED 1 a:x",
            "MOVEDx 1 a:1", "ERR", "", "NOPERM", "not connected",
        ] {
            #expect(Redirection(other) == nil)
        }
        #expect(Redirection.Place(host: "", port: 7).endpoint(seenFrom: a) == .tcp(host: "a", port: 7))
        #expect(Redirection.Place(host: "x", port: 7).endpoint(seenFrom: a) == .tcp(host: "x", port: 7))
    }

    // MARK: The table

    private func bulk(_ text: String) -> Reply { .bulk(ByteBuffer(string: text)) }

    private func node(
        _ host: Reply, _ port: Int64, _ role: String, health: String = "online", ip: String = "10.0.0.1"
    ) -> Reply {
        .array([
            bulk("id"), bulk("x"), bulk("port"), .integer(port), bulk("tls-port"), .integer(port + 100), bulk("ip"),
            bulk(ip), bulk("endpoint"), host, bulk("role"), bulk(role), bulk("health"), bulk(health),
        ])
    }

    private func shard(_ slots: [Int64], _ nodes: Reply...) -> Reply {
        .array([bulk("slots"), .array(slots.map { .integer($0) }), bulk("nodes"), .array(nodes)])
    }

    @Test func whatANodeTellsBecomesATable() throws {
        let reply = Reply.array([
            shard([0, 99, 200, 200], node(bulk("a"), 1, "master"), node(bulk("r"), 9, "replica")),
            shard([100, 199], node(bulk("b"), 2, "master", health: "fail")),
            // One that was replaced, or is new.
            shard([], node(bulk("c"), 3, "master")),
        ])
        let table = try #require(SlotTable(shards: reply, asked: c, usesTLS: false))
        #expect([0, 99, 100, 199, 200, 201].map { table.owner(of: $0) } == [a, a, b, b, a, nil])
        #expect(table.primaries.map(\.endpoint) == [a, b])
        #expect(Array(table.sound) == [a], "who has failed is nobody's trouble")
        #expect(table.nodes == [a, .tcp(host: "r", port: 9), b, c])
        #expect(table.serves(b) && !table.serves(c))
        let secure = try #require(SlotTable(shards: reply, asked: c, usesTLS: true))
        #expect(secure.owner(of: 0) == .tcp(host: "a", port: 101))
    }

    @Test func aNodeThatDoesNotKnowItsHostIsWhereItWasAsked() throws {
        for (host, ip, found) in [(Reply.null, "", "c"), (bulk("?"), "", "c"), (bulk(""), "10.0.0.1", "10.0.0.1")] {
            let reply = Reply.array([shard([0, 16_383], node(host, 7, "master", ip: ip))])
            let table = try #require(SlotTable(shards: reply, asked: c, usesTLS: false))
            #expect(table.owner(of: 5) == .tcp(host: found, port: 7))
        }
    }

    @Test func whatIsNotATableIsNone() {
        let replies: [Reply] = [
            .null, bulk("x"), .array([.null]), .array([.array([bulk("slots"), .null])]),
            .array([shard([5, 4], node(bulk("a"), 1, "master"))]),
            .array([shard([0, 16_384], node(bulk("a"), 1, "master"))]),
            .array([shard([-1, 4], node(bulk("a"), 1, "master"))]),
        ]
        for reply in replies { #expect(SlotTable(shards: reply, asked: a, usesTLS: false) == nil) }
    }

    @Test func aSlotThatMovesLeavesTheOthersAndMayEmptyAPrimary() throws {
        let reply = Reply.array([
            shard([0, 0], node(bulk("a"), 1, "master")), shard([1, 9], node(bulk("b"), 2, "master")),
        ])
        var table = try #require(SlotTable(shards: reply, asked: nil, usesTLS: false))
        let before = table
        #expect(table.moved(0, to: a) == false)
        #expect(table.moved(0, to: b) == true)
        #expect(table.owner(of: 0) == b)
        #expect(!table.serves(a))
        #expect(!table.hasOwners(of: before))
        #expect(table.moved(1, to: c) == true)
        #expect(table.owner(of: 1) == c && table.owner(of: 2) == b)
        var empty = SlotTable()
        #expect(empty.moved(7, to: a) == true)
        #expect(empty.owner(of: 7) == a && empty.owner(of: 8) == nil)
    }

    // MARK: Whom to ask

    @Test func seedsAndNodesAreAskedInTurn() {
        var candidates = ClusterCandidates(seeds: [a, b])
        let seeds = (0..<3).map { _ in candidates.next() }
        #expect(seeds == [a, b, a])
        candidates.nodes = [b, c]
        let all = (0..<3).map { _ in candidates.next() }
        #expect(Set(all) == [a, b, c])
    }

    @Test func whoWasCutOffIsNotBelievedUnlessNobodyKnowsMore() {
        var candidates = ClusterCandidates(seeds: [a, b])
        #expect(candidates.accepts(epoch: 7) == true)
        #expect(candidates.accepts(epoch: 6) == false)
        #expect(candidates.accepts(epoch: nil) == true, "no right to see it")
        #expect(candidates.accepts(epoch: 8) == true)
        let answers = (0..<4).map { _ in candidates.accepts(epoch: 1) }
        #expect(answers == [false, false, true, true], "the cluster was made anew")
        #expect(ClusterCandidates.epoch(inInfo: "cluster_state:ok\r\ncluster_current_epoch:12\r\n") == 12)
        #expect(ClusterCandidates.epoch(inInfo: "cluster_state:ok") == nil)
    }

    // MARK: Scripts

    @Test func inAClusterScriptsPublishToTheirSlot() {
        for (plain, sharded) in zip(Script.all, Script.sharded) {
            #expect(plain.index == sharded.index)
            #expect(!sharded.source.contains("'PUBLISH'"))
            #expect(sharded.source.contains("'SPUBLISH'") == plain.source.contains("'PUBLISH'"))
        }
        #expect(Script.sharded[Script.append.index].source.contains("'SPUBLISH'"))
    }

    // MARK: Patience

    @Test func whileAClusterReplacesAPrimaryANodeStaysAvailable() {
        let start = NIODeadline.uptimeNanoseconds(1_000_000_000)
        var links = LoopLinks(loops: 2, why: "not yet", patience: .seconds(3), isForAll: true)
        for loop in 0..<2 { links.changed(loop, failure: nil, at: start) }
        for loop in 0..<2 { links.changed(loop, failure: "lost", at: start) }
        #expect(links.failure(at: start + .milliseconds(2_999), isLenient: true) == nil)
        #expect(links.failure(at: start + .milliseconds(2_999), isLenient: false) == "lost")
        #expect(links.failure(at: start + .seconds(3), isLenient: true) == "lost")
    }
}

import NIOCore
import TestSupport
import Testing

@testable import RedisBroker

/// Nodes that beat, stop, hang and lose their store at random: nobody is declared dead who could not have beaten in time,
/// and whoever is gone is.
@Suite("Leases, by random schedules")
struct LeaseScheduleTests {
    /// What the heartbeat script does, in ms.
    private struct Store {
        static let lease = 3_000
        var scores: [String: Int] = [:]
        /// When each name beat last, whatever the store remembers.
        var heard: [String: Int] = [:]
        var upSince = 0

        mutating func beat(_ name: String, isNew: Bool, mayJudge: Bool, at now: Int) throws -> NodeLease.Answer {
            let before = scores[name]
            if before == 0 || (before == nil && !isNew) { return .lost }
            scores[name] = now
            heard[name] = now
            if before ?? -1 < now - Self.lease { return .lapsed }
            if mayJudge {
                for (other, score) in scores where score > 0 && score < now - Self.lease {
                    let silentSince = max(heard[other] ?? 0, upSince)
                    try expect(now - silentSince > Self.lease, "\(other) is dead since \(silentSince), at \(now)")
                    scores[other] = 0
                }
            }
            return .renewed
        }
    }

    private struct Node {
        var lease = NodeLease(timeout: .milliseconds(Int64(Store.lease)))
        var name: String
        var lives = 0
        var nextBeat: Int
        /// Stopped by a signal until then.
        var hangsUntil = 0
        var isGone = false
    }

    private func instant(_ milliseconds: Int) -> NIODeadline {
        .uptimeNanoseconds(UInt64(milliseconds) * 1_000_000)
    }

    @Test func onlyTheSilentAreDeclaredDead() async throws {
        try await RandomSchedules.run(200) { random in
            var store = Store()
            var nodes = (0..<3).map { Node(name: "\($0).0", nextBeat: Int.random(in: 0..<1_000, using: &random)) }
            var downUntil = 0
            var deaths: [String: Int] = [:]
            var now = 10_000
            while now < 70_000 {
                now += 100
                if now > downUntil, random.chance(0.002) {
                    downUntil = now + Int.random(in: 100...12_000, using: &random)
                    // It comes back as it was, or with what it held before, or empty.
                    if random.chance(0.3) {
                        store.scores = random.chance(0.5) ? [:] : store.scores.mapValues { $0 == 0 ? 0 : $0 - 1 }
                    }
                    store.upSince = downUntil
                    for index in nodes.indices {
                        nodes[index].lease.failed()
                        // Found again after a pause of up to two seconds.
                        nodes[index].nextBeat = downUntil + Int.random(in: 0...2_000, using: &random)
                    }
                }
                for index in nodes.indices {
                    var node = nodes[index]
                    defer { nodes[index] = node }
                    if random.chance(0.001) { node.hangsUntil = now + Int.random(in: 500...9_000, using: &random) }
                    if index == 2, now > 40_000 { node.isGone = true }
                    guard !node.isGone, now > node.hangsUntil, now > downUntil, now >= node.nextBeat else { continue }
                    node.nextBeat = now + Int.random(in: 900...1_100, using: &random)
                    if random.chance(0.02) {
                        // The node found that the store was replaced.
                        node.lease.renamed()
                        if node.lease.isHeld, !node.lease.isRegistered {
                            node.lives += 1
                            node.name = "\(index).\(node.lives)"
                        }
                    }
                    guard let beat = node.lease.beat(at: instant(now)) else { continue }
                    if random.chance(0.05) {
                        node.lease.failed()
                        continue
                    }
                    let answer: NodeLease.Answer =
                        switch beat {
                        case .register: try store.beat(node.name, isNew: true, mayJudge: false, at: now)
                        case .renew(let mayJudge):
                            try store.beat(node.name, isNew: false, mayJudge: mayJudge, at: now)
                        }
                    if node.lease.answered(answer, at: instant(now)) {
                        deaths[node.name, default: 0] += 1
                        try expectEqual(deaths[node.name], 1, "times that \(node.name) learns of its death")
                        node.lives += 1
                        node.name = "\(index).\(node.lives)"
                        try expect(node.lease.beat(at: instant(now)) == .register, "it registers anew at once")
                        let again = try store.beat(node.name, isNew: true, mayJudge: false, at: now)
                        try expect(!node.lease.answered(again, at: instant(now)), "under a name that nobody knows")
                    }
                    try expect(node.lease.isHeld, "who was answered is among the living")
                }
            }
            // The one that went away at 40 s is dead unless the others had no time to judge.
            let gone = nodes[2].name
            if downUntil < 55_000, nodes[..<2].contains(where: { $0.hangsUntil < 55_000 }) {
                try expect((store.scores[gone] ?? 0) == 0, "\(gone) was found dead")
            }
        }
    }
}

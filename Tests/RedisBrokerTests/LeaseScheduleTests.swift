import NIOCore
import TestSupport
import Testing

@testable import RedisBroker

/// Nodes that beat, stop, hang and lose their store at random, and a store that hangs: nobody is declared dead who could
/// not have beaten in time, and whoever is gone is.
@Suite("Leases, by random schedules")
struct LeaseScheduleTests {
    /// What the heartbeat script does, in ms.
    private struct Store {
        static let lease = 3_000
        var scores: [String: Int] = [:]
        /// When each name beat last, whatever the store remembers.
        var heard: [String: Int] = [:]
        var upSince = 0

        /// - Parameter answered: when its caller was answered last, if it may judge.
        mutating func beat(_ name: String, isNew: Bool, answered: Int?, at now: Int) throws -> NodeLease.Answer {
            let before = scores[name]
            if before == 0 || (before == nil && !isNew) { return .lost }
            scores[name] = now
            heard[name] = now
            if before ?? -1 < now - Self.lease / 2 { return .late }
            if let answered, answered == before {
                for (other, score) in scores where score > 0 && score < now - Self.lease {
                    let silentSince = max(heard[other] ?? 0, upSince)
                    try expect(now - silentSince > Self.lease, "\(other) is dead since \(silentSince), at \(now)")
                    scores[other] = 0
                }
            }
            return .renewed
        }

        mutating func answer(
            _ beat: NodeLease.Beat, of name: String, answered: Int, at now: Int
        ) throws -> NodeLease.Answer {
            switch beat {
            case .register: try self.beat(name, isNew: true, answered: nil, at: now)
            case .renew(let mayJudge): try self.beat(name, isNew: false, answered: mayJudge ? answered : nil, at: now)
            }
        }
    }

    /// What the store has not looked at yet, because it hangs.
    private struct Call {
        var node: Int
        var name: String
        var beat: NodeLease.Beat
        var sentAt: Int
        var answeredAt: Int
        /// The node does not wait for the answer any more.
        var isAbandoned = false
    }

    private struct Node {
        var lease = NodeLease(timeout: .milliseconds(Int64(Store.lease)))
        var name: String
        var lives = 0
        var nextBeat: Int
        var answeredAt = 0
        /// Stopped by a signal until then.
        var hangsUntil = 0
        var isGone = false

        mutating func hear(
            _ answer: NodeLease.Answer, as index: Int, from store: inout Store, deaths: inout [String: Int], at now: Int
        ) throws {
            answeredAt = now
            if lease.answered(answer, at: instant(now)) {
                deaths[name, default: 0] += 1
                try expectEqual(deaths[name], 1, "times that \(name) learns of its death")
                lives += 1
                name = "\(index).\(lives)"
                try expect(lease.beat(at: instant(now)) == .register, "it registers anew at once")
                let again = try store.beat(name, isNew: true, answered: nil, at: now)
                try expect(!lease.answered(again, at: instant(now)), "under a name that nobody knows")
            }
            try expect(lease.isHeld, "who was answered is among the living")
        }
    }

    @Test func onlyTheSilentAreDeclaredDead() async throws {
        try await RandomSchedules.run(200) { random in
            var store = Store()
            var nodes = (0..<3).map { Node(name: "\($0).0", nextBeat: Int.random(in: 0..<1_000, using: &random)) }
            var downUntil = 0
            var storeHangsUntil = 0
            var calls: [Call] = []
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
                    calls.removeAll()
                    for index in nodes.indices {
                        nodes[index].lease.failed()
                        // Found again after a pause of up to two seconds.
                        nodes[index].nextBeat = downUntil + Int.random(in: 0...2_000, using: &random)
                    }
                }
                if now > max(storeHangsUntil, downUntil), random.chance(0.003) {
                    storeHangsUntil = now + Int.random(in: 200...6_000, using: &random)
                    // Whoever beats after so long is late, to the step.
                    if storeHangsUntil - now > Store.lease / 2 + 100 { store.upSince = storeHangsUntil }
                }
                for index in calls.indices where !calls[index].isAbandoned && now - calls[index].sentAt > 2_000 {
                    calls[index].isAbandoned = true
                    nodes[calls[index].node].lease.failed()
                    nodes[calls[index].node].nextBeat = now + Int.random(in: 0...1_000, using: &random)
                }
                if now >= storeHangsUntil {
                    let waiting = calls.shuffled(using: &random)
                    calls.removeAll()
                    for call in waiting where !call.isAbandoned || random.chance(0.5) {
                        let answer = try store.answer(call.beat, of: call.name, answered: call.answeredAt, at: now)
                        guard !call.isAbandoned, nodes[call.node].name == call.name else { continue }
                        try nodes[call.node].hear(answer, as: call.node, from: &store, deaths: &deaths, at: now)
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
                    guard now >= storeHangsUntil else {
                        calls.append(
                            Call(node: index, name: node.name, beat: beat, sentAt: now, answeredAt: node.answeredAt))
                        continue
                    }
                    let answer = try store.answer(beat, of: node.name, answered: node.answeredAt, at: now)
                    try node.hear(answer, as: index, from: &store, deaths: &deaths, at: now)
                }
            }
            // The one that went away at 40 s is dead unless the others had no time to judge.
            let gone = nodes[2].name
            if max(downUntil, storeHangsUntil) < 55_000, nodes[..<2].contains(where: { $0.hangsUntil < 55_000 }) {
                try expect((store.scores[gone] ?? 0) == 0, "\(gone) was found dead")
            }
        }
    }
}

private func instant(_ milliseconds: Int) -> NIODeadline {
    .uptimeNanoseconds(UInt64(milliseconds) * 1_000_000)
}

import ChatProtocol
import NIOCore

/// What the users of a shard do besides chatting.
extension LoadShard {
    // MARK: - Connections

    func churn() {
        guard isTraffic, !isSendingDone else { return }
        for _ in users.indices {
            let user = users[nextToCut % users.count]
            nextToCut += 1
            guard user.isReady, !user.isGhost else { continue }
            user.cut()
            break
        }
        later(.nanoseconds(Int64(1e9 / (plan.churn * share)))) { $0.churn() }
    }

    /// All connections end at once.
    func cutAll() {
        eventLoop.assertInEventLoop()
        for user in users { user.cut() }
    }

    func stall(_ user: VirtualUser) {
        guard isTraffic, !isSendingDone else { return user.stall(false) }
        user.stall(true)
        later(TimeAmount(plan.slowStall)) { shard in
            user.stall(false)
            shard.later(.seconds(1)) { $0.stall(user) }
        }
    }

    // MARK: - Presence

    var hasGhosts: Bool { !ghosts.isEmpty }

    /// How many of one node, and in rooms of how many members at most: in larger ones nobody is told of a single user.
    private static let ghostsAtOnce = 10
    private static let ghostRoom = 100
    /// A promise is 5 s.
    static let presencePromise = 5.0
    private static let ghostPatience = TimeAmount.seconds(15)

    /// Chooses users of a node that is about to be killed to stay away until their rooms know.
    func beginGhosts(on node: String) {
        eventLoop.assertInEventLoop()
        guard let number = knownNumber(ofNode: node) else { return }
        var count = 0
        for user in users where count < Self.ghostsAtOnce && user.isReady && user.node == number {
            guard user.memberships.count == 1, let local = user.memberships.first?.local, !user.isSlow, !user.isGhost,
                !ghosts.haunts(local)
            else { continue }
            let others = users.filter { other in
                other !== user && other.memberships.contains { $0.local == local }
            }
            guard !others.isEmpty, others.count < Self.ghostRoom, !others.contains(where: \.isSlow) else { continue }
            rooms[local].awayMembers += 1
            hadGhosts = true
            user.haunt(true)
            ghosts.begin(user.index, named: user.name, in: local, others: Set(others.map(\.index)), at: .now())
            count += 1
        }
    }

    /// Lets ghosts come back whose rooms know that they left, or should.
    func endGhosts() -> [Double] {
        var times: [Double] = []
        for outcome in ghosts.takeEnded(at: .now(), patience: Self.ghostPatience) {
            rooms[outcome.room].awayMembers -= 1
            guard let user = byClient[outcome.user] else { continue }
            user.haunt(false)
            if let seconds = outcome.seconds { times.append(seconds) }
            guard outcome.seconds.map({ $0 > Self.presencePromise }) ?? true else { continue }
            tally.counts.presenceBroken += 1
            let who = outcome.unaware.flatMap { byClient[$0] } ?? user
            let after = outcome.seconds.map { "only after \(Decimals.fixed($0, digits: 1)) s" } ?? "within 15 s not"
            let room = plan.roomName(roomNumbers[outcome.room])?.text ?? ""
            tally.record(
                Offence(
                    kind: .presence, user: who.name.text, room: room, position: "", node: name(ofNode: who.node),
                    detail: "told \(after) that \(user.name) was lost with its node"))
        }
        return times
    }
}

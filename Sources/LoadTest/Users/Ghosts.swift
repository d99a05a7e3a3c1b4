import ChatProtocol
import NIOCore

/// Users who are lost with a node and stay away until everybody else in their room was told that they left: so it is
/// seen how long presence takes to be true. Pure.
struct Ghosts {
    private struct Ghost {
        var user: Int
        var name: UserName
        /// Who thinks that it is still there.
        var unaware: Set<Int>
        var since: NIODeadline
    }

    /// One ghost's end.
    struct Outcome: Equatable {
        var user: Int
        var room: Int
        /// Seconds; nil when somebody had not been told in time.
        var seconds: Double?
        /// Of those who had not.
        var unaware: Int?
    }

    /// By room.
    private var ghosts: [Int: Ghost] = [:]
    private var ended: [Outcome] = []

    var count: Int { ghosts.count }
    var isEmpty: Bool { ghosts.isEmpty }

    func haunts(_ room: Int) -> Bool { ghosts[room] != nil }

    /// A user is about to be lost.
    mutating func begin(_ user: Int, named name: UserName, in room: Int, others: Set<Int>, at now: NIODeadline) {
        ghosts[room] = Ghost(user: user, name: name, unaware: others, since: now)
    }

    /// `user_left` came to a member.
    mutating func left(_ name: UserName, from room: Int, toldTo member: Int, at now: NIODeadline) {
        guard ghosts[room]?.name == name else { return }
        ghosts[room]?.unaware.remove(member)
        endIfKnown(room, at: now)
    }

    /// A member has joined again, and was told who is there.
    mutating func joined(_ room: Int, by member: Int, members: [UserName], at now: NIODeadline) {
        guard let ghost = ghosts[room], ghost.user != member else { return }
        if members.contains(ghost.name) {
            ghosts[room]?.unaware.insert(member)
        } else {
            ghosts[room]?.unaware.remove(member)
            endIfKnown(room, at: now)
        }
    }

    private mutating func endIfKnown(_ room: Int, at now: NIODeadline) {
        guard let ghost = ghosts[room], ghost.unaware.isEmpty else { return }
        ghosts[room] = nil
        ended.append(
            Outcome(user: ghost.user, room: room, seconds: Double((now - ghost.since).nanoseconds) / 1e9))
    }

    /// Those whose room knows, or that have waited too long.
    mutating func takeEnded(at now: NIODeadline, patience: TimeAmount) -> [Outcome] {
        for (room, ghost) in ghosts where now - ghost.since > patience {
            ghosts[room] = nil
            ended.append(Outcome(user: ghost.user, room: room, unaware: ghost.unaware.first))
        }
        defer { ended = [] }
        return ended
    }
}

import ChatProtocol
import NIOCore

/// A room on one event loop: the position that its live members have reached, and who they are.
final class LoopRoom {
    let name: RoomName
    /// Which question to the directory its answer belongs to.
    let opening: Int
    /// False until the directory says where the room stands.
    var isOpen = false
    var position = Position.zero
    var ring: FrameRing
    /// Dense, so that a delivery walks through memory in one direction.
    private(set) var members: [Member] = []
    /// Joins that came before the room was open.
    var waiting: [(Result<Void, BrokerError>) -> Void] = []
    /// Distinguishes this closing from an earlier one that was called off.
    var closings = 0

    init(name: RoomName, opening: Int, ringBytes: Int) {
        self.name = name
        self.opening = opening
        ring = FrameRing(byteLimit: ringBytes)
    }

    func add(_ member: Member) {
        member.index = members.count
        members.append(member)
    }

    func remove(_ member: Member) {
        guard member.index < members.count, members[member.index] === member else { return }
        let last = members.removeLast()
        if last !== member {
            members[member.index] = last
            last.index = member.index
        }
        member.isGone = true
    }
}

/// A session in a room.
package final class Member {
    enum Progress {
        /// Its join is under way; presence that is told meanwhile follows `joined`.
        case entering(notices: [(revision: UInt64, frame: ByteBuffer)])
        /// Gets each delivery as it comes.
        case live
        /// Reached this position and is being brought up to date, because it resumes or reads slowly.
        case behind(Position)
    }

    let session: any HubSession
    var progress: Progress = .entering(notices: [])
    /// Presence up to this revision is known to the session from its `joined`.
    var rosterRevision: UInt64 = 0
    /// Where the room went back to while its join was under way.
    var rewoundTo: Position?
    var index = 0
    var isGone = false
    /// A read of the log for it is under way.
    var isReading = false
    /// The log could not be read for it and is asked again later.
    var isRetryScheduled = false

    init(session: any HubSession) { self.session = session }
}

import ChatProtocol
import NIOCore

/// A room on one event loop: the position that its live members have reached, and who they are.
final class LoopRoom {
    let name: RoomName
    var position = Position.zero
    var ring: FrameRing
    /// Neighbours in the hub's ``RingOrder``.
    unowned var olderRing: LoopRoom?
    unowned var newerRing: LoopRoom?
    /// Only of a room in which somebody is being brought up to date: most of many rooms are quiet.
    private(set) var arrears: Arrears?
    /// Dense, so that a delivery walks through memory in one direction.
    private(set) var members: [Member] = []
    /// Joins that came before the room was open; nil when it is.
    private var waiting: [Entry]? = []
    /// Which question to the directory its answer belongs to.
    let opening: UInt32
    /// How often the room went back: what was asked before says nothing about what came after.
    var rewinds: UInt32 = 0
    /// Distinguishes this closing from an earlier one that was called off.
    var closings: UInt32 = 0
    private var attentiveCount: UInt32 = 0

    init(name: RoomName, opening: UInt32, ringBytes: Int) {
        self.name = name
        self.opening = opening
        ring = FrameRing(byteLimit: ringBytes)
    }

    /// So many of ``members``, from the first on, are offered messages. The others have fallen behind and wait until their
    /// sockets take data: nobody waits while they are looked at in vain.
    var attentive: Int { Int(attentiveCount) }

    // MARK: Opening

    /// A join that goes on when the room is open, or fails.
    typealias Entry = (Result<Void, BrokerError>) -> Void

    /// False until the directory says where the room stands.
    var isOpen: Bool { waiting == nil }

    /// Joins the others that wait for the room to be open.
    ///
    /// - Returns: how many they are now.
    func wait(_ entry: @escaping Entry) -> Int {
        waiting?.append(entry)
        return waiting?.count ?? 0
    }

    /// The room stands at a position.
    ///
    /// - Returns: who has waited for it.
    func open(at position: Position) -> [Entry] {
        self.position = position
        defer { waiting = nil }
        return waiting ?? []
    }

    /// Nobody waits any longer though the room is not open.
    ///
    /// - Returns: who has waited for it.
    func giveUpOpening() -> [Entry] {
        defer { if !isOpen { waiting = [] } }
        return waiting ?? []
    }

    // MARK: Arrears

    /// What members are owed who have not everything.
    final class Arrears {
        /// Reads of the log after a position, and of the latest messages.
        var reads = SharedRead<Position, LogReader>()
        var latestReads = SharedRead<Int, LogReader.Resuming>()
        /// Members for whom the log could not be read; asked again when the time has come.
        var retrying: [Member] = []
        var missedNotices = MissedNotices()

        var isEmpty: Bool { reads.isIdle && latestReads.isIdle && retrying.isEmpty && missedNotices.isIdle }
    }

    /// Somebody falls behind, or asks for what was before.
    func beginArrears() -> Arrears {
        let arrears = arrears ?? Arrears()
        self.arrears = arrears
        return arrears
    }

    /// Forgets them if there are none any more.
    func settleArrears() {
        if arrears?.isEmpty == true { arrears = nil }
    }

    // MARK: Members

    func add(_ member: Member) {
        member.index = members.count
        members.append(member)
        wake(member)
    }

    /// Messages are offered to the member again.
    func wake(_ member: Member) {
        guard !member.isGone, member.index >= attentive else { return }
        swap(member.index, attentive)
        attentiveCount += 1
    }

    /// The member is offered no messages until it is woken.
    func rest(_ member: Member) {
        guard !member.isGone, member.index < attentive else { return }
        attentiveCount -= 1
        swap(member.index, attentive)
    }

    private func swap(_ one: Int, _ other: Int) {
        members.swapAt(one, other)
        members[one].index = one
        members[other].index = other
    }

    func remove(_ member: Member) {
        guard member.index < members.count, members[member.index] === member else { return }
        rest(member)
        swap(member.index, members.count - 1)
        members.removeLast()
        member.isGone = true
        if let place = member.missedNotices {
            member.missedNotices = nil
            _ = arrears?.missedNotices.leave(from: place)
            settleArrears()
        }
    }
}

/// Who waits for a page of a room's log.
enum LogReader {
    typealias Resuming = (Result<(page: LogPage, place: LogPage.Place), BrokerError>) -> Void

    /// Somebody who is in the room and has reached a position behind it.
    case member(Member)
    /// A join that has to know what it will replay.
    case resuming(Resuming)
}

/// A session in a room.
package final class Member {
    enum Progress {
        /// Its join is under way; presence that is told meanwhile follows `joined`.
        case entering(notices: [(revision: UInt64, frame: ByteBuffer)])
        /// Gets each delivery as it comes.
        case live
        /// Reached this position and is being brought up to date, because it resumes or reads slowly.
        indirect case behind(Position)
    }

    let session: any HubSession
    var progress: Progress = .entering(notices: [])
    /// Presence up to this revision is known to the session from its `joined`.
    var rosterRevision: UInt64 = 0
    @Occasional private var past = Past()
    private var place: UInt32 = 0
    /// The session's, which says the same for life: looked at for each delivery.
    let takesCompressedFrames: Bool
    var isGone = false
    /// Its session's ``HubSession/lagging`` names the room.
    var isLagging = false
    /// It waits for a page of the log.
    var isReading = false

    init(session: any HubSession) {
        self.session = session
        takesCompressedFrames = session.takesCompressedFrames
    }

    private struct Past: OccasionalState, Equatable {
        var broughtTo = Position.zero
        var rewoundTo: Position?
        var lossKnownUpTo = Position.zero
        var missedNotices: Int?

        var isInitial: Bool { self == Past() }
    }

    /// Where it stands among the room's members.
    var index: Int {
        get { Int(place) }
        set { place = UInt32(newValue) }
    }

    /// How far it had come when it joined again: if that is void it must be told, wherever it is now.
    var broughtTo: Position {
        get { past.broughtTo }
        set { if newValue != broughtTo { past.broughtTo = newValue } }
    }

    /// Where the room went back to while its join was under way.
    var rewoundTo: Position? {
        get { past.rewoundTo }
        set { if newValue != rewoundTo { past.rewoundTo = newValue } }
    }

    /// What was lost up to this position it knows from its `joined`.
    var lossKnownUpTo: Position {
        get { past.lossKnownUpTo }
        set { if newValue != lossKnownUpTo { past.lossKnownUpTo = newValue } }
    }

    /// The first of the room's ``MissedNotices`` that it has not been told. Looked at for each delivery.
    var missedNotices: Int? {
        get { _past.isInitial ? nil : past.missedNotices }
        set { if newValue != missedNotices { past.missedNotices = newValue } }
    }
}

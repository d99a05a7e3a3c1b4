package import ChatProtocol
package import NIOCore

/// A session as the hub sees it: something on this loop that frames can be written to.
package protocol HubSession: AnyObject {
    var id: SessionID { get }
    var user: UserName { get }
    /// False for `echo=false`: own messages do not come back while the session is live.
    var wantsEcho: Bool { get }
    /// False for one that only listens: it is no member to the others, and is told of none.
    var isPresent: Bool { get }
    /// Whether the store counts it among its user's sessions, of which there may be only so many: it does so in the
    /// inbox.
    var takesSeat: Bool { get }
    /// Whether its socket takes more. When it does not, nothing is queued for it but what must not be dropped; the
    /// session calls ``LoopHub/writable(_:)`` when it takes data again.
    var isWritable: Bool { get }
    /// Whether its client agreed to frames that were compressed for everybody.
    var takesCompressedFrames: Bool { get }
    /// Queues frames; they leave with ``flush()``.
    func write(_ frames: ByteBuffer)
    func flush()
    /// Ends the connection from the node's side.
    func close(_ code: CloseCode, reason: String)
    /// Whether frames were queued since the last flush; kept by the hub.
    var isAwaitingFlush: Bool { get set }
    /// The member that it is in a room, or is about to be; kept by the hub.
    func member(of room: RoomName) -> Member?
    func setMember(_ member: Member?, of room: RoomName)
    /// Rooms in which it is not up to date; kept by the hub.
    var lagging: [RoomName] { get set }
}

extension HubSession {
    package var isPresent: Bool { true }
    package var takesSeat: Bool { false }
    package var takesCompressedFrames: Bool { false }

    /// Whether it is counted in a room.
    func counts(in room: RoomName) -> Bool { room.isInbox ? takesSeat : isPresent }
}

/// What a session gets for joining.
package struct JoinOutcome: Sendable, Equatable {
    /// The room's head at this moment; the replay ends with the message at it.
    package var position: Position
    /// Only for a resume: everything after the given position follows.
    package var recovered: Bool?
    /// Nil for an inbox.
    package var roster: Roster?
}

package import ChatProtocol
package import NIOCore

/// Moves a room's messages between gateways and keeps its log. `MemoryBroker` does so within one process,
/// `RedisBroker` through Redis; both are held to the same behaviour tests.
///
/// A broker has one face per event loop for commands, so that a publication costs no hop between loops, and one
/// subscribing side whose events arrive on ``eventLoop``.
package protocol Broker: AnyObject, Sendable {
    /// The loop on which subscriptions are managed and their events arrive.
    var eventLoop: any EventLoop { get }

    /// The commands for sessions of `loop`, to be called on that loop only; the same object on every call.
    func commands(on loop: any EventLoop) -> any BrokerCommands

    /// Where the events of subscriptions go. Called once, on ``eventLoop``, before the first subscription.
    func setDelegate(_ delegate: any BrokerDelegate)

    /// Subscribes to a room's publications; `BrokerDelegate.subscribed(to:)` follows when the subscription stands,
    /// now or whenever the store can be reached. On ``eventLoop``.
    func subscribe(to room: RoomName)

    /// Ends a subscription. No event of the room comes after the call. On ``eventLoop``.
    func unsubscribe(from room: RoomName)
}

/// Receives what the subscribing side hears, on the broker's loop.
package protocol BrokerDelegate: AnyObject {
    /// These subscriptions stand from now on, for the first time or again after a loss. What was published before
    /// may have been missed: compare with the log.
    func subscribed(to rooms: [RoomName])

    /// The subscriptions of these rooms are gone until `subscribed(to:)` names them again.
    func subscriptionsLost()

    /// A room's publication. May be a repetition, may leave out what was lost: a hint, not a promise.
    func received(_ publication: Publication, in room: RoomName)

    /// Everything that could be read has been handed over: a good moment to pass it on.
    func receivedAllForNow()

    /// The store is another one than before, or was restarted: what it holds may end before what was delivered. Every
    /// room is to be compared with its log, and what a log lacks to be given back.
    func storeReplaced()

    /// The store became reachable or ceased to be.
    func statusChanged(to status: BrokerStatus)
}

/// Whether the store can be used.
package enum BrokerStatus: Sendable, Equatable {
    /// Commands are answered and the subscription was heard within the last seconds.
    case available
    /// The store cannot be reached; the text says why, for logs and operators.
    case unavailable(String)
}

/// What a session's loop asks of the store. Confined to the loop that it was made for.
package protocol BrokerCommands: AnyObject {
    /// Appends one message to a room's log and publishes it. All appends of one room in one turn of the loop travel
    /// together, in order. `completion` runs on this loop, exactly once, within twice the command timeout.
    ///
    /// A log goes on in a new epoch, greater than its own and the known one, when it ends before `known` or when its store
    /// was replaced since its last message: positions that were lost would otherwise be given out a second time, and
    /// whoever has passed them would not hear what they now stand for. For a second after a replacement such appends
    /// wait, so that nodes can give back first what was lost (``restore(_:to:)``).
    ///
    /// Fails with ``BrokerError/Code/forbidden(_:)`` what the room's rules forbid; a repetition of what is stored is none of
    /// that.
    ///
    /// - Parameter known: the last position that the caller has seen in the room (`.zero`: none).
    func append(
        _ draft: Draft, to room: RoomName, known: Position,
        completion: @escaping (Result<Receipt, BrokerError>) -> Void)

    /// Publishes an event that is never stored, `typing` or `signal`, as JSON for clients. Dropped when the store is away.
    ///
    /// - Parameter origin: the session that does not get it.
    func announce(_ event: ByteBuffer, from origin: SessionID, in room: RoomName)

    /// Entries after a position, oldest first.
    func read(_ room: RoomName, after position: Position, limit: Int) -> EventLoopFuture<LogSlice>

    /// The latest entries, those before a position if one is given, oldest first.
    func readLatest(_ room: RoomName, before position: Position?, limit: Int) -> EventLoopFuture<LogSlice>

    /// Where logs end, one answer for each; `0-0` without a log. Meant for many at a time: one that ends where it is
    /// expected to costs next to nothing. Never fails.
    func ends(of logs: [ExpectedEnd]) -> EventLoopFuture<[LogEnd]>

    /// Gives a log back the messages that the store lost: consecutive deliveries of this room, oldest first. Idempotent,
    /// also when several nodes do it at a time with tails of different lengths. What the log holds already, or held and
    /// dropped because of its age, is left out.
    ///
    /// - Parameter previous: the position that the first of them was delivered after; nil when that is not known, or
    ///   something in between is missing. A log that lacks it, though it holds something older, has forked before it, and
    ///   takes nothing. One that holds something else between it and the first of them has forked there.
    func restore(_ tail: [LogEntry], after previous: Position?, to room: RoomName) -> EventLoopFuture<Restoration>

    /// Counts a session into a room; idempotent. The user's first session there is announced as `user_joined` to all
    /// but `session`. Repeated by the broker itself when the store lost it, until ``leave(_:session:)``. Fails with
    /// ``BrokerError/Code/forbidden(_:)`` when the user is banned from the room or has no place in it; a repetition that is
    /// refused is heard as ``ControlEvent/displaced(_:from:_:)``.
    func enter(_ room: RoomName, session: SessionID, user: UserName) -> EventLoopFuture<Roster>

    /// Counts a session out of a room; idempotent. The user's last session anywhere is announced as `user_left`. The
    /// broker repeats it until it took effect.
    func leave(_ room: RoomName, session: SessionID)

    /// A page of the users in a room, sorted by bytes, those after `user` if given.
    func members(of room: RoomName, after user: UserName?, limit: Int) -> EventLoopFuture<Roster>

    /// All users in a room, in any order; none of them but only their number when there are more than `limit`.
    func roster(of room: RoomName, limit: Int) -> EventLoopFuture<Roster>
}

/// A message on its way to the log.
package struct Draft: Sendable, Equatable {
    /// The JSON as clients get it, without position and time (see `StoredMessage` in ChatProtocol).
    package var body: ByteBuffer
    /// The first bytes of ``body`` that tell user and `id`; nil when the client gave no `id`. No two messages of a room
    /// share them unless one repeats the other.
    package var identityLength: Int?
    /// Marked by the client as sent before: the log is searched for an earlier copy.
    package var isRetry: Bool
    /// The session that does not want its own message back (`echo=false`).
    package var exceptFor: SessionID?

    package init(body: ByteBuffer, identityLength: Int?, isRetry: Bool, exceptFor: SessionID?) {
        self.body = body
        self.identityLength = identityLength
        self.isRetry = isRetry
        self.exceptFor = exceptFor
    }
}

/// The log's answer to an append.
package struct Receipt: Sendable, Equatable {
    package var position: Position
    /// Milliseconds since 1970, by the store's clock.
    package var time: UInt64
    /// The message was there before; position and time are the first copy's.
    package var isDuplicate: Bool

    package init(position: Position, time: UInt64, isDuplicate: Bool) {
        self.position = position
        self.time = time
        self.isDuplicate = isDuplicate
    }
}

/// A message in the log.
package struct LogEntry: Sendable, Equatable {
    package var position: Position
    /// Milliseconds since 1970, by the store's clock.
    package var time: UInt64
    /// ``Draft/body``, byte for byte.
    package var body: ByteBuffer

    package init(position: Position, time: UInt64, body: ByteBuffer) {
        self.position = position
        self.time = time
        self.body = body
    }
}

/// What became of messages that were given back to a log.
package enum Restoration: Sendable, Equatable {
    /// The log holds them at their positions.
    case restored
    /// The log has gone on without them. They stand in it again under new positions, unless this is a position before
    /// the one after which they were delivered; those after this one, the last that the log and the giver have in common,
    /// are void (`.zero`: all).
    case forked(at: Position)
}

/// Where a room's log should end if nothing was missed.
package struct ExpectedEnd: Sendable, Equatable {
    package var room: RoomName
    /// Nil when that is not known: the answer is then a position, or unknown.
    package var position: Position?

    package init(room: RoomName, position: Position?) {
        self.room = room
        self.position = position
    }
}

/// Where a room's log ends.
package enum LogEnd: Sendable, Equatable {
    /// The log is there, or none is expected, and holds nothing after the position that was expected.
    case asExpected
    case at(Position)
    /// The store did not answer, or answered nonsense.
    case unknown
}

/// Entries of a log, oldest first.
package struct LogSlice: Sendable, Equatable {
    package var entries: [LogEntry]
    /// Of a read after a position P: nothing between P and the first entry is missing from the log. True when the
    /// entry at P is still there, or P is `0-0`, and the first entry is the next SEQ of its epoch or the first of a newer
    /// one; when the first entry is the next SEQ after P; and without entries when P is there, or is where the log ends.
    /// False for a P that is not of this log. Further on in the slice something may be missing too: ``parts(after:)``.
    /// Always true for the latest entries.
    package var isComplete: Bool
    /// The log holds more in the direction of reading.
    package var hasMore: Bool
    /// The log's last position at the time of reading.
    package var head: Position
    /// Of a read after a position: the greatest entry at or below it; nil when there is none, and for the latest entries.
    package var floor: Position?

    package init(entries: [LogEntry], isComplete: Bool, hasMore: Bool, head: Position, floor: Position? = nil) {
        self.entries = entries
        self.isComplete = isComplete
        self.hasMore = hasMore
        self.head = head
        self.floor = floor
    }
}

/// Users in a room on all nodes.
package struct Roster: Sendable, Equatable {
    package var members: [UserName]
    /// How many users there are in all.
    package var count: Int
    /// There are users after the last of ``members``.
    package var hasMore: Bool
    /// When this was so: a ``PresenceChange`` with a greater one is news, any other is contained in it.
    package var revision: UInt64
    /// Whether who is missing has had the chance to be there. False while the store takes no writes: what it lost before,
    /// nodes cannot have entered again.
    package var isConclusive: Bool

    package init(
        members: [UserName], count: Int, hasMore: Bool, revision: UInt64 = 0, isConclusive: Bool = true
    ) {
        self.members = members
        self.count = count
        self.hasMore = hasMore
        self.revision = revision
        self.isConclusive = isConclusive
    }
}

/// What one publication in a room says.
package enum Publication: Sendable, Equatable {
    /// Messages that one append stored, consecutive from ``MessageBatch/first``.
    case messages(MessageBatch)
    /// An event that is never stored, as JSON for clients, for all but `origin`.
    case signal(ByteBuffer, origin: SessionID)
    /// A user's first session came or the last one went.
    case presence(PresenceChange)
    /// So many users are in a room after changes that are not told one by one, because the room is a crowd
    /// (``PresenceFeed/crowdLimit``).
    case count(Int, revision: UInt64)
    /// What nodes say to each other, in ``ChatProtocol/RoomName/control`` only.
    case control(ControlEvent)
}

/// Consecutive messages of one room, as published.
package struct MessageBatch: Sendable, Equatable {
    /// The room's position before the first of these.
    package var previous: Position
    package var first: Position
    /// Milliseconds since 1970, by the store's clock; the same for all of them.
    package var time: UInt64
    /// When the publishing node sent them, microseconds since 1970 by its own clock; for latency metrics only.
    package var sentAt: UInt64
    package var messages: [Message]

    package struct Message: Sendable, Equatable {
        /// ``Draft/body``.
        package var body: ByteBuffer
        /// ``Draft/exceptFor``.
        package var exceptFor: SessionID?

        package init(body: ByteBuffer, exceptFor: SessionID?) {
            self.body = body
            self.exceptFor = exceptFor
        }
    }

    package init(previous: Position, first: Position, time: UInt64, sentAt: UInt64, messages: [Message]) {
        self.previous = previous
        self.first = first
        self.time = time
        self.sentAt = sentAt
        self.messages = messages
    }
}

/// A user came to a room with the first session, or left it with the last.
package struct PresenceChange: Sendable, Equatable {
    package var user: UserName
    package var isPresent: Bool
    /// Users in the room after the change.
    package var count: Int
    /// The session that joined and is not told; nil when a user left.
    package var origin: SessionID?
    /// Greater than that of every change of the room before it, and of every roster that does not contain it.
    package var revision: UInt64

    package init(user: UserName, isPresent: Bool, count: Int, origin: SessionID?, revision: UInt64 = 0) {
        self.revision = revision
        self.user = user
        self.isPresent = isPresent
        self.count = count
        self.origin = origin
    }
}

/// What was asked was not done.
package struct BrokerError: Error, Sendable, Equatable, CustomStringConvertible {
    package enum Code: Sendable, Equatable {
        /// The store cannot be reached, did not answer in time or refuses writes. Whether it took effect is not known.
        case unavailable
        /// A rule of the room says no, and nothing was done.
        case forbidden(Prohibition)
        /// The store answered what it should never answer: a bug, or data of somebody else under our keys.
        case malformed
    }

    package var code: Code
    /// For logs; never shown to clients.
    package var message: String

    package init(code: Code, message: String) {
        self.code = code
        self.message = message
    }

    /// The refusal of what a room's rules forbid.
    package static func forbidden(_ prohibition: Prohibition) -> BrokerError {
        BrokerError(code: .forbidden(prohibition), message: "a rule of the room forbids it")
    }

    /// What a future of a broker failed with: anything unforeseen counts as unavailable.
    package init(any error: any Error) {
        self = error as? BrokerError ?? BrokerError(code: .unavailable, message: "\(error)")
    }

    package var description: String { "\(code): \(message)" }
}

package import ChatProtocol
package import NIOCore

/// What one turn brought for one room, as the bytes that its members get: WebSocket frames, built once for all members
/// of this process and shared by all event loops. Immutable.
package final class Delivery: Sendable {
    package struct Segment: Sendable, Equatable {
        package enum Kind: Sendable, Equatable {
            /// A message of the log at this position.
            case message(Position)
            /// Something lost, told at its place among the messages.
            case gap
            /// What was delivered after ``Delivery/last`` is void. Stands alone in its delivery.
            case rewind
            /// Presence, with its ``PresenceChange/revision``: never dropped.
            case notice(revision: UInt64)
            /// Typing and signals: dropped for who cannot keep up.
            case signal
        }

        package var kind: Kind
        /// Where in ``Delivery/frames`` it ends; it begins where the one before ended.
        package var end: Int
        /// The session that does not get it.
        package var exceptFor: SessionID?
        /// The user whose sessions do not get it.
        package var exceptUser: UserName?
        /// Of a notice: only members whose rosters are newer than this revision get it.
        package var since: UInt64 = 0
    }

    /// All segments' frames, one after the other.
    package let frames: ByteBuffer
    package let segments: [Segment]
    /// The room's position before this, and after.
    package let previous: Position
    package let last: Position
    /// Publishing nodes' clocks at the newest message, microseconds since 1970; 0 without messages from a publication.
    package let sentAt: UInt64
    package let messageCount: Int
    /// Only messages.
    package let isOfMessages: Bool
    /// Only messages, and for everybody: the common case, in which ``frames`` go out as they are.
    package let isUniform: Bool
    /// Whether some members do not get all of it.
    package let isSelective: Bool
    /// Whether the room goes back to ``last``.
    package var isRewind: Bool { segments.count == 1 && segments[0].kind == .rewind }

    fileprivate init(_ builder: DeliveryBuilder, previous: Position, last: Position) {
        frames = builder.frames
        segments = builder.segments
        self.previous = previous
        self.last = last
        sentAt = builder.sentAt
        messageCount = builder.messageCount
        isSelective = builder.isSelective
        isOfMessages = builder.messageCount == builder.segments.count
        isUniform = !builder.isSelective && isOfMessages
    }

    /// The frames of the segments that `isWanted` accepts, joined where they are neighbours.
    ///
    /// - Parameter compressed: takes them from these.
    func forEachRun(
        of compressed: Compressed? = nil, where isWanted: (Segment) -> Bool, _ body: (ByteBuffer) -> Void
    ) {
        let frames = compressed?.frames ?? frames
        var runStart = 0
        var start = 0
        func emit(to end: Int) {
            guard end > runStart, let run = frames.getSlice(at: frames.readerIndex + runStart, length: end - runStart)
            else { return }
            body(run)
        }
        for (index, segment) in segments.enumerated() {
            let end = compressed?.ends[index] ?? segment.end
            if !isWanted(segment) {
                emit(to: start)
                runStart = end
            }
            start = end
        }
        emit(to: start)
    }

    /// The frames of one segment.
    package func frame(_ index: Int) -> ByteBuffer {
        let start = index == 0 ? 0 : segments[index - 1].end
        return frames.getSlice(at: frames.readerIndex + start, length: segments[index].end - start) ?? ByteBuffer()
    }

    /// How many messages stand after a position.
    package func messageCount(after position: Position) -> Int {
        if position <= previous { return messageCount }
        return segments.count {
            guard case .message(let own) = $0.kind else { return false }
            return own > position
        }
    }
}

/// Collects a room's frames until the turn ends.
package struct DeliveryBuilder {
    fileprivate var frames = ByteBuffer()
    fileprivate var segments: [Delivery.Segment] = []
    fileprivate var messageCount = 0
    fileprivate var isSelective = false
    fileprivate var sentAt: UInt64 = 0
    private var first: Position?
    private var last: Position?

    package init() {}

    package var isEmpty: Bool { segments.isEmpty }
    package var byteCount: Int { frames.readableBytes }

    /// So many messages follow, with so many bytes of bodies.
    package mutating func expect(_ messages: Int, bytes: Int) {
        // What position, time and frame header take at most.
        frames.reserveCapacity(minimumWritableBytes: bytes + messages * 96)
        if segments.isEmpty { segments.reserveCapacity(messages) }
    }

    /// Appends a message of the log.
    ///
    /// - Parameter previous: the room's position before it.
    package mutating func append(
        _ body: ByteBuffer, at position: Position, after previous: Position, time: UInt64, sentAt: UInt64,
        exceptFor: SessionID?
    ) {
        StoredMessage.writeFrame(body, position: position, time: time, into: &frames)
        if first == nil { first = previous }
        last = position
        messageCount += 1
        self.sentAt = max(self.sentAt, sentAt)
        close(.message(position), exceptFor: exceptFor)
    }

    /// Appends an event that has no position.
    package mutating func append(
        _ event: ByteBuffer, as kind: Delivery.Segment.Kind, exceptFor: SessionID? = nil, exceptUser: UserName? = nil,
        since: UInt64 = 0
    ) {
        TextFrame.writeHeader(payload: event.readableBytes, into: &frames)
        frames.writeImmutableBuffer(event)
        close(kind, exceptFor: exceptFor, exceptUser: exceptUser, since: since)
    }

    private mutating func close(
        _ kind: Delivery.Segment.Kind, exceptFor: SessionID?, exceptUser: UserName? = nil, since: UInt64 = 0
    ) {
        if exceptFor != nil || exceptUser != nil { isSelective = true }
        if case .notice = kind { isSelective = true }
        segments.append(
            .init(kind: kind, end: frames.writerIndex, exceptFor: exceptFor, exceptUser: exceptUser, since: since))
    }

    /// Ends the turn.
    ///
    /// - Parameter position: the room's position now; where messages were appended, that of the last one.
    package func finish(at position: Position) -> Delivery {
        Delivery(self, previous: first ?? position, last: last ?? position)
    }
}

import ChatHub
import ChatProtocol
import Hiredis
import NIOCore

/// A room's messages on their way to the log, and what need not be found out anew for each call. Confined to its loop.
final class RoomAppends {
    let room: RoomName
    let keys: [String]
    private let channel: String
    var drafts = AppendQueue()
    /// Sent at the end of this turn.
    var isDue = false
    /// What this loop has stored here last, when by its own clock, and in which generation of the store; nil after a failure.
    var last: (position: Position, time: UInt64, at: NIODeadline, generation: String?)?

    init(room: RoomName, keys: Keys) {
        self.room = room
        self.keys = [keys.log(room), keys.retried(room), keys.rules(room), keys.pace(room)]
        channel = keys.channel(room)
    }

    var isIdle: Bool { drafts.isIdle && !isDue }

    /// What the append script takes.
    func arguments(
        of call: [AppendQueue.Waiting], to generation: StoreGeneration, _ configuration: RedisBrokerConfiguration,
        now: NIODeadline
    ) -> [Argument] {
        let isSettled = generation.settles(after: now) == nil
        let rate = room.isInbox ? 0 : configuration.messagesPerSecond
        var known = drafts.known
        var next: Position?
        if let last, last.generation == generation.current, last.position.epoch >= known.epoch, isSettled, rate == 0,
            !call.contains(where: \.draft.isRetry)
        {
            known = max(known, last.position)
            if !isTidyingDue(after: known, count: call.count, configuration, now: now) {
                next = Position(epoch: known.epoch, seq: known.seq + 1)
            }
        }
        var arguments: [Argument] = []
        arguments.reserveCapacity(11 + 2 * call.count)
        arguments.append(.text(channel))
        // The script counts in doubles: exact up to 2^53, and 2^52 ms are 140,000 years.
        arguments.append(.text(Position(epoch: min(known.epoch, 1 << 52), seq: min(known.seq, 1 << 52)).description))
        arguments.append(.integer(Int(WallClock.microseconds())))
        arguments.append(.integer(configuration.logLength))
        arguments.append(.integer(configuration.logTimeToLive))
        arguments.append(.integer(Int(configuration.retryWindow.nanoseconds / 1_000_000)))
        arguments.append(.text(generation.current ?? ""))
        arguments.append(.integer(isSettled ? 1 : 0))
        arguments.append(.integer(rate))
        arguments.append(.text(next?.description ?? ""))
        arguments.append(.bytes(identities(of: call)))
        for waiting in call {
            let draft = waiting.draft
            arguments.append(.text(PublicationCodec.head(of: draft.body.readableBytes, exceptFor: draft.exceptFor)))
            arguments.append(.bytes(draft.body))
        }
        return arguments
    }

    /// Whether the log is to be trimmed, or its end to be postponed, with the next so many messages: the script does either
    /// when it looks at the log's end.
    private func isTidyingDue(
        after known: Position, count: Int, _ configuration: RedisBrokerConfiguration, now: NIODeadline
    ) -> Bool {
        guard let last, known.seq < 1 << 52 else { return true }
        if configuration.logLength > 0, Int(known.seq % 100) + count >= 100 { return true }
        let step = Double(configuration.logTimeToLive) / 17
        guard step > 0 else { return false }
        let passed = Double((now - last.at).nanoseconds) / 1_000_000
        return (Double(last.time) / step).rounded(.down) != ((Double(last.time) + passed) / step).rounded(.down)
    }

    /// How many bytes of each body tell who sent which message; nothing when none has an `id`.
    private func identities(of call: [AppendQueue.Waiting]) -> ByteBuffer {
        guard call.contains(where: { $0.draft.identityLength != nil }) else { return ByteBuffer() }
        var lengths = ByteBuffer()
        lengths.reserveCapacity(6 * call.count)
        for waiting in call {
            let length = min(waiting.draft.identityLength ?? 0, waiting.draft.body.readableBytes)
            if lengths.readableBytes > 0 { lengths.writeStaticString(" ") }
            if waiting.draft.isRetry, length > 0 { lengths.writeStaticString("-") }
            lengths.writeDecimal(UInt64(length))
        }
        return lengths
    }
}

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
        of call: AppendQueue.Batch, to generation: StoreGeneration, _ configuration: RedisBrokerConfiguration,
        now: NIODeadline
    ) -> [Argument] {
        let isSettled = generation.settles(after: now) == nil
        let rate = room.isInbox ? 0 : configuration.messagesPerSecond
        var known = drafts.known
        var next: Position?
        if let last, last.generation == generation.current, last.position.epoch >= known.epoch, isSettled, rate == 0,
            !call.messages.contains(where: \.isRetry)
        {
            known = max(known, last.position)
            if !isTidyingDue(after: known, count: call.count, configuration, now: now) {
                next = Position(epoch: known.epoch, seq: known.seq + 1)
            }
        }
        var arguments: [Argument] = []
        arguments.reserveCapacity(7)
        arguments.append(.text(channel))
        // The script counts in doubles: exact up to 2^53, and 2^52 ms are 140,000 years.
        arguments.append(.text(Position(epoch: min(known.epoch, 1 << 52), seq: min(known.seq, 1 << 52)).description))
        arguments.append(.bytes(words(WallClock.microseconds(), UInt64(call.count))))
        arguments.append(.text(generation.current ?? ""))
        arguments.append(.text(next?.description ?? ""))
        arguments.append(.bytes(settings(of: call, configuration, isSettled: isSettled, rate: rate)))
        arguments.append(.written(call.arguments, count: 2 * call.count))
        return arguments
    }

    /// What the script looks at when it has to find out more; behind it how many bytes of each body tell who sent which
    /// message, unless none has an `id`.
    private func settings(
        of call: AppendQueue.Batch, _ configuration: RedisBrokerConfiguration, isSettled: Bool, rate: Int
    ) -> ByteBuffer {
        let retryWindow = configuration.retryWindow.nanoseconds / 1_000_000
        var words = words(
            UInt64(clamping: configuration.logLength), UInt64(clamping: configuration.logTimeToLive),
            UInt64(clamping: retryWindow), isSettled ? 1 : 0, UInt64(clamping: rate))
        guard call.messages.contains(where: { $0.identityLength > 0 }) else { return words }
        words.reserveCapacity(minimumWritableBytes: 6 * call.count)
        for index in call.messages.indices {
            let length = call.messages[index].identityLength
            words.writeStaticString(call.messages[index].isRetry && length > 0 ? " -" : " ")
            words.writeDecimal(UInt64(length))
        }
        return words
    }

    private func words(_ numbers: UInt64...) -> ByteBuffer {
        var words = ByteBuffer()
        words.reserveCapacity(64)
        for number in numbers {
            if words.readableBytes > 0 { words.writeStaticString(" ") }
            words.writeDecimal(number)
        }
        return words
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
}

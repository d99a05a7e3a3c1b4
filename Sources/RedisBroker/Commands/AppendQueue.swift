import ChatHub
import ChatProtocol
import Hiredis
import NIOCore

/// The messages of one room on one event loop that are on their way to the log.
///
/// One call is under way at a time, and carries all that came meanwhile: what is sent together costs Redis a third, and
/// no two calls can overtake each other, not even when Redis has lost the script for one of them.
struct AppendQueue {
    typealias Completion = (Result<Receipt, BrokerError>) -> Void

    /// A message besides its bytes.
    struct Waiting {
        var deadline: NIODeadline
        /// Of its two arguments as the command carries them, and of the body within.
        fileprivate(set) var length: Int
        fileprivate(set) var bodyLength: Int
        /// ``Draft/identityLength``, 0 for none.
        var identityLength: Int
        var isRetry: Bool
        var completion: Completion
    }

    /// Messages in the order in which they came.
    ///
    /// Their bytes stand one after the other as the command will carry them, written once, when each came: kept one by one
    /// they would have to be allocated, listed and copied one by one.
    struct Batch {
        fileprivate(set) var messages: [Waiting] = []
        /// For each message the append script's two arguments: the line before its body (see ``PublicationCodec``), and
        /// the body.
        fileprivate(set) var arguments = ByteBuffer()
        /// Of the bodies.
        fileprivate(set) var bodyBytes = 0

        var isEmpty: Bool { messages.isEmpty }
        var count: Int { messages.count }

        /// Calls with each body in turn.
        func forEachBody(_ body: (Int, ByteBuffer) -> Void) {
            var end = arguments.readerIndex
            for index in messages.indices {
                end += messages[index].length
                let start = end - CommandFormatter.argumentEnd - messages[index].bodyLength
                body(index, arguments.getSlice(at: start, length: messages[index].bodyLength) ?? ByteBuffer())
            }
        }

        fileprivate mutating func append(_ other: Batch) {
            messages += other.messages
            arguments.writeImmutableBuffer(other.arguments)
            bodyBytes += other.bodyBytes
        }

        /// Takes out the first so many; mostly all, which are then not copied.
        fileprivate mutating func take(_ count: Int) -> Batch {
            var taken = Batch()
            guard count < messages.count else {
                swap(&taken, &self)
                return taken
            }
            taken.messages = Array(messages[..<count])
            messages.removeFirst(count)
            taken.bodyBytes = taken.messages.reduce(0) { $0 + $1.bodyLength }
            bodyBytes -= taken.bodyBytes
            let length = taken.messages.reduce(0) { $0 + $1.length }
            taken.arguments = arguments.readSlice(length: length) ?? ByteBuffer()
            return taken
        }
    }

    private static let draftsInACall = 1_000

    private var waiting = Batch()
    private var isUnderWay = false
    /// The greatest position that the callers know.
    private(set) var known = Position.zero

    var isIdle: Bool { waiting.isEmpty && !isUnderWay }

    mutating func add(_ draft: Draft, until deadline: NIODeadline, known: Position, completion: @escaping Completion) {
        let start = waiting.arguments.writerIndex
        let bodyLength = draft.body.readableBytes
        PublicationCodec.writeArguments(draft.body, exceptFor: draft.exceptFor, into: &waiting.arguments)
        waiting.bodyBytes += bodyLength
        waiting.messages.append(
            Waiting(
                deadline: deadline, length: waiting.arguments.writerIndex - start, bodyLength: bodyLength,
                identityLength: min(draft.identityLength ?? 0, bodyLength), isRetry: draft.isRetry,
                completion: completion))
        self.known = max(self.known, known)
    }

    /// Takes out what has waited too long: its senders have given up, and Redis need not hear of it.
    mutating func takeExpired(at now: NIODeadline) -> Batch {
        // All have the same time, so they expire in the order in which they came.
        guard let oldest = waiting.messages.first, oldest.deadline <= now else { return Batch() }
        return waiting.take(waiting.messages.firstIndex { $0.deadline > now } ?? waiting.count)
    }

    /// The messages of the next call, nil while one is under way or when there are none.
    mutating func begin(bytes limit: Int) -> Batch? {
        guard !isUnderWay, !waiting.isEmpty else { return nil }
        isUnderWay = true
        if waiting.bodyBytes <= limit, waiting.count <= Self.draftsInACall { return waiting.take(waiting.count) }
        var bytes = 0
        let count = waiting.messages.prefix(Self.draftsInACall).firstIndex { next in
            bytes += next.bodyLength
            return bytes > limit
        }
        return waiting.take(max(1, count ?? Self.draftsInACall))
    }

    /// What was sent was not taken, and goes again before all that came after it.
    mutating func putBack(_ call: Batch) {
        let later = waiting
        waiting = call
        waiting.append(later)
    }

    /// The call was answered or failed.
    mutating func ended() { isUnderWay = false }
}

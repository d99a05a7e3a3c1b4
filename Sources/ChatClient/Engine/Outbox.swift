import ChatProtocol
import NIOCore

/// Messages that are not acknowledged yet, in the order in which they were given. On each new connection all of them
/// go out again, with `retry` where they were sent before.
struct Outbox {
    struct Limits: Equatable {
        var messages: Int
        var bytes: Int
    }

    private struct Entry {
        var post: Post
        var id: RequestID
        var bytes: Int
        /// The connection that carries it; nil when none does.
        var link: Int?
        var sentAt = NIODeadline.distantFuture
        var wasSent = false
    }

    private let limits: Limits
    private var entries: [Entry] = []
    /// Entries before this one need nothing on ``link``.
    private var next = 0
    private var link: Int?
    private(set) var bytes = 0

    init(limits: Limits) {
        self.limits = limits
    }

    var count: Int { entries.count }
    var isEmpty: Bool { entries.isEmpty }
    var ids: [RequestID] { entries.map(\.id) }

    /// - Throws: ``ChatClientError/Code/outboxFull`` or ``ChatClientError/Code/idInUse``.
    mutating func add(_ post: Post, id: RequestID) throws(ChatClientError) {
        let size = Self.size(of: post)
        guard entries.count < limits.messages, bytes + size <= limits.bytes else {
            throw ChatClientError(
                code: .outboxFull,
                message: "\(entries.count) messages of \(bytes) bytes wait to be acknowledged; send more when some are")
        }
        guard !entries.contains(where: { $0.id == id }) else {
            throw ChatClientError(
                code: .idInUse, message: "a message with the id \"\(id)\" waits to be acknowledged already")
        }
        entries.append(Entry(post: post, id: id, bytes: size))
        bytes += size
    }

    /// The next message to send on a connection, in order; counts as sent from now on.
    mutating func next(for link: Int, at now: NIODeadline) -> Post? {
        if self.link != link {
            self.link = link
            next = 0
        }
        while next < entries.count {
            let index = next
            next += 1
            guard entries[index].link != link else { continue }
            var post = entries[index].post
            post.isRetry = entries[index].wasSent
            entries[index].link = link
            entries[index].sentAt = now
            entries[index].wasSent = true
            return post
        }
        return nil
    }

    /// A message is done with: acknowledged, refused for good, or given up by the caller. False when it is unknown.
    mutating func remove(_ id: RequestID) -> Bool {
        guard let index = entries.firstIndex(where: { $0.id == id }) else { return false }
        bytes -= entries[index].bytes
        entries.remove(at: index)
        if index < next { next -= 1 }
        return true
    }

    /// The node could not store a message now: it goes out again, before all later ones that are not out yet.
    mutating func postpone(_ id: RequestID) -> Bool {
        guard let index = entries.firstIndex(where: { $0.id == id }) else { return false }
        entries[index].link = nil
        entries[index].sentAt = .distantFuture
        next = min(next, index)
        return true
    }

    /// When the message that waits longest on a connection was sent there.
    func oldestSent(on link: Int) -> NIODeadline? {
        entries.lazy.filter { $0.link == link }.map(\.sentAt).min()
    }

    private static func size(of post: Post) -> Int {
        (post.content.text?.bytes.readableBytes ?? 0) + (post.content.data?.bytes.readableBytes ?? 0) + 256
    }
}

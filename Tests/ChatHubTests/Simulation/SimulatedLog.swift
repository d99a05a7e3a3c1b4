import ChatHub
import ChatProtocol
import NIOCore

/// One room's log in a simulated store: the rules of `Broker.swift` and of the scripts in Redis, told once more and
/// plainly. A value, so that an earlier state of it is what a replica may have.
struct SimulatedLog {
    struct Entry {
        var entry: LogEntry
        /// The generation that it was appended in; nil for what was given back.
        var generation: UInt64?
    }

    private(set) var entries: [Entry] = []
    private(set) var head = Position.zero
    /// All that ever stood in it, also what was trimmed.
    private(set) var all: [LogEntry] = []
    /// Retried identities, so that a late original is not stored again.
    private var retried: [ByteBuffer: Receipt] = [:]
    /// Old positions of what was moved behind a fork.
    private var moved: Set<Position> = []

    // MARK: - Writing

    /// - Returns: nil when a new epoch would have to begin and the caller is not settled.
    mutating func append(
        _ drafts: [Draft], known: Position, generation: UInt64, isSettled: Bool, at now: UInt64
    ) -> (receipts: [Receipt], published: MessageBatch?)? {
        let previous = head
        var begins = head == .zero || head < known || entries.last?.generation != generation
        if entries.isEmpty, head != .zero { begins = true }
        if begins, !isSettled { return nil }
        let epoch = begins ? max(now, known.epoch + 1, head.epoch + 1) : head.epoch

        var receipts: [Receipt] = []
        var published: [MessageBatch.Message] = []
        var first: Position?
        var storedHere: [ByteBuffer: Receipt] = [:]
        let before = entries
        for draft in drafts {
            let identity = draft.identityLength.flatMap { draft.body.getSlice(at: draft.body.readerIndex, length: $0) }
            if let identity, var copy = copy(of: identity, isRetry: draft.isRetry, in: before, storedHere) {
                copy.isDuplicate = true
                receipts.append(copy)
                continue
            }
            let position = begins ? Position(epoch: epoch, seq: 1) : Position(epoch: epoch, seq: head.seq + 1)
            begins = false
            add(LogEntry(position: position, time: now, body: draft.body), generation: generation)
            first = first ?? position
            published.append(.init(body: draft.body, exceptFor: draft.exceptFor))
            let receipt = Receipt(position: position, time: now, isDuplicate: false)
            receipts.append(receipt)
            if let identity {
                storedHere[identity] = receipt
                if draft.isRetry { retried[identity] = receipt }
            }
        }
        let batch = first.map {
            MessageBatch(previous: previous, first: $0, time: now, sentAt: now * 1000, messages: published)
        }
        return (receipts, batch)
    }

    private func copy(
        of identity: ByteBuffer, isRetry: Bool, in entries: [Entry], _ storedHere: [ByteBuffer: Receipt]
    ) -> Receipt? {
        if let noted = retried[identity] { return noted }
        guard isRetry else { return nil }
        if let stored = storedHere[identity] { return stored }
        return entries.last { $0.entry.body.begins(with: identity) }.map {
            Receipt(position: $0.entry.position, time: $0.entry.time, isDuplicate: true)
        }
    }

    private mutating func add(_ entry: LogEntry, generation: UInt64?) {
        entries.append(Entry(entry: entry, generation: generation))
        all.append(entry)
        head = entry.position
    }

    /// Gives back what the store lost.
    mutating func restore(
        _ tail: [LogEntry], after previous: Position?, generation: UInt64, at now: UInt64
    ) -> (Restoration, published: [MessageBatch]) {
        var lost: [LogEntry] = []
        var fork: Position?
        var known = Position.zero
        var published: [MessageBatch] = []
        if let previous, let first = tail.first?.position {
            let older = entries.last { $0.entry.position <= previous }?.entry.position
            if let older, older != previous { return (.forked(at: older), []) }
            let newer = entries.first { $0.entry.position > previous }?.entry.position
            if let newer, newer < first { fork = previous }
        }
        for entry in tail {
            let isBeyond = entry.position > head
            let continues =
                head == .zero || head.isFollowed(by: entry.position)
                || (entry.position.epoch > head.epoch && entry.position.seq == 1)
            if entries.contains(where: { $0.entry.position == entry.position }) { continue }
            let copy = index(ofCopyOf: entry)
            if isBeyond, fork == nil, copy == nil, continues {
                published = [MessageBatch(entry, after: head)]
                add(entry, generation: nil)
                continue
            }
            let following = entries.first { $0.entry.position > entry.position }?.entry.position ?? .zero
            guard fork != nil || isBeyond || (following.epoch > entry.position.epoch && following.seq == 1)
            else { continue }
            let end = min(entry.position, copy.map { entries[$0].entry.position } ?? entry.position)
            let common = entries.last { $0.entry.position < end }?.entry.position ?? .zero
            fork = min(fork ?? common, common)
            if isBeyond { known = max(known, entry.position) }
            lost.append(entry)
        }
        guard let fork else { return (.restored, published) }

        var last: MessageBatch?
        for entry in lost {
            if let copy = index(ofCopyOf: entry), entries[copy].entry.position > fork { continue }
            guard moved.insert(entry.position).inserted else { continue }
            let begins = entries.last?.generation != generation || head < known
            let position =
                begins
                ? Position(epoch: max(now, head.epoch + 1, known.epoch + 1), seq: 1)
                : Position(epoch: head.epoch, seq: head.seq + 1)
            let copy = LogEntry(position: position, time: entry.time, body: entry.body)
            last = MessageBatch(copy, after: head)
            add(copy, generation: generation)
        }
        if let last { published.append(last) }
        return (.forked(at: fork), published)
    }

    private func index(ofCopyOf entry: LogEntry) -> Int? {
        let length = StoredMessage.identityLength(of: entry.body)
        let identity = length.flatMap { entry.body.getSlice(at: entry.body.readerIndex, length: $0) }
        return identity.flatMap { identity in entries.lastIndex { $0.entry.body.begins(with: identity) } }
    }

    /// Forgets the oldest entries.
    mutating func trim(to count: Int) {
        if entries.count > count { entries.removeFirst(entries.count - count) }
    }

    // MARK: - Reading

    func read(after position: Position, limit: Int) -> LogSlice {
        let rest = entries.lazy.filter { $0.entry.position > position }.map(\.entry)
        let slice = Array(rest.prefix(limit))
        let floor = entries.last { $0.entry.position <= position }?.entry.position
        let isComplete: Bool
        if let next = slice.first?.position {
            let isNext = next.epoch == position.epoch && next.seq == position.seq + 1
            let isKnown = position == .zero || floor == position
            isComplete = isNext || (isKnown && next.epoch > position.epoch && next.seq == 1)
        } else {
            isComplete = position == head || floor == position
        }
        return LogSlice(
            entries: slice, isComplete: isComplete, hasMore: rest.count > limit, head: head, floor: floor)
    }

    func readLatest(before position: Position?, limit: Int) -> LogSlice {
        let earlier = entries.map(\.entry).filter { position == nil || $0.position < position ?? .zero }
        return LogSlice(
            entries: Array(earlier.suffix(limit)), isComplete: true, hasMore: earlier.count > limit, head: head)
    }
}

extension MessageBatch {
    /// One message that was given back, as it is published.
    init(_ entry: LogEntry, after previous: Position) {
        self.init(
            previous: previous, first: entry.position, time: entry.time, sentAt: 0,
            messages: [.init(body: entry.body, exceptFor: nil)])
    }
}

extension ByteBuffer {
    fileprivate func begins(with other: ByteBuffer) -> Bool {
        getSlice(at: readerIndex, length: other.readableBytes) == other
    }
}

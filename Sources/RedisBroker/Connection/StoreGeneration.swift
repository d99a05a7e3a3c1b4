import NIOCore

/// Which life of which store a link is connected to.
///
/// Redis names the history of its data by a replication ID, and takes a new one when it was restarted or promoted: from
/// then on what it holds may lack the last of what was acknowledged. The nodes have a moment to give back what they still
/// hold, then the store is settled and goes on without the rest.
struct StoreGeneration {
    private let settlingTime: TimeAmount
    private(set) var current: String?
    /// When the present generation was met; nil for the first one.
    private var replacedAt: NIODeadline?

    init(settlingTime: TimeAmount) { self.settlingTime = settlingTime }

    /// A connection stands. Whether it is to another generation than the one before.
    mutating func connected(to generation: String?, at now: NIODeadline) -> Bool {
        guard let generation, generation != current else { return false }
        defer { current = generation }
        guard current != nil else { return false }
        replacedAt = now
        return true
    }

    /// When new epochs may begin; nil for at once.
    func settles(after now: NIODeadline) -> NIODeadline? {
        guard let replacedAt, now < replacedAt + settlingTime else { return nil }
        return replacedAt + settlingTime
    }

    /// Reads it from what `INFO replication` answers.
    static func read(_ info: String) -> String? {
        let line = info.split(whereSeparator: \.isNewline).first { $0.hasPrefix("master_replid:") }
        guard let id = line?.dropFirst("master_replid:".count), !id.isEmpty else { return nil }
        return String(id.prefix(16))
    }
}

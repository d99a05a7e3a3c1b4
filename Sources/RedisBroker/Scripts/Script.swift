/// A Lua script that runs in Redis. Every script names all its keys in KEYS, and the keys of one call share a hash tag.
///
/// Whatever users wrote stays in ARGV and never becomes part of a script or of an error.
struct Script: Sendable, Equatable {
    /// The place in ``all``.
    let index: Int
    let source: String

    static let append = Script(index: 0, source: appendSource)
    static let readAfter = Script(index: 1, source: readAfterSource)
    static let readLatest = Script(index: 2, source: readLatestSource)
    static let enter = Script(index: 3, source: enterSource)
    static let leave = Script(index: 4, source: leaveSource)
    static let sweep = Script(index: 5, source: sweepSource)
    static let heartbeat = Script(index: 6, source: heartbeatSource)
    static let members = Script(index: 7, source: membersSource)
    static let ends = Script(index: 8, source: endsSource)
    static let restore = Script(index: 9, source: restoreSource)
    static let giveOrder = Script(index: 10, source: giveOrderSource)
    static let orders = Script(index: 11, source: ordersSource)
    static let living = Script(index: 12, source: livingSource)
    static let rules = Script(index: 13, source: rulesSource)

    /// For a cluster, where what is published reaches the subscribers of its slot.
    static let sharded = all.map { script in
        Script(
            index: script.index, source: script.source.replacing("redis.call('PUBLISH'", with: "redis.call('SPUBLISH'"))
    }

    static let all = [
        append, readAfter, readLatest, enter, leave, sweep, heartbeat, members, ends, restore, giveOrder, orders,
        living, rules,
    ]
}

import Synchronization

/// What a ``RedisBroker`` has done since it was made.
package struct RedisBrokerMetrics: Sendable, Equatable {
    /// Commands sent to Redis, scripts among them.
    package var commands = 0
    /// Errors that Redis answered.
    package var errors = 0
    /// Connections given up because Redis did not answer in time.
    package var timeouts = 0
    /// Connections that came to stand, and attempts and connections that ended.
    package var connections = 0
    package var disconnections = 0
    /// Commands answered, and the sum of the times from sending to the answer.
    package var commandsAnswered = 0
    package var commandNanoseconds = 0
    /// Scripts sent whole because Redis had lost them.
    package var scriptsReloaded = 0
    /// Messages stored, and those that were there before.
    package var appended = 0
    package var duplicates = 0
    /// Messages and entries that rooms' rules forbade.
    package var forbidden = 0
    /// Typing and signals that were dropped because Redis was away or slow.
    package var announcementsDropped = 0
    package var publicationsReceived = 0
    /// Publications that were not ours or not for us.
    package var publicationsDropped = 0
    /// Subscribing connections replaced because they carried no probe.
    package var deafSubscriptions = 0
    /// The time that the last probe took through Redis and the subscription.
    package var probeNanoseconds = 0
    /// Sessions of dead nodes that this node removed.
    package var sessionsSwept = 0
    /// Times that the sentinels named another primary, or slots of a cluster got another one.
    package var topologyChanges = 0
    /// Times that a node of a cluster was asked who serves what.
    package var topologyRefreshes = 0
    /// Commands that a node of a cluster sent elsewhere or put off.
    package var redirections = 0
    /// By primary of a cluster: the time that the last probe took through it and its subscription.
    package var shardProbeNanoseconds: [String: Int] = [:]
}

/// The counters of one event loop, or of one subscription. Written on one loop and read from anywhere, therefore atomic;
/// one set for each loop, so that no two loops write the same cache line.
final class RedisCounters: Sendable {
    let commands = Atomic(0)
    let errors = Atomic(0)
    let timeouts = Atomic(0)
    let connections = Atomic(0)
    let disconnections = Atomic(0)
    let commandsAnswered = Atomic(0)
    let commandNanoseconds = Atomic(0)
    let scriptsReloaded = Atomic(0)
    let appended = Atomic(0)
    let duplicates = Atomic(0)
    let forbidden = Atomic(0)
    let announcementsDropped = Atomic(0)
    let publicationsReceived = Atomic(0)
    let publicationsDropped = Atomic(0)
    let deafSubscriptions = Atomic(0)
    let probeNanoseconds = Atomic(0)
    let sessionsSwept = Atomic(0)
    let topologyChanges = Atomic(0)
    let topologyRefreshes = Atomic(0)
    let redirections = Atomic(0)

    func addTo(_ sum: inout RedisBrokerMetrics) {
        sum.commands += commands.load(ordering: .relaxed)
        sum.errors += errors.load(ordering: .relaxed)
        sum.timeouts += timeouts.load(ordering: .relaxed)
        sum.connections += connections.load(ordering: .relaxed)
        sum.disconnections += disconnections.load(ordering: .relaxed)
        sum.commandsAnswered += commandsAnswered.load(ordering: .relaxed)
        sum.commandNanoseconds += commandNanoseconds.load(ordering: .relaxed)
        sum.scriptsReloaded += scriptsReloaded.load(ordering: .relaxed)
        sum.appended += appended.load(ordering: .relaxed)
        sum.duplicates += duplicates.load(ordering: .relaxed)
        sum.forbidden += forbidden.load(ordering: .relaxed)
        sum.announcementsDropped += announcementsDropped.load(ordering: .relaxed)
        sum.publicationsReceived += publicationsReceived.load(ordering: .relaxed)
        sum.publicationsDropped += publicationsDropped.load(ordering: .relaxed)
        sum.deafSubscriptions += deafSubscriptions.load(ordering: .relaxed)
        sum.probeNanoseconds += probeNanoseconds.load(ordering: .relaxed)
        sum.sessionsSwept += sessionsSwept.load(ordering: .relaxed)
        sum.topologyChanges += topologyChanges.load(ordering: .relaxed)
        sum.topologyRefreshes += topologyRefreshes.load(ordering: .relaxed)
        sum.redirections += redirections.load(ordering: .relaxed)
    }
}

extension Atomic<Int> {
    /// One more, or so many more.
    func add(_ number: Int = 1) { wrappingAdd(number, ordering: .relaxed) }

    func set(_ number: Int) { store(number, ordering: .relaxed) }
}

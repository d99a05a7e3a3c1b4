import ChatHub
import ChatProtocol
import Hiredis
import Logging
import NIOCore
import Synchronization

/// Listens to a Redis Cluster: one subscribing connection to each primary, each room on that of its slot. Confined to the
/// broker's loop.
///
/// When a slot moves, its old primary ends the subscriptions to it, and what is published meanwhile on the new one nobody
/// hears: the room is subscribed there, and the hub reads what it missed.
final class ClusterSubscriber: RedisListening {
    private final class Shard {
        let subscriber: RedisSubscriber
        /// When a probe was last heard, or the shard became one.
        var soundAt: NIODeadline
        /// A slot of the shard in which its probes are.
        var canary: Int?

        init(subscriber: RedisSubscriber, soundAt: NIODeadline) {
            self.subscriber = subscriber
            self.soundAt = soundAt
        }
    }

    /// So long a shard may be silent before a node that was available is not.
    private static let patience = TimeAmount.seconds(3)
    /// Before a room is subscribed again whose primary has ended the subscription without saying who has it now.
    private static let pause = TimeAmount.milliseconds(20)

    var delegate: (any BrokerDelegate)? {
        didSet { for shard in shards.values { shard.subscriber.delegate = delegate } }
    }
    var stateChanged: () -> Void = {}
    /// The table may be out of date.
    var doubted: () -> Void = {}

    private let eventLoop: any EventLoop
    private let keys: Keys
    private let probeID: String
    private let delays: ShardDelays
    private let makeSubscriber: (RedisURL.Endpoint) -> RedisSubscriber
    private var table = SlotTable()
    private var shards: [RedisURL.Endpoint: Shard] = [:]
    /// Where each wanted room is subscribed.
    private var homes: [RoomName: RedisURL.Endpoint] = [:]
    /// Wanted rooms that are subscribed nowhere.
    private var homeless: Set<RoomName> = []
    private var isSettling = false
    private var isStopped = false

    init(
        eventLoop: any EventLoop, keys: Keys, probeID: String, delays: ShardDelays,
        subscriber: @escaping (RedisURL.Endpoint) -> RedisSubscriber
    ) {
        self.eventLoop = eventLoop
        self.keys = keys
        self.probeID = probeID
        self.delays = delays
        makeSubscriber = subscriber
    }

    func start() { eventLoop.assertInEventLoop() }

    func stop() {
        isStopped = true
        for shard in shards.values { shard.subscriber.stop() }
        shards.removeAll()
        delegate = nil
    }

    // MARK: Rooms

    func subscribe(to room: RoomName) {
        if let home = homes[room], let shard = shards[home] { return shard.subscriber.subscribe(to: room) }
        place(room)
    }

    func unsubscribe(from room: RoomName) {
        homeless.remove(room)
        if let home = homes.removeValue(forKey: room) { shards[home]?.subscriber.unsubscribe(from: room) }
    }

    private func place(_ room: RoomName) {
        guard let owner = table.owner(of: HashSlot.of(room)), let shard = shards[owner] else {
            homes[room] = nil
            homeless.insert(room)
            return
        }
        homeless.remove(room)
        homes[room] = owner
        shard.subscriber.subscribe(to: room)
    }

    /// The primary ended a subscription, or refused it. nil: that of the probes.
    private func evicted(_ room: RoomName?, by endpoint: RedisURL.Endpoint, to owner: (slot: Int, Redirection.Place)?) {
        guard !isStopped else { return }
        if let (slot, place) = owner {
            _ = table.moved(slot, to: place.endpoint(seenFrom: endpoint))
        }
        doubted()
        if let room, homes[room] == endpoint {
            homes[room] = nil
            homeless.insert(room)
            shards[endpoint]?.subscriber.unsubscribe(from: room)
        }
        if room == nil { shards[endpoint]?.canary = nil }
        guard !isSettling else { return }
        isSettling = true
        eventLoop.assumeIsolated().scheduleTask(in: Self.pause) { [weak self] in
            guard let self, !isStopped else { return }
            isSettling = false
            settle()
        }
    }

    private func settle() {
        for room in homeless { place(room) }
        for (endpoint, shard) in shards where shard.canary.map({ table.owner(of: $0) != endpoint }) ?? true {
            chooseCanary(endpoint, shard)
        }
    }

    // MARK: Places

    /// The cluster has told who serves what.
    func adopt(_ new: SlotTable) {
        eventLoop.assertInEventLoop()
        guard !isStopped else { return }
        table = new
        var fresh: [Shard] = []
        for primary in new.primaries where primary.slots > 0 && shards[primary.endpoint] == nil {
            let shard = Shard(subscriber: makeSubscriber(primary.endpoint), soundAt: eventLoop.now)
            set(shard, at: primary.endpoint)
            fresh.append(shard)
        }
        for (endpoint, shard) in shards where shard.canary.map({ new.owner(of: $0) != endpoint }) ?? true {
            chooseCanary(endpoint, shard)
        }
        for shard in fresh { shard.subscriber.start() }
        for (room, home) in homes where new.owner(of: HashSlot.of(room)) != home {
            shards[home]?.subscriber.unsubscribe(from: room)
            place(room)
        }
        for room in homeless { place(room) }
        for (endpoint, shard) in shards where !new.serves(endpoint) {
            shards[endpoint] = nil
            shard.subscriber.stop()
            delays.forget(endpoint)
        }
        stateChanged()
    }

    private func set(_ shard: Shard, at endpoint: RedisURL.Endpoint) {
        shards[endpoint] = shard
        shard.subscriber.delegate = delegate
        shard.subscriber.stateChanged = { [weak self, weak shard] in
            guard let self, let shard else { return }
            if shard.subscriber.linkFailure != nil { doubted() }
            stateChanged()
        }
        shard.subscriber.evicted = { [weak self] room, owner in self?.evicted(room, by: endpoint, to: owner) }
        shard.subscriber.heardProbe = { [weak self, weak shard] delay in
            guard let self, let shard else { return }
            shard.soundAt = eventLoop.now
            delays.set(delay, of: endpoint)
        }
    }

    private func chooseCanary(_ endpoint: RedisURL.Endpoint, _ shard: Shard) {
        guard table.serves(endpoint), let tag = HashSlot.tag(where: { table.owner(of: $0) == endpoint }) else { return }
        shard.canary = HashSlot.of(tag)
        shard.subscriber.listen(toProbesOn: keys.probe(of: probeID, tag: tag))
    }

    /// A primary cannot be heard, or a room has no place.
    var isTroubled: Bool { !homeless.isEmpty || shards.values.contains { $0.subscriber.linkFailure != nil } }

    // MARK: Time

    func probe() { for shard in shards.values { shard.subscriber.probe() } }
    func look() { for shard in shards.values { shard.subscriber.look() } }
    func renewLogs() { for shard in shards.values { shard.subscriber.renewLogs() } }

    /// Each shard that owns slots is judged, but for those that the cluster itself holds to be down: these make only
    /// their rooms unavailable, on all nodes alike, and sending the clients elsewhere would not help.
    func trouble(at now: NIODeadline, isLenient: Bool) -> ListeningTrouble? {
        guard !table.isEmpty else {
            return ListeningTrouble(reason: "it is not known yet who serves what", isOfConnection: false)
        }
        for endpoint in table.sound {
            guard let shard = shards[endpoint] else { continue }
            guard let trouble = shard.subscriber.trouble(at: now, isLenient: false) else { continue }
            if isLenient, now < shard.soundAt + Self.patience { continue }
            return ListeningTrouble(reason: "\(endpoint): \(trouble.reason)", isOfConnection: trouble.isOfConnection)
        }
        return nil
    }
}

/// How long the last probe took through each shard; read from anywhere.
final class ShardDelays: Sendable {
    private let nanoseconds = Mutex<[RedisURL.Endpoint: Int]>([:])

    var byName: [String: Int] {
        nanoseconds.withLock { delays in
            Dictionary(delays.map { ($0.key.description, $0.value) }, uniquingKeysWith: { first, _ in first })
        }
    }

    func set(_ delay: TimeAmount, of endpoint: RedisURL.Endpoint) {
        nanoseconds.withLock { $0[endpoint] = Int(delay.nanoseconds) }
    }

    func forget(_ endpoint: RedisURL.Endpoint) { nanoseconds.withLock { $0[endpoint] = nil } }
}

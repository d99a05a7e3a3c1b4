import ChatHub
import ChatProtocol
import Hiredis
import Logging
import NIOCore

/// The subscribing side: one connection that does nothing but listen. Confined to the broker's loop.
///
/// SUBSCRIBE only, never PSUBSCRIBE: Redis would match every publication of the cluster against every pattern. In a
/// Redis Cluster SSUBSCRIBE, to one of its primaries.
final class RedisSubscriber: RedisListening {
    var delegate: (any BrokerDelegate)?
    /// The connection came to stand or was lost, or a probe was heard after silence.
    var stateChanged: () -> Void = {}
    /// Redis ended or refused the subscription of a room, or of the probes (nil), and may have said who has the slot now.
    var evicted: (RoomName?, (slot: Int, Redirection.Place)?) -> Void = { _, _ in }
    var heardProbe: (TimeAmount) -> Void = { _ in }

    private let link: RedisLink
    /// Carries the probes, and keeps alive the logs of rooms that are subscribed.
    private let commands: any RedisRoute
    private let configuration: RedisBrokerConfiguration
    private let keys: Keys
    private var probeChannel: String
    private let subscribeWord: String
    private let unsubscribeWord: String
    private let subscribed: ByteBuffer
    /// In a cluster the channels of one command must share a slot.
    private let channelsInACommand: Int
    private let counters: RedisCounters
    private let logger: Logger

    private var ledger = SubscriptionLedger()
    private var probes: ProbeMonitor
    private var probeName: ByteBuffer
    private var confirmed: [RoomName] = []
    private var isFlushScheduled = false
    /// In the present reading.
    private var hasHeardPublication = false
    private var renewal: LogRenewal

    init(
        link: RedisLink, commands: any RedisRoute, configuration: RedisBrokerConfiguration, probeID: String,
        counters: RedisCounters, logger: Logger
    ) {
        self.link = link
        self.commands = commands
        self.configuration = configuration
        self.keys = Keys(prefix: configuration.prefix)
        self.probeChannel = keys.probe(of: probeID)
        self.probeName = ByteBuffer(string: probeChannel)
        let sign = commands.isSharded ? "S" : ""
        self.subscribeWord = "\(sign)SUBSCRIBE"
        self.unsubscribeWord = "\(sign)UNSUBSCRIBE"
        self.subscribed = ByteBuffer(string: subscribeWord.lowercased())
        self.channelsInACommand = commands.isSharded ? 1 : 1_000
        self.counters = counters
        self.logger = logger
        self.probes = ProbeMonitor(deafAfter: configuration.deafAfter)
        self.renewal = LogRenewal(expiry: configuration.logIdleExpiry)
        link.events.storeReplaced = { [weak self] in self?.delegate?.storeReplaced() }
        link.events.up = { [weak self] in self?.up() }
        link.events.down = { [weak self] in self?.down() }
        link.events.pushed = { [weak self] in self?.pushed($0) }
        link.events.readAllForNow = { [weak self] in self?.readAllForNow() }
        link.events.failureChanged = { [weak self] in self?.stateChanged() }
    }

    /// Why the connection does not stand; nil when it does.
    var linkFailure: String? { link.failure }

    func trouble(at now: NIODeadline, isLenient: Bool) -> ListeningTrouble? {
        if let linkFailure { return ListeningTrouble(reason: linkFailure, isOfConnection: true) }
        guard !probes.hears(at: now) else { return nil }
        return ListeningTrouble(reason: "the subscription carries nothing", isOfConnection: false)
    }

    /// From now on the probes travel on this channel.
    func listen(toProbesOn channel: String) {
        guard channel != probeChannel else { return }
        if link.isUp, !probeChannel.isEmpty { link.send([.text(unsubscribeWord), .text(probeChannel)]) }
        probeChannel = channel
        probeName = ByteBuffer(string: channel)
        if link.isUp { link.send([.text(subscribeWord), .text(probeChannel)]) }
    }

    func start() { link.start() }

    /// Redis is there from now on.
    func moved(to place: RedisURL.Endpoint) { link.moved(to: place) }

    func stop() {
        link.stop()
        delegate = nil
    }

    func subscribe(to room: RoomName) {
        ledger.subscribe(room)
        scheduleFlush()
    }

    func unsubscribe(from room: RoomName) {
        // From here on nothing of the room is handed over any more, whatever still arrives.
        ledger.unsubscribe(room)
        scheduleFlush()
    }

    // MARK: Time

    /// Sends a probe through Redis to ourselves.
    func probe() {
        guard link.isUp, commands.isUp, !probeChannel.isEmpty else { return }
        let number = probes.send(at: link.eventLoop.now)
        commands.send([commands.publish, .text(probeChannel), .text(String(number))]) { [weak self] result in
            if case .failure = result { self?.probes.notSent(number) }
        }
    }

    /// Replaces a subscription that is connected but deaf.
    func look() {
        guard probes.isDeaf(at: link.eventLoop.now) else { return }
        counters.deafSubscriptions.add()
        logger.warning("The subscription to Redis carried no probe and is replaced")
        link.replace("the subscription carried no probe")
    }

    /// Postpones the expiry of the logs of some subscribed rooms: a log does not go while somebody is in its room.
    func renewLogs() {
        guard commands.isUp else { return }
        for room in renewal.next(at: link.eventLoop.now, of: { ledger.wanted }) where ledger.isWanted(room) {
            renewLog(room)
        }
    }

    private func renewLog(_ room: RoomName) {
        guard configuration.logTimeToLive > 0 else { return }
        commands.send(["PEXPIRE", .text(keys.log(room)), .integer(configuration.logTimeToLive)])
    }

    // MARK: Connection

    private func up() {
        probes.listening(at: link.eventLoop.now)
        if !probeChannel.isEmpty { link.send([.text(subscribeWord), .text(probeChannel)]) }
        ledger.connected()
        flush()
        // At once, not at the next beat: until it is heard this node is not ready.
        link.flush()
        probe()
        stateChanged()
    }

    private func down() {
        probes.stopped()
        ledger.disconnected()
        confirmed.removeAll()
        delegate?.subscriptionsLost()
        stateChanged()
    }

    private func scheduleFlush() {
        guard !isFlushScheduled else { return }
        isFlushScheduled = true
        link.eventLoop.assumeIsolated().execute { [self] in
            isFlushScheduled = false
            flush()
        }
    }

    private func flush() {
        let batch = ledger.flush()
        send(.text(subscribeWord), batch.subscribe)
        send(.text(unsubscribeWord), batch.unsubscribe)
        for room in batch.subscribe { renewLog(room) }
        if !batch.standing.isEmpty { delegate?.subscribed(to: batch.standing) }
    }

    private func send(_ command: Argument, _ rooms: [RoomName]) {
        var rest = rooms[...]
        while !rest.isEmpty {
            link.send([command] + rest.prefix(channelsInACommand).map { .text(keys.channel($0)) })
            rest = rest.dropFirst(channelsInACommand)
        }
    }

    // MARK: What Redis says

    private func pushed(_ reply: Reply) {
        if case .error(let text) = reply { return refused(text) }
        guard case .array(let parts) = reply, parts.count == 3, case .bulk(let kind) = parts[0],
            case .bulk(let channel) = parts[1]
        else {
            counters.publicationsDropped.add()
            return
        }
        if case .bulk(let payload) = parts[2] {
            heard(payload, on: channel)
        } else if channel == probeName {
            if kind != subscribed { lostProbes(nil) }
        } else if let room = keys.room(ofChannel: channel) {
            confirmed(kind, room)
        }
    }

    /// Until there is another channel for them no probe is sent.
    private func lostProbes(_ owner: (slot: Int, Redirection.Place)?) {
        probeChannel = ""
        probeName = ByteBuffer()
        evicted(nil, owner)
    }

    /// `MOVED`: it does not say of which channel.
    private func refused(_ error: String) {
        guard case .moved(let slot, let place)? = Redirection(error) else { return }
        for room in ledger.told where HashSlot.of(room) == slot && ledger.revoked(room) { evicted(room, (slot, place)) }
        if !probeChannel.isEmpty, HashSlot.of(probeChannel) == slot { lostProbes((slot, place)) }
        scheduleFlush()
    }

    private func heard(_ payload: ByteBuffer, on channel: ByteBuffer) {
        if channel == probeName { return heardProbe(payload) }
        guard let room = keys.room(ofChannel: channel), ledger.isWanted(room) else {
            counters.publicationsDropped.add()
            return
        }
        hasHeardPublication = true
        do {
            let publication = try PublicationCodec.parse(payload)
            counters.publicationsReceived.add()
            delegate?.received(publication, in: room)
        } catch {
            counters.publicationsDropped.add()
            logger.debug(
                "A publication is not ours", metadata: ["room": "\(room)", "reason": "\(error)"])
        }
    }

    private func heardProbe(_ payload: ByteBuffer) {
        let now = link.eventLoop.now
        let heardBefore = probes.hears(at: now)
        guard let number = PublicationCodec.number(payload), let delay = probes.heard(number, at: now) else { return }
        counters.probeNanoseconds.set(Int(delay.nanoseconds))
        heardProbe(delay)
        if !heardBefore { stateChanged() }
    }

    private func confirmed(_ kind: ByteBuffer, _ room: RoomName) {
        if kind == subscribed {
            if ledger.confirmedSubscribe(room) { confirmed.append(room) } else { scheduleFlush() }
        } else {
            if ledger.revoked(room) { evicted(room, nil) }
            scheduleFlush()
        }
    }

    private func readAllForNow() {
        if hasHeardPublication {
            hasHeardPublication = false
            probes.heardPublication(at: link.eventLoop.now)
        }
        if !confirmed.isEmpty {
            // After what stood in the same read: the hub compares with the log in any case.
            let rooms = confirmed.filter { ledger.isWanted($0) }
            confirmed.removeAll(keepingCapacity: true)
            if !rooms.isEmpty { delegate?.subscribed(to: rooms) }
        }
        delegate?.receivedAllForNow()
    }
}

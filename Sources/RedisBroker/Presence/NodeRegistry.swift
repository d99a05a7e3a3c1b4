import ChatHub
import ChatProtocol
import Hiredis
import Logging
import NIOCore

/// Keeps this node among the living and removes what dead nodes left behind. Confined to the broker's loop.
final class NodeRegistry {
    /// The rooms that are swept together.
    private static let roomsAtOnce = 200

    /// The node has a new name, under which its sessions enter again. Completes when all of them have.
    var incarnationChanged: (String) -> EventLoopFuture<Void>
    var stateChanged: () -> Void = {}

    private(set) var incarnation: String
    private let node: String
    private let link: any RedisRoute
    private let keys: Keys
    private let configuration: RedisBrokerConfiguration
    private let counters: RedisCounters
    private let logger: Logger
    private var lease: NodeLease
    /// The time in Redis, in ms since 1970, when it answered the last beat.
    private var answeredAt: Int64 = 0
    /// The name that the event loops were told.
    private var announced: String
    /// Names that were given up while sessions stood under them. They live on until all have entered under the present
    /// one; then whatever is left under them is removed as a dead node's.
    private var former: Set<String> = []
    private var sweeping: Set<String> = []
    /// The lease was given up for good: a beat would begin a new life.
    private var isReleased = false

    init(
        incarnation: String, link: any RedisRoute, configuration: RedisBrokerConfiguration, counters: RedisCounters,
        logger: Logger
    ) {
        self.incarnation = incarnation
        self.announced = incarnation
        self.node = configuration.node
        self.link = link
        self.incarnationChanged = { [eventLoop = link.eventLoop] _ in eventLoop.makeSucceededVoidFuture() }
        self.keys = Keys(prefix: configuration.prefix)
        self.configuration = configuration
        self.counters = counters
        self.logger = logger
        self.lease = NodeLease(timeout: configuration.leaseTimeout)
    }

    /// `NAME.RANDOM`, different for each life of a node, without spaces.
    static func incarnation(of node: String) -> String { "\(name(of: node)).\(SessionID.random())" }

    static func name(of node: String) -> String {
        String(String.UnicodeScalarView(node.unicodeScalars.map { $0.value > 0x20 ? $0 : "-" }))
    }

    static func name(ofIncarnation incarnation: String) -> String {
        incarnation.lastIndex(of: ".").map { String(incarnation[..<$0]) } ?? incarnation
    }

    var isRegistered: Bool { lease.isHeld }

    /// Says that this node lives.
    func beat() {
        guard !isReleased else { return }
        // Whoever was away itself cannot say of others that they were.
        guard link.isUp else { return lease.failed() }
        guard let beat = lease.beat(at: link.eventLoop.now) else { return }
        let mode: (Argument, Argument) =
            switch beat {
            case .register: ("new", .integer(0))
            case .renew(let mayJudge): ("renew", .integer(mayJudge ? Int(answeredAt) : 0))
            }
        let name = incarnation
        heartbeat(of: name, mode.0, mode.1) { [self] result in
            // An answer to a name that was given up meanwhile says nothing about this one.
            if name == incarnation { answered(result) }
        }
        // Nobody may call them dead while sessions stand under them.
        for name in former { heartbeat(of: name, "renew", 0) { _ in } }
    }

    private func heartbeat(
        of name: String, _ mode: Argument, _ mayJudge: Argument, _ completion: @escaping RedisConnection.Completion
    ) {
        let timeout = Int(configuration.leaseTimeout.nanoseconds / 1_000_000)
        link.run(.heartbeat, keys: [keys.nodes], [.text(name), .integer(timeout), mode, mayJudge], completion)
    }

    private func answered(_ result: Result<Reply, BrokerError>) {
        guard !isReleased else { return }
        guard case .success(.array(let parts)) = result, case .integer(let code)? = parts.first else {
            lease.failed()
            return logger.debug("A heartbeat failed", metadata: ["answer": "\(result)"])
        }
        let answer: NodeLease.Answer =
            switch code {
            case 0: .lost
            case 1: .late
            default: .renewed
            }
        if parts.count > 1, case .integer(let time) = parts[1] { answeredAt = time }
        let wasHeld = lease.isHeld
        if lease.answered(answer, at: link.eventLoop.now) {
            let old = takeNewName()
            logger.warning(
                "This node was declared dead or forgotten by Redis and registers anew",
                metadata: ["incarnation": "\(incarnation)", "before": "\(old)"])
            beat()
        }
        if lease.isHeld != wasHeld { stateChanged() }
        announce()
        for part in parts.dropFirst(2) {
            if let dead = part.bytes.map({ String(buffer: $0) }), dead != incarnation { sweep(dead) }
        }
    }

    // MARK: Names

    /// The store is another one, or was restarted: sessions that have left may be back in it, under this node's own name.
    /// All that are there enter under a new name; what is left under the old one then is removed. Whoever is in both is
    /// in the room all the time.
    func storeReplaced() {
        // A name that was not registered before is in no store.
        guard !isReleased, lease.isRegistered else { return }
        lease.renamed()
        let old = takeNewName()
        former.insert(old)
        logger.notice(
            "Redis was replaced or restarted: this node enters its sessions under a new name",
            metadata: ["incarnation": "\(incarnation)", "before": "\(old)"])
        beat()
    }

    private func takeNewName() -> String {
        defer { incarnation = Self.incarnation(of: node) }
        return incarnation
    }

    /// Sessions enter under a new name only when it is registered: others would not find them if this node died.
    private func announce() {
        guard lease.isRegistered, announced != incarnation else { return }
        announced = incarnation
        let name = incarnation
        let given = former
        incarnationChanged(name).assumeIsolated().whenSuccess { [self] in
            guard !isReleased, name == incarnation else { return }
            for old in given.intersection(former) { end(old) }
        }
    }

    /// All sessions have entered under a newer name: what stands under this one is a remnant.
    private func end(_ old: String) {
        link.send(["ZADD", .text(keys.nodes), 0, .text(old)]) { [self] result in
            switch result {
            case .success:
                former.remove(old)
                sweep(old)
            case .failure(let error):
                logger.debug("A former name could not be ended", metadata: ["reason": "\(error)"])
                link.eventLoop.assumeIsolated().scheduleTask(in: configuration.heartbeatInterval) { [weak self] in
                    guard let self, !isReleased, former.contains(old) else { return }
                    end(old)
                }
            }
        }
    }

    /// The node ends in good order. Its sessions have left before.
    func release() -> EventLoopFuture<Void> {
        isReleased = true
        let promise = link.eventLoop.makePromise(of: Void.self)
        // Whatever a replaced store has brought back under them is for others to remove.
        for old in former { link.send(["ZADD", .text(keys.nodes), 0, .text(old)]) }
        link.send(["DEL", .text(keys.rooms(of: incarnation))])
        link.send(["ZREM", .text(keys.nodes), .text(incarnation)]) { result in
            switch result {
            case .success: promise.succeed()
            case .failure(let error): promise.fail(error)
            }
        }
        return promise.futureResult
    }

    // MARK: Sweeping

    /// Removes a dead node's sessions. All living nodes do it, each taking rooms at random, and whatever one of them did
    /// the others find done. What fails here is begun again at the next heartbeat.
    private func sweep(_ dead: String) {
        guard sweeping.insert(dead).inserted else { return }
        logger.notice("A node is dead, its sessions are removed", metadata: ["incarnation": "\(dead)"])
        sweepSomeRooms(of: dead)
    }

    private func sweepSomeRooms(of dead: String) {
        let list = keys.rooms(of: dead)
        link.send(["SRANDMEMBER", .text(list), .integer(Self.roomsAtOnce)]) { [self] result in
            guard case .success(.array(let members)) = result else { return ended(dead, result) }
            let names = members.compactMap { $0.bytes.map { String(buffer: $0) } }
            guard !names.isEmpty else {
                // The random part of its name never comes again: nobody can have taken the lease meanwhile.
                return link.send(["ZREM", .text(keys.nodes), .text(dead)]) { [self] in ended(dead, $0) }
            }
            let rooms = Set(
                names.compactMap { name in
                    name.firstIndex(of: " ").flatMap { RoomName(name[name.index(after: $0)...]) }
                })
            var open = rooms.count
            var failure: Result<Reply, BrokerError>?
            let roomDone: RedisConnection.Completion = { [self] result in
                if case .failure = result { failure = result }
                open -= 1
                guard open <= 0 else { return }
                if let failure { return ended(dead, failure) }
                link.send(["SREM", .text(list)] + names.map { .text($0) }) { [self] result in
                    guard case .success = result else { return ended(dead, result) }
                    sweepSomeRooms(of: dead)
                }
            }
            guard !rooms.isEmpty else { return roomDone(.success(.null)) }
            for room in rooms { sweep(room, of: dead, from: "0", roomDone) }
        }
    }

    private func sweep(
        _ room: RoomName, of dead: String, from cursor: String, _ completion: @escaping RedisConnection.Completion
    ) {
        link.run(
            .sweep, keys: [keys.sessions(room), keys.users(room)],
            [.text(keys.channel(room)), .integer(PresenceFeed.crowdLimit), .text(dead), .text(cursor)]
        ) { [self] result in
            guard case .success(.array(let parts)) = result, parts.count == 2, let next = parts[0].bytes,
                case .integer(let removed) = parts[1]
            else {
                return completion(
                    result.flatMap { _ in .failure(.malformed("the sweep script answered what it never does")) })
            }
            counters.sessionsSwept.add(Int(removed))
            let cursor = String(buffer: next)
            if cursor == "0" { completion(result) } else { sweep(room, of: dead, from: cursor, completion) }
        }
    }

    private func ended(_ dead: String, _ result: Result<Reply, BrokerError>) {
        sweeping.remove(dead)
        if case .failure(let error) = result {
            logger.debug("Sweeping is put off", metadata: ["incarnation": "\(dead)", "reason": "\(error)"])
        }
    }
}

import ChatHub
import ChatProtocol
import Hiredis
import NIOCore

/// One event loop's commands to a Redis Cluster: a link to each primary, and the slot table that tells which one.
/// Follows redirections, and repeats what a node cannot do just now, within the command deadline.
final class ClusterRoute: RedisRoute {
    /// A command that is to be sent, or sent again.
    private struct Call {
        enum What {
            case command([Argument])
            case script(Script, keys: [String], [Argument])
        }

        var what: What
        var slot: Int
        /// No other attempt begins after it.
        var deadline: NIODeadline
        var completion: RedisConnection.Completion
        var attempts = 0

        /// What it says depends on the store that it goes to.
        var isBoundToStore: Bool {
            switch what {
            case .command: false
            case .script(let script, _, _): script.index == Script.append.index
            }
        }
    }

    /// Between two attempts of what a node cannot do just now.
    private static let pauses: [TimeAmount] = [
        .milliseconds(10), .milliseconds(20), .milliseconds(50), .milliseconds(100),
    ]
    /// A cluster that sends a command around in circles is given up.
    private static let mostAttempts = 50

    let eventLoop: any EventLoop
    var events = RedisLink.Events()
    private(set) var failure: String? = RedisLink.notConnectedYet
    /// The table may be out of date.
    var doubted: () -> Void = {}

    private var table = SlotTable()
    private var links: [RedisURL.Endpoint: RedisLink] = [:]
    /// By slot: what is to be sent again after a pause, and what came after it.
    private var waiting: [Int: [Call]] = [:]
    private let timeout: TimeAmount
    private let counters: RedisCounters
    private let makeLink: (RedisURL.Endpoint) -> RedisLink
    private var isStopped = false

    /// - Parameter link: Makes a link to a primary.
    init(
        eventLoop: any EventLoop, timeout: TimeAmount, counters: RedisCounters,
        link: @escaping (RedisURL.Endpoint) -> RedisLink
    ) {
        self.eventLoop = eventLoop
        self.timeout = timeout
        self.counters = counters
        makeLink = link
    }

    var isSharded: Bool { true }
    var publish: Argument { "SPUBLISH" }
    var isUp: Bool { links.values.contains { $0.isUp } }
    var hidesPolicy: Bool { links.values.contains { $0.hidesPolicy } }
    /// A primary cannot be reached, whether the cluster knows it or not.
    var isTroubled: Bool { table.primaries.contains { links[$0.endpoint]?.isUp != true } }

    func start() { eventLoop.assertInEventLoop() }

    func stop() {
        eventLoop.assertInEventLoop()
        isStopped = true
        for link in links.values { link.stop() }
        links.removeAll()
        fail("this node is shutting down")
    }

    func together(_ sends: () -> Void) {
        sends()
        for link in links.values { link.flush() }
    }

    // MARK: Places

    /// The cluster has told who serves what. What is under way at a primary that is one no more may still be answered.
    func adopt(_ new: SlotTable) {
        eventLoop.assertInEventLoop()
        guard !isStopped else { return }
        let old = table
        table = new
        for primary in new.primaries where primary.slots > 0 && links[primary.endpoint] == nil {
            _ = link(to: primary.endpoint, after: predecessor(of: primary.endpoint, in: old))
        }
        for (endpoint, link) in links where !new.serves(endpoint) {
            eventLoop.assumeIsolated().scheduleTask(in: timeout) { [weak self] in self?.retire(endpoint, link) }
        }
        judge()
    }

    /// Nobody knows yet, or any more, who serves what.
    func unknown(_ reason: String) {
        eventLoop.assertInEventLoop()
        if table.isEmpty, !isStopped { fail(reason) }
    }

    func place(of room: RoomName) -> Int { table.index(of: HashSlot.of(room)) ?? -1 }

    func failure(for room: RoomName) -> String? {
        guard let link = link(of: HashSlot.of(room)) else {
            return failure ?? "no node of the cluster serves this room"
        }
        return link.failure
    }

    func generation(for room: RoomName) -> StoreGeneration {
        link(of: HashSlot.of(room))?.generation ?? StoreGeneration(settlingTime: .zero)
    }

    func isCongested(for room: RoomName, limit: Int) -> Bool {
        link(of: HashSlot.of(room))?.isCongested(limit: limit) ?? true
    }

    private func link(of slot: Int) -> RedisLink? { table.owner(of: slot).flatMap { links[$0] } }

    /// Whose slots a new primary has; nil when whoever had them has others left: then they were moved, none was lost.
    private func predecessor(of endpoint: RedisURL.Endpoint, in old: SlotTable) -> RedisURL.Endpoint? {
        guard let slot = (0..<HashSlot.count).first(where: { table.owner(of: $0) == endpoint }),
            let former = old.owner(of: slot), !table.serves(former)
        else { return nil }
        return former
    }

    /// The link to a node.
    ///
    /// - Parameter former: the primary that it takes the place of, if the link is new: it goes on with a copy of the same
    ///   data, which is another generation of it, and the link will notice by the one that it inherits.
    private func link(to endpoint: RedisURL.Endpoint, after former: RedisURL.Endpoint? = nil) -> RedisLink {
        if let link = links[endpoint] { return link }
        let link = makeLink(endpoint)
        if let former, let generation = links[former]?.generation { link.inherit(generation) }
        link.events.up = { [weak self] in
            self?.judge()
            self?.events.up()
        }
        link.events.storeReplaced = { [weak self] in self?.events.storeReplaced() }
        link.events.down = { [weak self] in
            guard let self else { return }
            doubted()
            if !isUp { events.down() }
        }
        link.events.failureChanged = { [weak self] in
            self?.judge()
            self?.doubted()
        }
        link.events.unsuitable = { [weak self] in self?.events.unsuitable($0) }
        links[endpoint] = link
        link.start()
        return link
    }

    private func retire(_ endpoint: RedisURL.Endpoint, _ link: RedisLink) {
        guard !isStopped, !table.serves(endpoint), links[endpoint] === link else { return }
        links[endpoint] = nil
        link.stop()
    }

    /// What the cluster itself holds to be down is not this node's trouble: only the rooms there are without.
    private func judge() {
        guard !isStopped else { return }
        guard !table.isEmpty else { return fail(failure) }
        for endpoint in table.sound {
            guard let reason = links[endpoint]?.failure else { continue }
            return fail("\(endpoint): \(reason)")
        }
        fail(isUp ? nil : "all primaries of the cluster are down")
    }

    private func fail(_ reason: String?) {
        guard failure != reason else { return }
        failure = reason
        events.failureChanged()
    }

    // MARK: Commands

    func send(_ arguments: [Argument], _ completion: RedisConnection.Completion?) {
        guard arguments.count > 1, case .text(let key) = arguments[1] else {
            preconditionFailure("a command without a key in a cluster")
        }
        perform(call(.command(arguments), HashSlot.of(key), completion ?? { _ in }))
    }

    func send(_ arguments: [Argument], besides room: RoomName, _ completion: @escaping RedisConnection.Completion) {
        perform(call(.command(arguments), HashSlot.of(room), completion))
    }

    func run(
        _ script: Script, keys: [String], _ arguments: [Argument], _ completion: @escaping RedisConnection.Completion
    ) {
        guard let key = keys.first else { preconditionFailure("a script without a key in a cluster") }
        perform(call(.script(script, keys: keys, arguments), HashSlot.of(key), completion))
    }

    private func call(_ what: Call.What, _ slot: Int, _ completion: @escaping RedisConnection.Completion) -> Call {
        eventLoop.assertInEventLoop()
        return Call(what: what, slot: slot, deadline: eventLoop.now + timeout, completion: completion)
    }

    private func perform(_ call: Call) {
        guard !isStopped else { return call.completion(.failure(.unavailable(failure ?? "shutting down"))) }
        // What came before has to wait: nothing overtakes it.
        guard waiting[call.slot] == nil else {
            waiting[call.slot]?.append(call)
            return
        }
        guard let endpoint = table.owner(of: call.slot) else {
            doubted()
            return again(call, later: .unavailable(failure ?? "no node of the cluster serves slot \(call.slot)"))
        }
        submit(call, to: link(to: endpoint), isAsking: false)
    }

    private func submit(_ call: Call, to link: RedisLink, isAsking: Bool) {
        if let reason = link.failure {
            let error = BrokerError.unavailable(reason)
            // Only the first attempt to connect is worth waiting for: a shard that is down must not hold anybody up.
            guard reason == RedisLink.notConnectedYet else { return call.completion(.failure(error)) }
            return again(call, later: error)
        }
        let done: RedisConnection.Completion = { [self] result in
            guard case .failure(let error) = result, let redirection = Redirection(error.message) else {
                return call.completion(result)
            }
            redirected(call, redirection, error, from: link)
        }
        switch call.what {
        case .command(let arguments):
            if isAsking { link.send(["ASKING"]) }
            link.send(arguments, done)
        case .script(let script, let keys, let arguments):
            link.run(script, keys: keys, arguments, isAsking: isAsking, done)
        }
    }

    private func redirected(_ call: Call, _ redirection: Redirection, _ error: BrokerError, from link: RedisLink) {
        counters.redirections.add()
        guard !isStopped, eventLoop.now < call.deadline, call.attempts < Self.mostAttempts else {
            return call.completion(.failure(error))
        }
        var call = call
        call.attempts += 1
        switch redirection {
        case .moved(let slot, let place):
            let endpoint = place.endpoint(seenFrom: link.endpoint)
            let former = table.owner(of: slot)
            if table.moved(slot, to: endpoint) { doubted() }
            let owner = self.link(to: endpoint, after: former)
            if call.isBoundToStore { return call.completion(.failure(.moved)) }
            submit(call, to: owner, isAsking: false)
        case .asked(_, let place):
            submit(call, to: self.link(to: place.endpoint(seenFrom: link.endpoint)), isAsking: true)
        case .later:
            doubted()
            again(call, later: error)
        }
    }

    /// After a pause, if there is time left, and before anything of the slot that comes meanwhile.
    private func again(_ call: Call, later error: BrokerError) {
        let pause = Self.pauses[min(call.attempts, Self.pauses.count - 1)]
        guard !isStopped, eventLoop.now + pause < call.deadline else { return call.completion(.failure(error)) }
        var call = call
        call.attempts += 1
        let isFirst = waiting[call.slot] == nil
        waiting[call.slot, default: []].append(call)
        guard isFirst else { return }
        let slot = call.slot
        eventLoop.assumeIsolated().scheduleTask(in: pause) { [self] in
            for call in waiting.removeValue(forKey: slot) ?? [] {
                // The store may be another one by now: what depends on it is to be said anew.
                if call.isBoundToStore { call.completion(.failure(.moved)) } else { perform(call) }
            }
        }
    }
}

extension BrokerError {
    /// Nothing was done, and the room's data is, or may be, at another primary now: what was to be done there must be
    /// said anew.
    static let moved = BrokerError.unavailable("the room moves to another primary of the cluster")
}

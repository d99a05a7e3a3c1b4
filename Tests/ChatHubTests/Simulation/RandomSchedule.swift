import ChatProtocol
import NIOCore
import NIOEmbedded
import TestSupport

@testable import ChatHub

/// What may happen in a random schedule.
struct ScheduleKind: Sendable {
    /// The store may be replaced by one that lacks the last writes.
    var hasFailovers = false
    /// Nodes hold little that they could give back.
    var hasSmallTails = false
    /// Logs are trimmed, deleted, and replaced by nothing.
    var hasLosses = false
    /// Nodes are killed and started again, rooms are soon forgotten, clients want no echo, or only the latest.
    var isVaried = false

    static let all = [
        ScheduleKind(),
        ScheduleKind(hasFailovers: true),
        ScheduleKind(hasFailovers: true, hasSmallTails: true),
        ScheduleKind(hasFailovers: true, hasSmallTails: true, hasLosses: true),
        ScheduleKind(isVaried: true),
        ScheduleKind(hasFailovers: true, isVaried: true),
        ScheduleKind(hasFailovers: true, hasSmallTails: true, isVaried: true),
    ]
}

/// One schedule: a cluster with clients, of which a seed decides what happens in each step, until everything heals. Steps
/// can be left out without changing what the others do, so that a schedule that fails can be told shortly.
final class RandomSchedule {
    let kind: ScheduleKind
    let cluster: SimulatedCluster
    private let seed: UInt64
    private let steps: [Int]
    private var random: SeededGenerator
    private(set) var trace: [String] = []
    private(set) var complaints: [String] = []
    private(set) var clients: [SimulatedClient] = []
    private var sent = 0
    private var published: Set<String> = []
    private(set) var authors: [String: UserName] = [:]
    private(set) var acknowledged: Set<String> = []
    private(set) var seen: [Position: String] = [:]
    /// What a node still held when it found its store replaced, and the room as it was then there.
    private(set) var held: [(ids: Set<String>, node: Int, room: RoomDirectory.Room)] = []
    /// Messages that were deleted, or lost with the whole log.
    private(set) var forgotten: Set<String> = []
    private(set) var hasLostLogs = false

    init(seed: UInt64, steps: [Int]) throws {
        self.seed = seed
        self.steps = steps
        random = SeededGenerator(seed: seed)
        kind = ScheduleKind.all.randomElement(using: &random) ?? ScheduleKind()
        var hub = LoopHub.Settings()
        hub.ringBytes = [0, 600, 64 * 1024].randomElement(using: &random) ?? 0
        hub.catchUpSlice = 3
        if kind.isVaried { hub.linger = .milliseconds(50) }
        hub.catchUpBytes = [1, 32 * 1024].randomElement(using: &random) ?? 1
        var directory = RoomDirectory.Settings()
        directory.repairSlice = 3
        directory.deliveryBytes = [200, 64 * 1024].randomElement(using: &random) ?? 200
        directory.tailBytes = kind.hasSmallTails ? Int.random(in: 0...3000, using: &random) : 1 << 20
        cluster = try SimulatedCluster(
            nodes: Int.random(in: 2...3, using: &random), loops: Int.random(in: 1...2, using: &random), hub: hub,
            directory: directory)
        if kind.hasLosses, Bool.random(using: &random) { cluster.store.logLength = 8 }
        for index in 0..<Int.random(in: 2...5, using: &random) {
            let client = SimulatedClient("client\(index)", wantsEcho: !kind.isVaried || index % 2 == 1)
            client.complain = { [weak self] in self?.complain($0) }
            client.saw = { [weak self] in self?.saw($0, $1) }
            clients.append(client)
        }
        cluster.willNoticeReplacement = { [weak self] in self?.noteHeld(by: $0) }
        for step in steps {
            begin(step)
            try takeStep()
        }
        begin(-1)
        heal()
        check()
    }

    /// Each step has random numbers of its own.
    private func begin(_ step: Int) {
        var numbers = SeededGenerator(seed: seed &+ UInt64(bitPattern: Int64(step)))
        random = SeededGenerator(seed: numbers.next())
    }

    /// What went wrong, and how.
    var story: String {
        let steps = trace.enumerated().map { "\($0) \($1)" }
        return (["\(kind)"] + complaints + steps).joined(separator: "\n")
    }

    /// The same with as few steps as are enough to go wrong.
    func shortened() throws -> RandomSchedule {
        var shortest = self
        var size = max(1, steps.count / 2)
        var isDone = false
        while !isDone {
            let before = shortest.steps.count
            var start = 0
            while start < shortest.steps.count {
                var fewer = shortest.steps
                fewer.removeSubrange(start..<min(start + size, fewer.count))
                let schedule = try RandomSchedule(seed: seed, steps: fewer)
                if schedule.complaints.isEmpty { start += size } else { shortest = schedule }
            }
            isDone = size == 1 && shortest.steps.count == before
            size = max(1, size / 2)
        }
        return shortest
    }

    func complain(_ complaint: String) {
        complaints.append("step \(trace.count): \(complaint)")
    }

    func saw(_ position: Position, _ id: String) {
        if !published.contains(id) { complain("\(id) was never published") }
        if let other = seen.updateValue(id, forKey: position), other != id {
            complain("\(other) and \(id) both stand at \(position)")
        }
    }

    private func noteHeld(by node: Int) {
        guard let room = cluster.nodes[node].directory.rooms[cluster.room] else { return }
        let entries = room.tail.entries(after: .zero)
        held.append((Set(entries.map { SimulatedCluster.text(of: $0) }), node, room))
    }

    func chance(_ one: Int) -> Bool { Int.random(in: 0..<one, using: &random) == 0 }

    func pick<Choices: Collection>(_ choices: Choices) -> Choices.Element? {
        choices.randomElement(using: &random)
    }

    func note(_ text: String) { trace.append(text) }

    // MARK: - Steps

    private func takeStep() throws {
        let node = Int.random(in: cluster.nodes.indices, using: &random)
        let broker = cluster.nodes[node].broker
        let links = broker.links
        let index = Int.random(in: links.indices, using: &random)
        switch Int.random(in: 0..<100, using: &random) {
        case 0..<12: post()
        case 12..<24:
            note("\(node).\(index) executes")
            links[index].executeNext()
        case 24..<36:
            note("\(node).\(index) is answered")
            links[index].answerNext()
        case 36..<54: hear(node)
        case 54..<64:
            let loop = Int.random(in: 0..<links.count, using: &random)
            note("loop \(node).\(loop) runs")
            cluster.nodes[node].allLoops[loop].run()
        case 64..<70:
            let amount = Int64.random(in: 1...400, using: &random)
            note("\(amount) ms pass")
            cluster.pass(.milliseconds(amount))
        case 70..<74: settle(node)
        case 74..<84: connectOrDisconnect()
        case 84..<87: stall()
        case 87..<90: loseLink(node, index)
        case 90..<92: resubscribe(node)
        case 92..<95: failOver()
        case 95: lose()
        case 96: if kind.isVaried { try restart(node) }
        default: findPresentStore(node, index)
        }
    }

    private func post() {
        guard let client = pick(clients.filter(\.isJoined)) else { return }
        let isRetry = !client.unacknowledged.isEmpty && chance(3)
        let id: String
        if isRetry, let old = client.unacknowledged.first {
            id = old
        } else {
            sent += 1
            id = "m\(sent)"
            published.insert(id)
            authors[id] = client.user
            client.unacknowledged.append(id)
        }
        note("\(client.user) posts \(id)\(isRetry ? " again" : "")")
        send(id, from: client, isRetry: isRetry)
    }

    func send(_ id: String, from client: SimulatedClient, isRetry: Bool) {
        let session = client.session
        cluster.post(id, from: client, isRetry: isRetry) { [weak self] result in
            guard let self, case .success(let receipt) = result, client.session === session else { return }
            acknowledged.insert(id)
            client.unacknowledged.removeAll { $0 == id }
            saw(receipt.position, id)
        }
    }

    private func hear(_ node: Int) {
        let broker = cluster.nodes[node].broker
        if broker.canSubscribe, chance(2) {
            note("\(node)'s subscription is confirmed")
            return broker.confirmSubscription()
        }
        guard !broker.inbox.isEmpty else { return }
        switch Int.random(in: 0..<10, using: &random) {
        case 0:
            if case .publication = broker.inbox[0] {
                note("\(node) loses a publication")
                broker.inbox.removeFirst()
            }
        case 1:
            note("\(node) hears something twice")
            broker.inbox.append(broker.inbox[0])
            broker.handOn()
        case 2:
            let index = Int.random(in: broker.inbox.indices, using: &random)
            note("\(node) hears number \(index) first")
            broker.handOn(index)
        default:
            let count = Int.random(in: 1...3, using: &random)
            note("\(node) hears \(min(count, broker.inbox.count))")
            for _ in 0..<min(count, broker.inbox.count) { broker.handOn() }
        }
        if !chance(4) { broker.handedOnAllForNow() }
    }

    /// One node gets on with everything.
    private func settle(_ node: Int) {
        note("\(node) works")
        let broker = cluster.nodes[node].broker
        for _ in 0..<4 {
            broker.confirmSubscription()
            while !broker.inbox.isEmpty { broker.handOn() }
            broker.handedOnAllForNow()
            for link in broker.links {
                while link.hasRequests { link.executeNext() }
                while link.hasAnswers { link.answerNext() }
            }
            for loop in cluster.nodes[node].allLoops { loop.run() }
        }
    }

    private func connectOrDisconnect() {
        guard let client = pick(clients) else { return }
        if client.session?.isEnded == true {
            note("\(client.user)'s connection is ended")
            cluster.disconnect(client)
        }
        if client.session == nil {
            connect(client)
        } else if !client.isJoined || chance(4) {
            note("\(client.user) joins again")
            cluster.join(client, history: Int.random(in: 0...3, using: &random), limit: limit())
        } else if chance(2) {
            note("\(client.user)'s connection is lost")
            cluster.disconnect(client)
        }
    }

    func connect(_ client: SimulatedClient) {
        let node = Int.random(in: cluster.nodes.indices, using: &random)
        let loop = Int.random(in: cluster.nodes[node].loops.indices, using: &random)
        note("\(client.user) connects to \(node).\(loop + 1), having \(client.last.map { "\($0)" } ?? "nothing")")
        cluster.connect(
            client, node: node, loop: loop, history: Int.random(in: 0...3, using: &random), limit: limit())
    }

    private func limit() -> Int? {
        kind.isVaried && chance(3) ? Int.random(in: 1...3, using: &random) : nil
    }

    private func restart(_ node: Int) throws {
        note("\(node) is killed and started again")
        for client in clients where client.session != nil && client.place.node == node { client.disconnect() }
        held.removeAll { $0.node == node }
        try cluster.restart(node)
    }

    private func stall() {
        guard let client = pick(clients), let session = client.session else { return }
        if session.isWritable {
            session.writesLeft = Int.random(in: 0...2, using: &random)
            session.isWritable = session.writesLeft > 0
            note("\(client.user) takes \(session.writesLeft) more")
        } else {
            note("\(client.user) reads")
            cluster.becomesWritable(client)
            if chance(2) { session.writesLeft = Int.random(in: 1...3, using: &random) }
        }
    }

    private func loseLink(_ node: Int, _ index: Int) {
        let link = cluster.nodes[node].broker.links[index]
        if link.hasOrphans {
            note("\(node).\(index)'s last words are done")
            link.executeOrphan()
        } else if link.isUp {
            note("\(node).\(index) is lost")
            link.disconnect(isDoneYet: chance(2))
        } else {
            note("\(node).\(index) is back")
            link.connect(to: chance(2) ? link.store : cluster.store)
        }
    }

    private func resubscribe(_ node: Int) {
        let broker = cluster.nodes[node].broker
        if broker.source != nil {
            note("\(node)'s subscription is lost")
            broker.loseSubscription()
        } else {
            note("\(node)'s subscription is back")
            broker.connectSubscription(to: cluster.store)
        }
    }

    private func failOver() {
        guard kind.hasFailovers, chance(3) else { return }
        let isTotal = kind.hasLosses && chance(6)
        let lacking = Int.random(in: 0...5, using: &random)
        guard isTotal || !cluster.store.log(lacking: lacking).entries.isEmpty else { return }
        note(isTotal ? "the store is replaced by an empty one" : "the store is replaced by one that lacks \(lacking)")
        if isTotal { forgetAll() }
        held.removeAll()
        cluster.replaceStore(lacking: isTotal ? nil : lacking)
        if chance(2) {
            sent += 1
            published.insert("m\(sent)")
            note("m\(sent) is stored there")
            cluster.postElsewhere("m\(sent)")
        }
    }

    private func lose() {
        guard kind.hasLosses, chance(3) else { return }
        note("the log is deleted")
        forgetAll()
        cluster.store.flush()
    }

    private func forgetAll() {
        hasLostLogs = true
        forgotten.formUnion(cluster.texts)
    }

    /// A link or a subscription comes to the present store.
    private func findPresentStore(_ node: Int, _ index: Int) {
        let broker = cluster.nodes[node].broker
        let link = broker.links[index]
        if link.store !== cluster.store || !link.isUp {
            note("\(node).\(index) finds the present store")
            cluster.reconnect(link, isDoneYet: chance(2))
        } else if broker.source !== cluster.store {
            note("\(node)'s subscription finds the present store")
            cluster.resubscribe(node)
        }
    }
}

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

    static let all = [
        ScheduleKind(),
        ScheduleKind(hasFailovers: true),
        ScheduleKind(hasFailovers: true, hasSmallTails: true),
        ScheduleKind(hasFailovers: true, hasSmallTails: true, hasLosses: true),
    ]
}

/// One schedule: a cluster with clients, of which a seed decides what happens next, and what was promised about it.
final class RandomSchedule {
    let kind: ScheduleKind
    let cluster: SimulatedCluster
    private var random: SeededGenerator
    private(set) var trace: [String] = []
    private(set) var complaints: [String] = []
    private var clients: [SimulatedClient] = []
    private var sent = 0
    private var published: Set<String> = []
    private var acknowledged: Set<String> = []
    private var seen: [Position: String] = [:]
    /// What a node still held when it found its store replaced, and the room as it was then there.
    private var held: [(ids: Set<String>, node: Int, room: RoomDirectory.Room)] = []
    /// Messages that were deleted, or lost with the whole log.
    private var forgotten: Set<String> = []
    private var hasLostLogs = false

    init(seed: UInt64) throws {
        random = SeededGenerator(seed: seed)
        kind = ScheduleKind.all[Int(seed % UInt64(ScheduleKind.all.count))]
        var hub = LoopHub.Settings()
        hub.ringBytes = [0, 600, 64 * 1024].randomElement(using: &random) ?? 0
        hub.catchUpSlice = 3
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
            let client = SimulatedClient("client\(index)")
            client.complain = { [weak self] in self?.complain($0) }
            client.saw = { [weak self] in self?.saw($0, $1) }
            clients.append(client)
        }
        cluster.willNoticeReplacement = { [weak self] in self?.noteHeld(by: $0) }
    }

    private func complain(_ complaint: String) {
        complaints.append("step \(trace.count): \(complaint)")
    }

    private func saw(_ position: Position, _ id: String) {
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

    private func chance(_ one: Int) -> Bool { Int.random(in: 0..<one, using: &random) == 0 }

    private func pick<Choices: Collection>(_ choices: Choices) -> Choices.Element? {
        choices.randomElement(using: &random)
    }

    private func note(_ text: String) { trace.append(text) }

    // MARK: - Steps

    func run(steps: Int) {
        for _ in 0..<steps { step() }
    }

    private func step() {
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
            client.unacknowledged.append(id)
        }
        note("\(client.user) posts \(id)\(isRetry ? " again" : "")")
        send(id, from: client, isRetry: isRetry)
    }

    private func send(_ id: String, from client: SimulatedClient, isRetry: Bool) {
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
            cluster.join(client, history: Int.random(in: 0...3, using: &random))
        } else if chance(2) {
            note("\(client.user)'s connection is lost")
            cluster.disconnect(client)
        }
    }

    private func connect(_ client: SimulatedClient) {
        let node = Int.random(in: cluster.nodes.indices, using: &random)
        let loop = Int.random(in: cluster.nodes[node].loops.indices, using: &random)
        note("\(client.user) connects to \(node).\(loop + 1), having \(client.last.map { "\($0)" } ?? "nothing")")
        cluster.connect(client, node: node, loop: loop, history: Int.random(in: 0...3, using: &random))
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

    // MARK: - The end

    /// Everything works again, and what was promised is looked at.
    func heal() {
        note("everything heals")
        for (number, node) in cluster.nodes.enumerated() {
            for link in node.broker.links {
                while link.hasOrphans { link.executeOrphan() }
                if !link.isUp || link.store !== cluster.store { cluster.reconnect(link) }
            }
            if node.broker.source == nil || node.broker.source !== cluster.store { cluster.resubscribe(number) }
        }
        cluster.run()
        for client in clients {
            if client.session?.isEnded == true { cluster.disconnect(client) }
            if client.session == nil { connect(client) }
            cluster.becomesWritable(client)
        }
        for _ in 0..<4 {
            cluster.advance(by: .seconds(2))
            for client in clients {
                if !client.isJoined { cluster.join(client) }
                for id in client.unacknowledged { send(id, from: client, isRetry: true) }
                cluster.run()
            }
        }
        cluster.advance(by: .seconds(3))
        check()
    }

    private func check() {
        let log = cluster.log
        let texts = cluster.texts
        var places: [Position: Int] = [:]
        for (index, entry) in log.enumerated() {
            places[entry.position] = index
            saw(entry.position, texts[index])
        }
        note("the log has \(zip(log, texts).map { "\($0.position) \($1)" })")
        let stored = Set(texts)
        if stored.count < texts.count { complain("stored twice: \(texts)") }
        for id in acknowledged.subtracting(stored).sorted() where !forgotten.contains(id) {
            if !kind.hasFailovers { complain("\(id) was acknowledged and is not in the log") }
        }
        if !kind.hasSmallTails {
            for (ids, node, room) in held where cluster.nodes[node].directory.rooms[cluster.room] === room {
                for id in ids.subtracting(stored).subtracting(forgotten).sorted() {
                    complain("\(id) was held by \(node) and is not in the log")
                }
            }
        }
        for client in clients {
            check(client, places)
            if !client.unacknowledged.isEmpty { complain("\(client.user) still waits: \(client.unacknowledged)") }
        }
    }

    private func check(_ client: SimulatedClient, _ places: [Position: Int]) {
        guard client.isJoined else { return complain("\(client.user) could not join") }
        note("\(client.user) has \(client.start.map { "\($0)" } ?? "-") \(client.texts)")
        // The place in the log of what the client had last; nil where something may be missing.
        var before: Int? = client.start.flatMap { start in
            start == .zero ? -1 : places[start]
        }
        var mayMiss = client.start == nil || (before == nil)
        var pendingVoid: String?
        for item in client.items {
            switch item {
            case .loss(let told):
                if !kind.hasFailovers { complain("\(client.user) was told without reason: \(told)") }
                mayMiss = true
                pendingVoid = nil
            case .message(let position, let id):
                guard let place = places[position] else {
                    pendingVoid = id
                    mayMiss = true
                    continue
                }
                if !mayMiss, !hasLostLogs, place != (before ?? -1) + 1 {
                    complain("\(client.user) lacks what stands before \(id) at \(position)")
                }
                before = place
                mayMiss = false
            }
        }
        if let pendingVoid, !hasLostLogs {
            complain("\(client.user) has \(pendingVoid), which is void, and was not told")
        }
        if !mayMiss, (before ?? -1) + 1 != cluster.log.count {
            complain("\(client.user) has not got the last messages")
        }
    }
}

import ChatClient
import ChatProtocol
import Histogram
import NIOCore

/// The part of a load test that runs on one event loop: some of the rooms with all of their members.
///
/// Confined to its loop, which every entry asserts.
final class LoadShard {
    let plan: LoadPlan
    let eventLoop: any EventLoop
    let options: ClientConnection.Options
    let scanner: MarkerScanner
    var tally = LoadTally()
    /// Latencies since the last progress line.
    var recent = LoadTally()
    private(set) var users: [VirtualUser] = []
    private(set) var lastReceipt = NIODeadline.now()
    private var byClient: [Int: VirtualUser] = [:]
    private var ledgers: [Int: RoomLedger] = [:]
    private var nodes: [String: Int] = [:]
    private var readyCount = 0
    private(set) var failure: String?

    private var nextToConnect = 0
    private var nextSender = 0
    private var sentCount = 0
    private var trafficStart = NIODeadline.now()
    private let rate: Double
    private let messages: Int
    private let idPrefix: String

    init(plan: LoadPlan, thread: Int, options: ClientConnection.Options, eventLoop: any EventLoop) {
        self.plan = plan
        self.eventLoop = eventLoop
        self.options = options
        scanner = MarkerScanner(run: plan.run)
        idPrefix = "\(plan.run)-"
        let mine = (0..<plan.clients).count { plan.thread(of: $0) == thread }
        rate = plan.rate * Double(mine) / Double(plan.clients)
        messages = Int((rate * plan.duration.inSeconds).rounded())
        for client in 0..<plan.clients where plan.thread(of: client) == thread {
            let room = plan.room(of: client)
            guard let name = plan.userName(client), let roomName = plan.roomName(room) else { continue }
            let user = VirtualUser(
                index: client, room: room, name: name, roomName: roomName, address: plan.address(of: client),
                shard: self)
            users.append(user)
            byClient[client] = user
            if ledgers[room] == nil { ledgers[room] = RoomLedger() }
        }
    }

    // MARK: - Phases

    /// Connects the users one after the other over the ramp.
    func connectAll() {
        eventLoop.assertInEventLoop()
        guard nextToConnect < users.count else { return }
        let step = TimeAmount.nanoseconds(Int64(plan.ramp.inSeconds * 1e9) / Int64(users.count))
        // No more than a hundred at once, and no timer for less than a millisecond.
        let count = min(max(1, Int(1_000_000 / max(step.nanoseconds, 10_000))), users.count - nextToConnect)
        for user in users[nextToConnect..<(nextToConnect + count)] { user.connect() }
        nextToConnect += count
        later(step * count) { $0.connectAll() }
    }

    var isAllReady: Bool { readyCount == users.count }
    var isGivenUp: Bool { failure != nil }

    /// Begins to send, at a pace that waits for nobody.
    func beginTraffic() {
        eventLoop.assertInEventLoop()
        trafficStart = .now()
        lastReceipt = .now()
        sendDue()
    }

    private func due(_ number: Int) -> NIODeadline {
        trafficStart + .nanoseconds(Int64(Double(number) / rate * 1e9))
    }

    private func sendDue() {
        let now = NIODeadline.now()
        while sentCount < messages, !users.isEmpty, due(sentCount) <= now {
            send(dueAt: due(sentCount))
            sentCount += 1
        }
        guard sentCount < messages, !users.isEmpty else { return }
        later(max(due(sentCount) - .now(), .milliseconds(1))) { $0.sendDue() }
    }

    private func send(dueAt: NIODeadline) {
        guard nextSender < users.count else { return }
        let user = users[nextSender]
        nextSender = (nextSender + 1) % users.count
        guard let number = ledgers[user.room]?.sent(by: user.index, on: user.node) else { return }
        tally.counts.sent += 1
        user.send(Marker(room: user.room, number: number, sender: user.index, dueAt: dueAt.uptimeNanoseconds))
        user.flush()
    }

    var isSendingDone: Bool { sentCount >= messages }

    /// Everything that was sent is answered, and everything that is stored is with everyone.
    var isComplete: Bool {
        guard isSendingDone, isAllReady, !users.contains(where: \.hasUnanswered) else { return false }
        var stored: [Int: Int] = [:]
        for (room, ledger) in ledgers {
            stored[room] = ledger.entries.indices.count { ledger.isStored($0) }
        }
        return users.allSatisfy { $0.receipts.count >= stored[$0.room] ?? 0 }
    }

    /// The last look: what did not come counts.
    func finish() {
        eventLoop.assertInEventLoop()
        for (room, ledger) in ledgers { finish(room, ledger) }
        stop()
    }

    /// Says goodbye to every node. Nothing is sent or received any more.
    func stop() {
        eventLoop.assertInEventLoop()
        for user in users { user.finish() }
        users = []
        byClient = [:]
    }

    private func finish(_ room: Int, _ ledger: RoomLedger) {
        let stored = ledger.entries.indices.filter { ledger.isStored($0) }
        for number in ledger.outOfSenderOrder {
            guard let sender = byClient[ledger.entries[number].sender] else { continue }
            offend(.outOfOrder, sender, number, detail: "stands before an earlier message of the same sender")
            tally.counts.outOfOrder += 1
        }
        for number in ledger.entries.indices where !ledger.isStored(number) && !ledger.entries[number].isRefused {
            guard let sender = byClient[ledger.entries[number].sender] else { continue }
            offend(.unanswered, sender, number, detail: "never acknowledged, seen by nobody")
            tally.counts.unanswered += 1
        }
        for user in users where user.room == room && user.receipts.count < stored.count {
            for number in stored where !user.receipts.has(number) {
                tally.counts.missing += 1
                if ledger.entries[number].isAcknowledged { tally.counts.acknowledgedButMissing += 1 }
                offend(.missing, user, number, detail: "from u\(ledger.entries[number].sender)")
            }
        }
    }

    /// What has happened since the last call.
    func takeRecent() -> LoadTally {
        eventLoop.assertInEventLoop()
        defer { recent = LoadTally() }
        recent.counts = tally.counts
        recent.counts.connected = readyCount
        return recent
    }

    var connectedCount: Int { readyCount }
    var nodeNames: [String] { Array(nodes.keys) }

    /// Why users are not there yet, the most frequent reason first.
    var missingUsers: [(reason: String, count: Int)] {
        let reasons = users.filter { !$0.isReady }.map { $0.lastFailure ?? "no answer yet" }
        return Dictionary(grouping: reasons, by: \.self).map { ($0.key, $0.value.count) }.sorted { $0.1 > $1.1 }
    }

    private func later(_ delay: TimeAmount, _ body: @escaping (LoadShard) -> Void) {
        let bound = NIOLoopBound((shard: self, body: body), eventLoop: eventLoop)
        eventLoop.scheduleTask(in: delay) { bound.value.body(bound.value.shard) }
    }

    // MARK: - From the users

    func ready(_ user: VirtualUser) { readyCount += 1 }

    func left(_ user: VirtualUser) { readyCount -= 1 }

    func gaveUp(_ user: VirtualUser) {
        if failure == nil { failure = "\(user.name): \(user.lastFailure ?? "")" }
    }

    func number(ofNode name: String) -> Int {
        if let number = nodes[name] { return number }
        nodes[name] = nodes.count
        return nodes.count - 1
    }

    /// The `id` of a message's marker: the run, the room and the number make it unique for ever.
    func id(of marker: Marker) -> RequestID? {
        RequestID("\(idPrefix)\(marker.room)-\(marker.number)")
    }

    func number(of id: RequestID) -> Int? {
        guard id.text.hasPrefix(idPrefix), let dash = id.text.lastIndex(of: "-") else { return nil }
        return Int(id.text[id.text.index(after: dash)...])
    }

    func delivered(_ marker: Marker, at position: Position, to user: VirtualUser) {
        let now = NIODeadline.now()
        lastReceipt = now
        tally.counts.delivered += 1
        guard marker.room == user.room, let entry = ledgers[user.room]?.entries[safe: marker.number] else {
            tally.counts.misplaced += 1
            offend(.misplaced, user, nil, position: position, detail: "a message of room \(marker.room)")
            return
        }
        if ledgers[user.room]?.stands(marker.number, at: position) == false {
            tally.counts.misplaced += 1
            offend(.misplaced, user, marker.number, position: position, detail: "others saw it at \(entry.position)")
        }
        let last = user.receipts.last
        switch user.receipts.received(marker.number, at: position) {
        case .good: break
        case .doubled:
            tally.counts.doubled += 1
            offend(.doubled, user, marker.number, position: position, detail: "from u\(marker.sender)")
            return
        case .outOfOrder:
            tally.counts.outOfOrder += 1
            offend(.outOfOrder, user, marker.number, position: position, detail: "came after \(last)")
        }
        let latency = Self.microseconds(from: marker, to: now)
        if entry.node == user.node {
            tally.sameNode.record(latency)
            recent.sameNode.record(latency)
        } else {
            tally.otherNode.record(latency)
            recent.otherNode.record(latency)
        }
    }

    func acknowledged(_ marker: Marker, at position: Position, by user: VirtualUser) {
        let now = NIODeadline.now()
        lastReceipt = now
        guard ledgers[user.room]?.acknowledged(marker.number) == true else { return }
        tally.counts.acknowledged += 1
        if ledgers[user.room]?.stands(marker.number, at: position) == false {
            tally.counts.misplaced += 1
            offend(
                .misplaced, user, marker.number, position: position, detail: "acknowledged here, delivered elsewhere")
        }
        tally.acknowledgement.record(Self.microseconds(from: marker, to: now))
    }

    /// The node could not store a message at once, and the user's next one was on its way already.
    func mayStandLater(_ number: Int, of user: VirtualUser) {
        ledgers[user.room]?.mayStandLater(number)
    }

    func refused(_ user: VirtualUser, _ refusal: Refusal) {
        tally.counts.refused += 1
        offend(.refused, user, nil, detail: "\(refusal.code.rawValue): \(refusal.message)")
    }

    func refused(_ marker: Marker, by user: VirtualUser, _ refusal: Refusal) {
        ledgers[user.room]?.refused(marker.number)
        tally.counts.refused += 1
        offend(.refused, user, nil, detail: "message \(marker.number), \(refusal.code.rawValue): \(refusal.message)")
    }

    private func offend(
        _ kind: Offence.Kind, _ user: VirtualUser, _ number: Int?, position: Position? = nil, detail: String
    ) {
        tally.record(
            Offence(
                kind: kind, user: user.name.text, room: user.roomName.text,
                position: (position ?? number.flatMap { ledgers[user.room]?.entries[safe: $0]?.position })
                    .map { $0 == .zero ? "" : $0.description } ?? "",
                node: nodes.first { $0.value == user.node }?.key ?? "",
                detail: number.map { "message \($0), \(detail)" } ?? detail))
    }

    private static func microseconds(from marker: Marker, to now: NIODeadline) -> UInt64 {
        let elapsed = now.uptimeNanoseconds > marker.dueAt ? now.uptimeNanoseconds - marker.dueAt : 0
        return min(max(elapsed / 1000, 1), 600_000_000)
    }
}

extension Array {
    fileprivate subscript(safe index: Int) -> Element? {
        indices.contains(index) ? self[index] : nil
    }
}

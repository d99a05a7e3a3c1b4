import ChatClient
import ChatProtocol
import Histogram
import NIOCore

/// The part of a load test that runs on one event loop: some of the rooms with all of their members.
///
/// Confined to its loop, which every entry asserts.
final class LoadShard {
    /// A message that is not with everybody yet.
    private struct InFlight {
        var room: Int
        var number: Int
        var dueAt: NIODeadline
    }

    let plan: LoadPlan
    let eventLoop: any EventLoop
    let options: ClientConnection.Options
    let scanner: FrameScanner
    var tally = LoadTally()
    /// Of all deliveries since the last step of the report.
    var recent = LatencySpread.histogram()
    private(set) var users: [VirtualUser] = []
    var rooms: [RoomLedger] = []
    var ghosts = Ghosts()
    var hadGhosts = false
    var sources = SourceAddresses()
    var lastReceipt = NIODeadline.now()
    var byClient: [Int: VirtualUser] = [:]
    private var nodes: [String: Int] = [:]
    private var connectedByNode: [Int] = []
    private(set) var failure: String?

    private var nextToConnect = 0
    var nextToCut = 0
    /// Each membership sends in its turn.
    private var senders: [(user: VirtualUser, membership: Int)] = []
    private var nextSender = 0
    private var sentCount = 0
    private var trafficStart = NIODeadline.now()
    var isTraffic = false
    private var inFlight = CircularBuffer<InFlight>()
    /// Of the window, what is not under way.
    private var freeSlots = 0
    private var isFillingWindow = false
    /// Messages a second, and how many of them.
    private let rate: Double
    private let messages: Int
    let share: Double
    private let idPrefix: String
    let roomNumbers: [Int]

    init(plan: LoadPlan, thread: Int, options: ClientConnection.Options, eventLoop: any EventLoop) {
        self.plan = plan
        self.eventLoop = eventLoop
        self.options = options
        scanner = FrameScanner(run: plan.run)
        idPrefix = "\(plan.run)-"
        let clients = Array(stride(from: thread, to: plan.clients, by: plan.threads))
        roomNumbers = Array(stride(from: thread, to: plan.rooms, by: plan.threads))
        share = Double(clients.count) / Double(plan.clients)
        switch plan.traffic {
        case .rate(let total):
            rate = total * share
            messages = Int((rate * plan.duration.inSeconds).rounded())
        case .window:
            rate = 0
            messages = .max
        }
        for (index, client) in clients.enumerated() {
            guard let name = plan.userName(client) else { continue }
            users.append(
                VirtualUser(
                    index: client, name: name, isSlow: plan.isSlow(client),
                    address: index % max(plan.addresses.count, 1),
                    shard: self))
        }
        fillRooms()
        byClient = Dictionary(uniqueKeysWithValues: users.map { ($0.index, $0) })
    }

    private func fillRooms() {
        let members = plan.members.members(
            clients: users.count, rooms: roomNumbers, of: (clients: plan.clients, rooms: plan.rooms))
        for (local, range) in members.enumerated() {
            let room = roomNumbers[local]
            rooms.append(RoomLedger())
            guard let name = plan.roomName(room) else { continue }
            for index in range {
                let user = users[index % users.count]
                user.memberships.append(.init(room: room, local: local, name: name))
                if !user.isSlow { rooms[local].members += 1 }
            }
        }
        // The first rooms of all, then their second: neighbours in time are in other rooms.
        for place in 0..<(users.map(\.memberships.count).max() ?? 0) {
            for user in users where place < user.memberships.count { senders.append((user, place)) }
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

    var isAllReady: Bool { connectedCount == users.count }

    /// Begins to send, and to do what the plan wants besides.
    func beginTraffic() {
        eventLoop.assertInEventLoop()
        trafficStart = .now()
        lastReceipt = .now()
        isTraffic = true
        switch plan.traffic {
        case .rate:
            sendDue()
        case .window(let window):
            freeSlots = max(1, Int((Double(window) * share).rounded()))
            fillWindow()
            later(TimeAmount(plan.duration)) { $0.endWindow() }
        }
        if plan.churn > 0 { churn() }
        for (index, user) in users.filter(\.isSlow).enumerated() {
            // Not all at the same moment.
            later(TimeAmount(plan.slowStall * (index % 10) / 10)) { $0.stall(user) }
        }
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

    private func fillWindow() {
        isFillingWindow = false
        var used: [VirtualUser] = []
        while freeSlots > 0, isTraffic {
            guard let user = send(dueAt: .now(), flushes: false) else { break }
            freeSlots -= 1
            used.append(user)
        }
        for user in used { user.flush() }
    }

    func slotFreed() {
        guard case .window = plan.traffic else { return }
        freeSlots += 1
        guard !isFillingWindow, isTraffic else { return }
        // All that came at once is answered at once.
        isFillingWindow = true
        later(.zero) { $0.fillWindow() }
    }

    private func endWindow() {
        endTraffic()
        sentCount = .max
    }

    private func endTraffic() {
        isTraffic = false
        for user in users where user.isSlow { user.stall(false) }
    }

    @discardableResult
    private func send(dueAt: NIODeadline, flushes: Bool = true) -> VirtualUser? {
        for _ in senders.indices {
            let (user, membership) = senders[nextSender]
            nextSender = (nextSender + 1) % senders.count
            // A ghost is away for seconds on purpose.
            guard !user.isGhost else { continue }
            let (room, local) = (user.memberships[membership].room, user.memberships[membership].local)
            let number = rooms[local].sent(by: user.index, on: user.node)
            tally.counts.sent += 1
            inFlight.append(InFlight(room: local, number: number, dueAt: dueAt))
            user.send(Marker(room: room, number: number, sender: user.index, dueAt: dueAt.uptimeNanoseconds))
            if flushes { user.flush() }
            return user
        }
        return nil
    }

    var isSendingDone: Bool { sentCount >= messages || senders.isEmpty }

    /// Says goodbye to every node. Nothing is sent or received any more.
    func stop() {
        eventLoop.assertInEventLoop()
        isTraffic = false
        for user in users { user.finish() }
        users = []
        senders = []
        byClient = [:]
    }

    // MARK: - Looking from outside

    /// What can be asked ten times a second.
    struct Glance: Sendable {
        var counts: LoadCounts
        var connected: Int
        var connectedByNode: [String: Int]
        /// Users who stay away on purpose.
        var ghosts: Int
        /// How long the oldest message has been under way that is not with everybody; zero when all are.
        var oldest: TimeAmount
        /// Seconds until rooms knew of ghosts, since the last look.
        var presence: [Double]
    }

    func look() -> Glance {
        eventLoop.assertInEventLoop()
        let presence = endGhosts()
        while let first = inFlight.first, rooms[first.room].isSettled(first.number) { inFlight.removeFirst() }
        let names = Dictionary(nodes.map { ($0.value, $0.key) }, uniquingKeysWith: { first, _ in first })
        var byNode: [String: Int] = [:]
        for (number, count) in connectedByNode.enumerated() { byNode[names[number] ?? ""] = count }
        return Glance(
            counts: tally.counts, connected: connectedCount, connectedByNode: byNode, ghosts: ghosts.count,
            oldest: oldestInFlight.map { .now() - $0.dueAt } ?? .zero, presence: presence)
    }

    /// What a user has under way whom the test keeps away does not wait for the cluster.
    private var oldestInFlight: InFlight? {
        guard hadGhosts else { return inFlight.first }
        return inFlight.first { one in
            guard !rooms[one.room].isSettled(one.number) else { return false }
            let sender = byClient[Int(rooms[one.room].entries[one.number].sender)]
            return sender?.isGhost != true && one.dueAt.uptimeNanoseconds >= sender?.awayUntil ?? 0
        }
    }

    /// Latencies of all deliveries since the last call.
    func takeRecent() -> Histogram<UInt64> {
        eventLoop.assertInEventLoop()
        defer { recent.reset() }
        return recent
    }

    var nodeNames: [String] { Array(nodes.keys) }
    var membershipCount: Int { users.map(\.memberships.count).reduce(0, +) }

    var connectedCount: Int { connectedByNode.reduce(0, +) }

    /// Why users are not there yet, the most frequent reason first.
    var missingUsers: [(reason: String, count: Int)] {
        let reasons = users.filter { !$0.isReady }.map { $0.lastFailure ?? "no answer yet" }
        return Dictionary(grouping: reasons, by: \.self).map { ($0.key, $0.value.count) }.sorted { $0.1 > $1.1 }
    }

    func later(_ delay: TimeAmount, _ body: @escaping (LoadShard) -> Void) {
        let bound = NIOLoopBound((shard: self, body: body), eventLoop: eventLoop)
        eventLoop.scheduleTask(in: delay) { bound.value.body(bound.value.shard) }
    }

    // MARK: - From the users

    func ready(_ user: VirtualUser) {
        connectedByNode[user.node] += 1
        tally.counts.connects += 1
    }

    func left(_ user: VirtualUser) { connectedByNode[user.node] -= 1 }

    func gaveUp(_ user: VirtualUser) {
        if failure == nil { failure = "\(user.name): \(user.lastFailure ?? "")" }
    }

    func number(ofNode name: String) -> Int {
        if let number = nodes[name] { return number }
        nodes[name] = nodes.count
        connectedByNode.append(0)
        return nodes.count - 1
    }

    func knownNumber(ofNode name: String) -> Int? { nodes[name] }

    func name(ofNode number: Int) -> String {
        nodes.first { $0.value == number }?.key ?? ""
    }

    /// The `id` of a message's marker: the run, the room and the number make it unique for ever.
    func id(of marker: Marker) -> RequestID? {
        RequestID("\(idPrefix)\(marker.room)-\(marker.number)")
    }

    func message(of id: RequestID) -> (room: Int, number: Int)? {
        guard id.text.hasPrefix(idPrefix) else { return nil }
        let parts = id.text.dropFirst(idPrefix.count).split(separator: "-").map { Int($0) }
        guard parts.count == 2, let room = parts[0], let number = parts[1] else { return nil }
        return (room, number)
    }
}

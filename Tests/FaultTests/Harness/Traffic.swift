import ChatProtocol
import Synchronization
import TestSupport
import Testing

/// Members of some rooms, a half of whom keep sending, on all gateways; through the client library and by themselves.
final class Traffic: Sendable {
    struct Plan: Sendable {
        var rooms = 4
        var librarySenders = 9
        var wireSenders = 3
        var libraryReceivers = 6
        var wireReceivers = 6
        /// Between two messages of one sender.
        var interval = Duration.milliseconds(50)
        /// nil: each member goes to a gateway directly, and to another when that fails.
        var through: HAProxy?
    }

    let rooms: [String]
    let library: [LibraryMember]
    let wire: [WireMember]
    private let plan: Plan
    private let isSending = Atomic(true)
    private let began = ContinuousClock.now
    private let moments = Mutex(Moments())

    struct Moments {
        var struck: ContinuousClock.Instant?
        /// Whether the fault has an end of its own.
        var isLifted = false
        var healed: ContinuousClock.Instant?
        /// When others than these members, who were hurt too, were served again.
        var othersServed: ContinuousClock.Instant?
    }

    private init(rooms: [String], library: [LibraryMember], wire: [WireMember], plan: Plan) {
        self.rooms = rooms
        self.library = library
        self.wire = wire
        self.plan = plan
    }

    /// Brings everybody into their rooms, does `work` while messages flow, ends the sending and waits until all is
    /// acknowledged.
    static func run(
        _ name: String, on stage: Stage, _ plan: Plan, _ work: (Traffic) async throws -> Void
    ) async throws -> Traffic {
        let rooms = (1...plan.rooms).map { "\(name)-room-\($0)" }
        func urls(_ number: Int) -> [String] {
            plan.through.map { [$0.url] } ?? stage.gateways.rotated(by: number).map(\.url)
        }
        func ports(_ number: Int) -> [Int] {
            plan.through.map { [$0.port] } ?? stage.gateways.rotated(by: number).map(\.port)
        }
        let libraryCount = plan.librarySenders + plan.libraryReceivers
        let library = try await withThrowingTaskGroup(of: (Int, LibraryMember).self) { group in
            for number in 0..<libraryCount {
                group.addTask {
                    let member = try await LibraryMember(
                        "\(name)-library-\(number)", in: rooms[number % rooms.count], at: urls(number / rooms.count))
                    return (number, member)
                }
            }
            var members: [(Int, LibraryMember)] = []
            for try await member in group { members.append(member) }
            return members.sorted { $0.0 < $1.0 }.map(\.1)
        }
        let wire = (0..<(plan.wireSenders + plan.wireReceivers)).map { number in
            WireMember("\(name)-wire-\(number)", in: rooms[number % rooms.count], at: ports(number))
        }
        let traffic = Traffic(rooms: rooms, library: library, wire: wire, plan: plan)
        do {
            try await traffic.flow(while: work)
        } catch {
            await traffic.leave()
            throw error
        }
        return traffic
    }

    private func flow(while work: (Traffic) async throws -> Void) async throws {
        for member in wire { Task { await member.stay() } }
        for member in wire {
            try await eventually("\(member.user) is in", within: .seconds(60)) { member.isJoined ? true : nil }
        }
        let isOver: @Sendable () -> Bool = { !self.isSending.load(ordering: .relaxed) }
        var senders: [Task<Void, any Error>] = []
        for member in library.prefix(plan.librarySenders) {
            senders.append(Task { try await member.send(every: self.plan.interval, until: isOver) })
        }
        for member in wire.prefix(plan.wireSenders) {
            senders.append(Task { try await member.send(every: self.plan.interval, until: isOver) })
        }
        defer { isSending.store(false, ordering: .relaxed) }
        try await eventually("messages flow", within: .seconds(60)) {
            self.senders.allSatisfy { $0.count >= 5 } ? true : nil
        }
        struck()
        try await work(self)
        moments.withLock { if $0.healed == nil { $0.healed = .now } }
        try await eventually("every sender is acknowledged again", within: .seconds(60)) {
            self.firstAcknowledgements.contains(nil) ? nil : true
        }
        try await pause(.milliseconds(300))
        isSending.store(false, ordering: .relaxed)
        for sender in senders { try await sender.value }
    }

    /// The moment in which the fault begins: at once, unless said later.
    func struck() { moments.withLock { $0.struck = .now } }

    /// The moment in which the fault is lifted; without it, the end of the row's work.
    func healed() {
        moments.withLock {
            $0.healed = .now
            $0.isLifted = true
        }
    }

    /// Others than these members, who were hurt too, are served again.
    func othersAreServed() { moments.withLock { $0.othersServed = .now } }

    func leave() async {
        await withDiscardingTaskGroup { group in
            for member in library { group.addTask { await member.leave() } }
            for member in wire { group.addTask { await member.leave() } }
        }
    }

    // MARK: What the records say

    var users: [String: Set<String>] {
        var users: [String: Set<String>] = [:]
        for member in library { users[member.room, default: []].insert(member.user) }
        for member in wire { users[member.room, default: []].insert(member.user) }
        return users
    }

    var members: [Invariant.Member] {
        library.map { .init(name: $0.user, room: $0.room, record: $0.record) }
            + wire.map { .init(name: $0.user, room: $0.room, record: $0.record) }
    }

    var sendings: [Sending] { senders.flatMap { $0 } }

    var acknowledged: Int { sendings.count { $0.position != nil } }

    private var senders: [[Sending]] {
        library.prefix(plan.librarySenders).map(\.sendings) + wire.prefix(plan.wireSenders).map(\.sendings)
    }

    /// Of each sender: how long after the fault was lifted the first message was acknowledged.
    var firstAcknowledgements: [Duration?] {
        guard let healed = moments.withLock({ $0.healed }) else { return [nil] }
        return senders.map { sendings in
            sendings.lazy.compactMap(\.at).filter { $0 >= healed }.min().map { $0 - healed }
        }
    }

    /// Of each member: how long after the fault was lifted the first message came.
    var firstDeliveries: [Duration?] {
        guard let healed = moments.withLock({ $0.healed }) else { return [nil] }
        return members.map { member in
            member.record.entries.first {
                if case .message = $0.told { $0.at >= healed } else { false }
            }.map { $0.at - healed }
        }
    }

    /// How long after the fault was lifted everybody was served again; nil where it was not lifted.
    var healing: Duration? {
        let moments = moments.withLock { $0 }
        guard let healed = moments.healed, moments.isLifted else { return nil }
        let times = firstAcknowledgements + firstDeliveries + [moments.othersServed.map { $0 - healed } ?? .zero]
        return times.map { $0 ?? .seconds(3600) }.max()
    }

    /// The longest time in which a member was brought nothing, from the fault on.
    var longestSilence: Duration {
        guard let struck = moments.withLock({ $0.struck }) else { return .zero }
        return members.map { member in
            let times = [struck] + member.record.entries.map(\.at).filter { $0 > struck }
            return zip(times, times.dropFirst()).map { $1 - $0 }.max() ?? .zero
        }.max() ?? .zero
    }

    /// Of each message: how much later than the first member the last one got it.
    var lags: [Duration] {
        var times: [String: (first: ContinuousClock.Instant, last: ContinuousClock.Instant)] = [:]
        for entry in members.flatMap(\.record.entries) {
            guard case .message(let message) = entry.told else { continue }
            let known = times[message.id]
            times[message.id] = (min(known?.first ?? entry.at, entry.at), max(known?.last ?? entry.at, entry.at))
        }
        return times.values.map { $0.last - $0.first }
    }

    var slowestAnswer: Duration { wire.map(\.answers.slowest).max() ?? .zero }

    var refusals: [String: Int] {
        wire.map(\.answers.refusals).reduce(into: [:]) { $0.merge($1, uniquingKeysWith: +) }
    }

    /// Connections beyond the first, of all members.
    var reconnects: Int { members.map { max($0.record.connections.count - 1, 0) }.reduce(0, +) }
}

extension Array {
    /// The same elements, beginning with another one.
    func rotated(by count: Int) -> [Element] {
        isEmpty ? self : Array(self[(count % self.count)...] + self[..<(count % self.count)])
    }
}

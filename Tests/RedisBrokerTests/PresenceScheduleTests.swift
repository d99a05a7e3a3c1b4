import ChatProtocol
import TestSupport
import Testing

@testable import RedisBroker

/// Whatever fails, is lost or changes its name: in the end the store holds exactly the sessions that are wanted, and at no
/// time a session that nobody could find if this node died.
@Suite("The presence ledger, by random schedules")
struct PresenceScheduleTests {
    private typealias Ledger = PresenceLedger<Int>
    private typealias Membership = Ledger.Membership

    private struct Listing: Hashable {
        var incarnation: Int
        var room: RoomName
    }

    private struct Store {
        /// Each session's incarnation.
        var sessions: [Membership: Int] = [:]
        var listed: Set<Listing> = []
    }

    /// A command on its way, with the name that it was sent under.
    private struct Sent {
        var operation: Ledger.Operation
        var incarnation: Int
    }

    private enum Wish { case out, entering, inside }

    private struct World {
        let memberships: [Membership]
        let user: UserName
        var ledger = Ledger()
        var store = Store()
        /// As in a cluster: rooms and the list of rooms are reached by connections of their own.
        var toRooms: [Sent] = []
        var toList: [Sent] = []
        var incarnation = 0
        var wishes: [Membership: Wish] = [:]
        var waiters: [Int: Membership] = [:]
        var snapshot = Store()
        var underWay: Set<Membership> = []

        init() throws {
            user = try TestSupport.require(UserName("alice"), "user")
            memberships = try (0..<12).map { number in
                let room = try TestSupport.require(RoomName("room-\(number % 3)"), "room")
                return Membership(room: room, session: SessionID(value: UInt64(number)))
            }
        }

        mutating func enter(_ who: Membership) {
            let waiter = waiters.count
            waiters[waiter] = who
            if wishes[who] != .inside { wishes[who] = .entering }
            ledger.enter(who, user: user, waiter: waiter)
        }

        mutating func leave(_ who: Membership) {
            wishes[who] = .out
            _ = ledger.leave(who)
        }

        /// Waiters were answered. Whose first entry failed is taken out again, as the hub does.
        mutating func tell(_ answered: [Int], succeeded: Bool) {
            for who in answered.compactMap({ waiters[$0] }) where wishes[who] == .entering {
                if succeeded { wishes[who] = .inside } else { leave(who) }
            }
        }

        mutating func send(limit: Int) throws {
            for operation in ledger.next(limit: limit) {
                let sent = Sent(operation: operation, incarnation: incarnation)
                switch operation {
                case .register, .unregister: toList.append(sent)
                case .enter(let who, _), .leave(let who):
                    try expect(underWay.insert(who).inserted, "one command of a session at a time")
                    toRooms.append(sent)
                }
            }
        }

        mutating func apply(_ sent: Sent) throws {
            switch sent.operation {
            case .register(let room): store.listed.insert(.init(incarnation: sent.incarnation, room: room))
            case .unregister(let room): store.listed.remove(.init(incarnation: sent.incarnation, room: room))
            case .enter(let who, _): store.sessions[who] = sent.incarnation
            case .leave(let who): store.sessions[who] = nil
            }
            try checkListing()
        }

        func checkListing() throws {
            for (who, incarnation) in store.sessions {
                try expect(
                    store.listed.contains(.init(incarnation: incarnation, room: who.room)),
                    "whoever is in a room is found through the list")
            }
        }

        mutating func finished(_ sent: Sent, tookEffect: Bool) {
            switch sent.operation {
            case .enter(let who, _), .leave(let who): underWay.remove(who)
            case .register, .unregister: break
            }
            let answered = tookEffect ? ledger.succeeded(sent.operation) : ledger.failed(sent.operation)
            tell(answered, succeeded: tookEffect)
        }

        /// The next command of a connection reaches the store and is answered, or fails on the way there or back.
        mutating func work(_ list: Bool, failing: Double, _ random: inout SeededGenerator) throws {
            guard list ? !toList.isEmpty : !toRooms.isEmpty else { return }
            let sent = list ? toList.removeFirst() : toRooms.removeFirst()
            let fails = random.chance(failing)
            if !fails || random.chance(0.5) { try apply(sent) }
            finished(sent, tookEffect: !fails)
        }

        /// The connections are lost, and with them whatever was not applied; maybe also what the store held.
        mutating func reconnect(isReplaced: Bool, _ random: inout SeededGenerator) throws {
            for sent in toList + toRooms where random.chance(0.5) && !isReplaced {
                // Only what was found can have been sent.
                if case .enter(let who, _) = sent.operation {
                    guard store.listed.contains(.init(incarnation: sent.incarnation, room: who.room)) else { continue }
                }
                if case .unregister = sent.operation { continue }
                try apply(sent)
            }
            let lost = toList + toRooms
            (toList, toRooms) = ([], [])
            for sent in lost { finished(sent, tookEffect: false) }
            tell(ledger.connectionLost(), succeeded: false)
            if isReplaced { store = random.chance(0.5) ? snapshot : Store() }
            ledger.storeMayHaveForgotten()
        }

        mutating func rename() {
            incarnation += 1
            ledger.storeMayHaveForgotten()
        }

        mutating func settle(_ random: inout SeededGenerator) throws {
            var turns = 0
            while true {
                turns += 1
                try expect(turns < 1_000, "an end")
                ledger.retry()
                try send(limit: 3)
                if toList.isEmpty, toRooms.isEmpty { return }
                while !toList.isEmpty || !toRooms.isEmpty { try work(random.chance(0.5), failing: 0, &random) }
            }
        }
    }

    @Test func inTheEndTheStoreHoldsWhoIsWanted() async throws {
        try await RandomSchedules.run(200) { random in
            var world = try World()
            for _ in 0..<Int.random(in: 5...80, using: &random) {
                let who = try require(random.pick(world.memberships), "membership")
                switch Int.random(in: 0..<14, using: &random) {
                case 0..<3: world.enter(who)
                case 3..<5: world.leave(who)
                case 5..<7: try world.send(limit: Int.random(in: 1...4, using: &random))
                case 7..<9: try world.work(false, failing: 0.15, &random)
                case 9..<11: try world.work(true, failing: 0.15, &random)
                case 11:
                    if random.chance(0.5) { world.ledger.retry() } else { world.snapshot = world.store }
                case 12: if random.chance(0.3) { world.rename() }
                default:
                    guard random.chance(0.3) else { continue }
                    let isReplaced = random.chance(0.5)
                    try world.reconnect(isReplaced: isReplaced, &random)
                    // What a snapshot has brought back under an old name is for the sweep.
                    if isReplaced { world.rename() }
                }
            }
            try world.settle(&random)
            let wanted = Set(world.wishes.filter { $0.value != .out }.keys)
            let entered = world.store.sessions.filter { $0.value == world.incarnation }
            try expectEqual(Set(entered.keys), wanted, "who is in the rooms under the present name")
            try expect(!world.wishes.values.contains(.entering), "everybody who waited was answered")
            try expect(world.ledger.isRestored, "nothing is in doubt")
            let rooms = Set(wanted.map(\.room))
            let listed = world.store.listed.filter { $0.incarnation == world.incarnation }
            try expectEqual(Set(listed.map(\.room)), rooms, "the rooms that are listed")
            try world.checkListing()
            // Whoever is left under an older name comes from a snapshot, and leaves with that name.
            for (who, incarnation) in world.store.sessions where incarnation != world.incarnation {
                try expect(!wanted.contains(who), "all who are wanted have the present name")
            }
        }
    }
}

import ChatProtocol
import TestSupport
import Testing

@testable import RedisBroker

/// Rooms wanted and given up at random while commands, answers and connections come and go: whenever the hub is told that
/// a subscription stands, it does, and nothing that was said already ends it.
@Suite("The subscription ledger, by random schedules")
struct SubscriptionScheduleTests {
    private enum Command: Equatable {
        case subscribe(RoomName)
        case unsubscribe(RoomName)
    }

    private struct World {
        var ledger = SubscriptionLedger()
        var isConnected = false
        /// On the way to Redis, and its confirmations on the way back.
        var commands: [Command] = []
        var confirmations: [Command] = []
        var subscribed: Set<RoomName> = []
        var wanted: Set<RoomName> = []
        /// What the hub was told to stand.
        var reported: Set<RoomName> = []

        mutating func want(_ room: RoomName) {
            wanted.insert(room)
            reported.remove(room)
            ledger.subscribe(room)
        }

        mutating func giveUp(_ room: RoomName) {
            wanted.remove(room)
            reported.remove(room)
            ledger.unsubscribe(room)
        }

        mutating func connect() {
            guard !isConnected else { return }
            isConnected = true
            ledger.connected()
        }

        mutating func disconnect() {
            guard isConnected else { return }
            isConnected = false
            (commands, confirmations, subscribed, reported) = ([], [], [], [])
            ledger.disconnected()
        }

        mutating func flush() throws {
            let batch = ledger.flush()
            try expect(isConnected || batch == .init(), "without a connection nothing is said")
            commands += batch.subscribe.map { .subscribe($0) } + batch.unsubscribe.map { .unsubscribe($0) }
            for room in batch.standing { try report(room) }
        }

        mutating func report(_ room: RoomName) throws {
            try expect(wanted.contains(room), "only what is wanted is reported")
            reported.insert(room)
        }

        mutating func redisWorks() {
            guard !commands.isEmpty else { return }
            let command = commands.removeFirst()
            switch command {
            case .subscribe(let room): subscribed.insert(room)
            case .unsubscribe(let room): subscribed.remove(room)
            }
            confirmations.append(command)
        }

        mutating func confirmationArrives() throws {
            guard !confirmations.isEmpty else { return }
            switch confirmations.removeFirst() {
            case .subscribe(let room): if ledger.confirmedSubscribe(room) { try report(room) }
            case .unsubscribe(let room): ledger.confirmedUnsubscribe(room)
            }
        }

        func check() throws {
            for room in reported {
                try expect(subscribed.contains(room), "what is reported stands")
                try expect(!commands.contains(.unsubscribe(room)), "and nothing on its way ends it")
            }
        }
    }

    @Test func whatIsReportedStands() async throws {
        let rooms = try (0..<4).map { try room("room-\($0)") }
        try await RandomSchedules.run(200) { random in
            var world = World()
            for _ in 0..<Int.random(in: 10...120, using: &random) {
                let room = try require(random.pick(rooms), "room")
                switch Int.random(in: 0..<16, using: &random) {
                case 0..<3: world.want(room)
                case 3..<5: world.giveUp(room)
                case 5..<8: try world.flush()
                case 8..<11: world.redisWorks()
                case 11..<14: try world.confirmationArrives()
                case 14: world.connect()
                default: if random.chance(0.3) { world.disconnect() }
                }
                try world.check()
            }
            world.connect()
            for _ in 0..<20 {
                try world.flush()
                while !world.commands.isEmpty { world.redisWorks() }
                while !world.confirmations.isEmpty { try world.confirmationArrives() }
                try world.check()
            }
            try expectEqual(world.reported, world.wanted, "what stands in the end")
            try expectEqual(world.subscribed, world.wanted, "what Redis holds in the end")
        }
    }
}

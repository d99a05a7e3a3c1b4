package import ChatHub
package import ChatProtocol
import NIOCore
import NIOPosix
import Synchronization

/// Remembers what a broker says, and wakes whoever waits for it.
package final class BrokerListener: BrokerDelegate, Sendable {
    package enum Event: Sendable, Equatable {
        case subscribed(Set<RoomName>)
        case subscriptionsLost
        case received(Publication, RoomName)
        case storeReplaced
        case status(BrokerStatus)
    }

    private struct State {
        var events: [Event] = []
        var waiting: [Int: @Sendable ([Event]) -> Bool] = [:]
        var lastWaiter = 0
    }

    private let state = Mutex(State())

    package init() {}

    /// Everything so far.
    package var events: [Event] { state.withLock { $0.events } }

    /// Waits until `pick` finds something in what was said so far.
    ///
    /// - Throws: ``Impatience`` naming `what`.
    package func hears<Found: Sendable>(
        _ what: String, within limit: Duration = .seconds(15), _ pick: @escaping @Sendable ([Event]) -> Found?
    ) async throws -> Found {
        let promise = MultiThreadedEventLoopGroup.singleton.any().makePromise(of: Found.self)
        let number = state.withLock { state in
            if let found = pick(state.events) {
                promise.succeed(found)
                return -1
            }
            state.lastWaiter += 1
            state.waiting[state.lastWaiter] = { events in
                guard let found = pick(events) else { return false }
                promise.succeed(found)
                return true
            }
            return state.lastWaiter
        }
        let timeout = promise.futureResult.eventLoop.scheduleTask(in: TimeAmount(limit)) { [self] in
            let isOverdue = state.withLock { $0.waiting.removeValue(forKey: number) != nil }
            if isOverdue { promise.fail(Impatience(description: "not within \(limit): \(what)")) }
        }
        defer { timeout.cancel() }
        return try await promise.futureResult.get()
    }

    /// Waits until the subscription of a room stands, as often as said.
    package func hearsSubscribed(to room: RoomName, times: Int = 1) async throws {
        _ = try await hears("the subscription of \(room) stands") { events in
            let found = events.count { if case .subscribed(let rooms) = $0 { rooms.contains(room) } else { false } }
            return found >= times ? true : nil
        }
    }

    /// Waits until a room's messages are so many; all of them, in the order heard, each with its position.
    package func hearsMessages(_ count: Int, in room: RoomName) async throws -> [LogEntry] {
        try await hears("\(count) messages in \(room)") { events in
            let entries = Self.messages(in: room, of: events)
            return entries.count >= count ? entries : nil
        }
    }

    /// Waits until there were so many changes of presence in a room; all of them.
    package func hearsPresence(_ count: Int, in room: RoomName) async throws -> [PresenceChange] {
        try await hears("\(count) changes of presence in \(room)") { events in
            let changes = Self.presence(in: room, of: events)
            return changes.count >= count ? changes : nil
        }
    }

    package static func batches(in room: RoomName, of events: [Event]) -> [MessageBatch] {
        events.compactMap { if case .received(.messages(let batch), room) = $0 { batch } else { nil } }
    }

    package static func messages(in room: RoomName, of events: [Event]) -> [LogEntry] {
        batches(in: room, of: events).flatMap { batch in
            batch.messages.enumerated().map { number, message in
                LogEntry(
                    position: Position(epoch: batch.first.epoch, seq: batch.first.seq + UInt64(number)),
                    time: batch.time, body: message.body)
            }
        }
    }

    package static func presence(in room: RoomName, of events: [Event]) -> [PresenceChange] {
        events.compactMap { if case .received(.presence(let change), room) = $0 { change } else { nil } }
    }

    private func happened(_ event: Event) {
        state.withLock { state in
            state.events.append(event)
            let events = state.events
            state.waiting = state.waiting.filter { !$0.value(events) }
        }
    }

    // MARK: BrokerDelegate

    package func subscribed(to rooms: [RoomName]) { happened(.subscribed(Set(rooms))) }
    package func subscriptionsLost() { happened(.subscriptionsLost) }
    package func received(_ publication: Publication, in room: RoomName) { happened(.received(publication, room)) }
    package func receivedAllForNow() {}
    package func storeReplaced() { happened(.storeReplaced) }
    package func statusChanged(to status: BrokerStatus) { happened(.status(status)) }
}

import ChatProtocol
import NIOCore

/// What messages that are marked as retries cost their user. Those that come to one room in one turn of the event loop
/// reach the store together, where all need one look through the log: so they count once, and a client that sends all
/// that was not acknowledged pays little, while one that sends them one by one pays for each. Confined to the loop.
final class RetryToll {
    private struct Payer: Hashable {
        var user: UserName
        var room: RoomName
    }

    private let rates: RequestRates
    private let eventLoop: any EventLoop
    /// In this turn.
    private var paid: Set<Payer> = []

    /// - Parameter rates: by user, shared by all loops.
    init(rates: RequestRates, eventLoop: any EventLoop) {
        self.rates = rates
        self.eventLoop = eventLoop
    }

    /// - Returns: nil when a retry may go on, else the milliseconds until it may.
    func take(of user: UserName, to room: RoomName) -> Int? {
        guard rates.perSecond > 0 else { return nil }
        let payer = Payer(user: user, room: room)
        guard !paid.contains(payer) else { return nil }
        if let wait = rates.take(of: user.text, at: eventLoop.now) { return wait }
        if paid.isEmpty { eventLoop.assumeIsolated().execute { self.paid.removeAll(keepingCapacity: true) } }
        paid.insert(payer)
        return nil
    }
}

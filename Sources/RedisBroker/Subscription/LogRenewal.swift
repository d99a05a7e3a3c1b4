import ChatProtocol
import NIOCore

/// Spreads the renewal of many logs over a quarter of the time after which they would expire.
struct LogRenewal {
    private let expiry: TimeAmount
    private var round: ArraySlice<RoomName> = []
    private var roundEnds: NIODeadline?
    private var lastCall: NIODeadline?

    init(expiry: TimeAmount) { self.expiry = expiry }

    /// The rooms whose logs are to be renewed now, so that each one's turn comes once in a round.
    mutating func next(at now: NIODeadline, of rooms: () -> [RoomName]) -> ArraySlice<RoomName> {
        guard expiry.nanoseconds > 0 else { return [] }
        if let roundEnds, now < roundEnds {
            // As much of the rest as has gone by of the time since the last call.
            let left = max(1, (roundEnds - (lastCall ?? now)).nanoseconds)
            let gone = (now - (lastCall ?? now)).nanoseconds
            let share = Double(round.count) * Double(gone) / Double(left)
            let due = round.prefix(Int(share.rounded(.up)))
            round = round.dropFirst(due.count)
            lastCall = now
            return due
        }
        let due = round
        round = rooms()[...]
        roundEnds = now + .nanoseconds(expiry.nanoseconds / 4)
        lastCall = now
        return due
    }
}

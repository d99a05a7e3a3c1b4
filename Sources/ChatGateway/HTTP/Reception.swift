import NIOCore

/// Where strangers, connections that have not become WebSockets, wait for their event loop, which belongs to everybody
/// else for half of the time. So they delay those who are in by no more than a slice, however many come.
///
/// `@unchecked Sendable`: used by connections only, on the loop that they and it belong to.
final class Reception: @unchecked Sendable {
    private let pending: PendingHandshakes
    private let turns: LoopTurns<ReceptionGate>

    /// - Parameter pending: counts who had to wait.
    init(eventLoop: any EventLoop, pending: PendingHandshakes) {
        self.pending = pending
        turns = LoopTurns(eventLoop: eventLoop, turns: TurnTaking(rest: .asLong)) { gate in
            pending.endDelay()
            // Of who has gone meanwhile nothing is left to be served.
            if gate.isWaiting { gate.serve() }
        }
    }

    /// Whether somebody may be served now; then ``endTurn()`` has to follow in the same turn of the loop.
    func beginTurn() -> Bool { turns.begin() }

    func endTurn() { turns.end() }

    /// Its turn comes by ``ReceptionGate/serve()``.
    func wait(_ gate: ReceptionGate, address: String) {
        pending.delay()
        turns.wait(gate, address: address)
    }
}

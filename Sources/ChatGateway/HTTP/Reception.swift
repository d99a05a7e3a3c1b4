import NIOCore

/// Where strangers, connections that have not become WebSockets, wait for their event loop, which belongs to everybody
/// else for half of the time (``TurnTaking``). So they delay those who are in by no more than a slice, however many
/// come.
///
/// `@unchecked Sendable`: used by connections only, on the loop that they and it belong to.
final class Reception: @unchecked Sendable {
    private let eventLoop: any EventLoop
    private let pending: PendingHandshakes
    private var turns = TurnTaking<ReceptionGate>()
    private var isWaking = false

    /// - Parameter pending: counts who had to wait.
    init(eventLoop: any EventLoop, pending: PendingHandshakes) {
        self.eventLoop = eventLoop
        self.pending = pending
    }

    /// Whether somebody may be served now; then ``endTurn()`` has to follow in the same turn of the loop.
    func beginTurn() -> Bool {
        eventLoop.assertInEventLoop()
        return turns.arrived(at: .now())
    }

    func endTurn() {
        turns.ended(at: .now())
    }

    /// Its turn comes by ``ReceptionGate/serve()``.
    func wait(_ gate: ReceptionGate, address: String) {
        pending.delay()
        turns.waits(gate, address: address)
        wakeUp()
    }

    private func wakeUp() {
        guard !isWaking, let next = turns.wakeUp(at: .now()) else { return }
        isWaking = true
        eventLoop.assumeIsolated().scheduleTask(deadline: next) { [self] in
            isWaking = false
            serveNext()
            wakeUp()
        }
    }

    private func serveNext() {
        while let gate = turns.next(at: .now()) {
            pending.endDelay()
            // Of who has gone meanwhile nothing is left to be served.
            if gate.isWaiting { gate.serve() }
            endTurn()
        }
    }
}

import NIOCore

/// Who waits for an event loop's time, and is called when it comes (``TurnTaking``). Confined to the loop.
final class LoopTurns<Visitor> {
    private let eventLoop: any EventLoop
    private let serve: (Visitor) -> Void
    private var turns: TurnTaking<Visitor>
    private var isWaking = false

    /// - Parameter serve: a visitor's turn has come.
    init(eventLoop: any EventLoop, turns: TurnTaking<Visitor>, serve: @escaping (Visitor) -> Void) {
        self.eventLoop = eventLoop
        self.turns = turns
        self.serve = serve
    }

    /// Whether somebody may be served now; then ``end()`` has to follow in the same turn of the loop.
    func begin() -> Bool {
        eventLoop.assertInEventLoop()
        return turns.arrived(at: eventLoop.now)
    }

    func end() {
        turns.ended(at: eventLoop.now)
    }

    func wait(_ visitor: Visitor, address: String) {
        eventLoop.assertInEventLoop()
        turns.waits(visitor, address: address)
        wakeUp()
    }

    private func wakeUp() {
        guard !isWaking, let next = turns.wakeUp(at: eventLoop.now) else { return }
        isWaking = true
        // In the future, however near: what is to run at once runs before the loop has looked at its sockets.
        eventLoop.assumeIsolated().scheduleTask(deadline: next) { [self] in
            isWaking = false
            while let visitor = turns.next(at: eventLoop.now) {
                serve(visitor)
                end()
            }
            wakeUp()
        }
    }
}

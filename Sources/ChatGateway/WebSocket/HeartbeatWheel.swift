package import NIOCore

/// Something that a ``HeartbeatWheel`` wakes, on the wheel's loop.
protocol WheelRider: AnyObject {
    /// A heartbeat has passed since the rider boarded or since the last beat.
    func beat()
    /// The deadline that was set has passed; it is no longer set.
    func deadlinePassed()
}

/// One that gets beats. Each has one seat at most.
protocol WheelPassenger: WheelRider {
    /// Kept by the wheel.
    var seat: WheelSeat? { get set }
}

/// Where a passenger sits on its wheel.
struct WheelSeat {
    fileprivate var slot: UInt32
    fileprivate var index: UInt32
}

/// Keeps time for all connections of one event loop with a single timer: a beat for each rider once per period, and
/// deadlines, both as exact as one tick.
///
/// `@unchecked Sendable`: every method runs on ``eventLoop``, as each asserts, and so does the timer.
package final class HeartbeatWheel: @unchecked Sendable {
    package let eventLoop: any EventLoop
    /// Those of its riders.
    let limits: WebSocketLimits
    /// Who among them has sent so much that it is heard by turns.
    let talkers: LoopTurns<WebSocketConnection>
    private let tick: TimeAmount
    private var slots: [[any WheelPassenger]]
    private var current = 0
    private var deadlines: [ObjectIdentifier: (rider: any WheelRider, at: NIODeadline)] = [:]
    private var riders = 0
    private var timer: RepeatedTask?

    /// - Parameter period: between two beats of a rider.
    /// - Parameter precision: the longest wish for a tick.
    init(
        eventLoop: any EventLoop, period: TimeAmount, precision: TimeAmount, limits: WebSocketLimits = WebSocketLimits()
    ) {
        self.limits = limits
        talkers = LoopTurns(eventLoop: eventLoop, turns: TurnTaking(rest: .short)) { $0.goOn() }
        let finest = TimeAmount.milliseconds(5)
        let tick = max(finest, min(precision, .nanoseconds(period.nanoseconds / 16), .milliseconds(500)))
        self.eventLoop = eventLoop
        self.tick = tick
        self.slots = Array(repeating: [], count: max(1, Int(period.nanoseconds / tick.nanoseconds)))
    }

    /// The wheel for connections with these limits.
    package convenience init(eventLoop: any EventLoop, limits: WebSocketLimits) {
        let shortest = min(limits.stallTimeout, limits.closeTimeout, limits.handshakeTimeout)
        self.init(
            eventLoop: eventLoop, period: limits.heartbeat, precision: .nanoseconds(shortest.nanoseconds / 8),
            limits: limits)
    }

    /// Begins a passenger's beats.
    func board(_ passenger: any WheelPassenger) {
        eventLoop.assertInEventLoop()
        passenger.seat = WheelSeat(slot: UInt32(current), index: UInt32(slots[current].count))
        slots[current].append(passenger)
        riders += 1
        startIfNeeded()
    }

    /// Does nothing for one that is not on the wheel.
    func leave(_ passenger: any WheelPassenger) {
        eventLoop.assertInEventLoop()
        guard let seat = passenger.seat else { return }
        passenger.seat = nil
        riders -= 1
        // The last of the slot takes the seat.
        let last = slots[Int(seat.slot)].removeLast()
        guard last !== passenger else { return }
        slots[Int(seat.slot)][Int(seat.index)] = last
        last.seat = seat
    }

    /// Sets a rider's one deadline, instead of the one that it had.
    func setDeadline(of rider: any WheelRider, in amount: TimeAmount) {
        eventLoop.assertInEventLoop()
        deadlines[ObjectIdentifier(rider)] = (rider, eventLoop.now + amount)
        startIfNeeded()
    }

    func clearDeadline(of rider: any WheelRider) {
        eventLoop.assertInEventLoop()
        deadlines.removeValue(forKey: ObjectIdentifier(rider))
    }

    private func startIfNeeded() {
        guard timer == nil else { return }
        timer = eventLoop.scheduleRepeatedTask(initialDelay: tick, delay: tick) { [weak self] _ in self?.turn() }
    }

    private func turn() {
        eventLoop.assertInEventLoop()
        // Those who board from now on sit in the slot that comes last.
        current = (current + 1) % slots.count
        for passenger in slots[current] { passenger.beat() }
        let now = eventLoop.now
        for (id, entry) in deadlines where entry.at <= now {
            // One whom an earlier one has removed, or given a new deadline, is not due.
            guard let entry = deadlines[id], entry.at <= now else { continue }
            deadlines.removeValue(forKey: id)
            entry.rider.deadlinePassed()
        }
        if riders == 0, deadlines.isEmpty {
            timer?.cancel()
            timer = nil
        }
    }
}

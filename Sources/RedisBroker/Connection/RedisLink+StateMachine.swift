import ChatProtocol
import NIOCore

extension RedisLink {
    /// When to connect, and when to try again. Attempts are numbered: what a given-up one still reports is ignored.
    struct StateMachine {
        enum Ended: Equatable {
            /// Connect again after the pause; `wasReady` tells whether somebody relied on the connection.
            case connectAfter(TimeAmount, wasReady: Bool)
            case stopped(wasReady: Bool)
            case ignore
        }

        private enum State: Equatable {
            case idle
            case connecting(Int)
            case ready(Int, since: NIODeadline)
            case pausing
            case stopped
        }

        private var state = State.idle
        private var attempts = 0
        private var backoff: Backoff
        /// A connection that stood for less is a failure like one that never came to be.
        private let settled: TimeAmount

        init(backoff: Backoff.Limits, settled: TimeAmount = .milliseconds(500)) {
            self.backoff = Backoff(backoff)
            self.settled = settled
        }

        var isStopped: Bool { state == .stopped }

        /// Started, or the pause is over. The number of the attempt to make, nil for none.
        mutating func connect() -> Int? {
            switch state {
            case .idle, .pausing:
                attempts += 1
                state = .connecting(attempts)
                return attempts
            case .connecting, .ready, .stopped:
                return nil
            }
        }

        /// Whether this attempt is still to be made.
        func isConnecting(_ attempt: Int) -> Bool {
            switch state {
            case .connecting(attempt): true
            case .connecting, .ready, .idle, .pausing, .stopped: false
            }
        }

        /// Redis is elsewhere now: what went wrong before says nothing about the new place.
        mutating func moved() { backoff.succeeded() }

        /// Whether this attempt is the one that counts.
        mutating func becameReady(_ attempt: Int, at now: NIODeadline) -> Bool {
            switch state {
            case .connecting(attempt):
                state = .ready(attempt, since: now)
                return true
            case .connecting, .ready, .idle, .pausing, .stopped:
                return false
            }
        }

        mutating func ended(
            _ attempt: Int, at now: NIODeadline, using random: inout some RandomNumberGenerator
        ) -> Ended {
            let wasReady: Bool
            switch state {
            case .connecting(attempt): wasReady = false
            case .ready(attempt, let since):
                wasReady = true
                if now >= since + settled { backoff.succeeded() }
            case .connecting, .ready, .idle, .pausing, .stopped: return .ignore
            }
            state = .pausing
            return .connectAfter(TimeAmount(backoff.failed(using: &random)), wasReady: wasReady)
        }

        mutating func stop() -> Ended {
            defer { state = .stopped }
            switch state {
            case .ready: return .stopped(wasReady: true)
            case .idle, .connecting, .pausing: return .stopped(wasReady: false)
            case .stopped: return .ignore
            }
        }
    }
}

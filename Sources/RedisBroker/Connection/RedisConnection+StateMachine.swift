import Hiredis
import NIOCore

extension RedisConnection {
    /// One TCP connection's life: the handshake, the commands that wait for their answers, deadlines and silence.
    ///
    /// `Command` is whatever the performer needs to answer a command.
    struct StateMachine<Command> {
        enum Received {
            /// The handshake goes on, or a PING was answered.
            case nothing
            case becameReady(digests: [String?])
            case answered(Command, sentAt: NIODeadline)
            /// What a subscribing connection hears.
            case pushed
            case close(reason: String)
            /// To be closed: this Redis may throw away what it was given.
            case unsuitable(reason: String)
        }

        enum Ticked: Equatable {
            case nothing
            case ping
            case close(reason: String)
        }

        private enum State {
            case handshaking(RedisHandshake)
            case ready
            case closed
        }

        private struct Outstanding {
            /// nil: our own PING.
            var command: Command?
            var sentAt: NIODeadline
            var deadline: NIODeadline
        }

        private var state: State
        private let isSubscription: Bool
        private let handshakeDeadline: NIODeadline
        private let pingInterval: TimeAmount
        private let commandTimeout: TimeAmount
        private var outstanding = CircularBuffer<Outstanding>()
        private var lastHeard: NIODeadline
        /// The connection, as Redis calls it; known when it is ready.
        private(set) var identity: RedisClientIdentity?
        /// Which life of which store it is connected to; known when it is ready, and Redis says it.
        private(set) var generation: String?
        /// Redis did not say whether it may throw away what it was given.
        private(set) var hidesPolicy = false

        init(
            handshake: RedisHandshake, isSubscription: Bool, now: NIODeadline, handshakeTimeout: TimeAmount,
            commandTimeout: TimeAmount, pingInterval: TimeAmount
        ) {
            self.state = .handshaking(handshake)
            self.isSubscription = isSubscription
            self.handshakeDeadline = now + handshakeTimeout
            self.pingInterval = pingInterval
            self.commandTimeout = commandTimeout
            self.lastHeard = now
        }

        var isReady: Bool {
            switch state {
            case .ready: true
            case .handshaking, .closed: false
            }
        }

        var isClosed: Bool {
            switch state {
            case .closed: true
            case .handshaking, .ready: false
            }
        }

        /// When ``ticked(at:)`` must be called next.
        var nextTick: NIODeadline? {
            switch state {
            case .handshaking: handshakeDeadline
            case .ready where isSubscription: nil
            case .ready: outstanding.lazy.map(\.deadline).min() ?? lastHeard + pingInterval
            case .closed: nil
            }
        }

        /// A command was written. Only when ``isReady``; a subscribing connection expects no answers.
        mutating func sent(_ command: Command?, at now: NIODeadline, deadline: NIODeadline) {
            outstanding.append(Outstanding(command: command, sentAt: now, deadline: deadline))
        }

        mutating func received(_ reply: Reply, at now: NIODeadline) -> Received {
            lastHeard = now
            switch state {
            case .handshaking(var handshake):
                let verdict = handshake.received(reply)
                state = .handshaking(handshake)
                switch verdict {
                case .more: return .nothing
                case .refused(let reason): return .close(reason: reason)
                case .unsuitable(let reason): return .unsuitable(reason: reason)
                case .done(let digests):
                    identity = handshake.identity
                    generation = handshake.generation
                    hidesPolicy = handshake.hidesPolicy
                    state = .ready
                    return .becameReady(digests: digests)
                }
            case .ready where isSubscription:
                return .pushed
            case .ready:
                guard let answered = outstanding.popFirst() else {
                    return .close(reason: "Redis answered what was not asked")
                }
                return answered.command.map { .answered($0, sentAt: answered.sentAt) } ?? .nothing
            case .closed:
                return .nothing
            }
        }

        mutating func ticked(at now: NIODeadline) -> Ticked {
            switch state {
            case .handshaking:
                return now < handshakeDeadline ? .nothing : .close(reason: "Redis did not answer the login in time")
            case .ready where isSubscription:
                return .nothing
            case .ready:
                if let earliest = outstanding.lazy.map(\.deadline).min() {
                    // After a time-out nobody knows which answer belongs to which command, or what took effect.
                    return now < earliest ? .nothing : .close(reason: "Redis did not answer a command in time")
                }
                guard now >= lastHeard + pingInterval else { return .nothing }
                sent(nil, at: now, deadline: now + commandTimeout)
                return .ping
            case .closed:
                return .nothing
            }
        }

        /// The connection is gone. The commands that will never be answered, in the order sent.
        mutating func closed() -> [Command] {
            state = .closed
            defer { outstanding.removeAll() }
            return outstanding.compactMap(\.command)
        }
    }
}

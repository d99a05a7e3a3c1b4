import ChatProtocol
import NIOCore

extension ClientEngine {
    /// Which connections there are, which come next, and when. Connections are called links and numbered.
    struct StateMachine {
        enum Action: Equatable {
            case none
            /// Open this link to the address with this index.
            case connect(link: Int, address: Int)
            /// Take up all rooms on this link, and send what is not acknowledged there.
            case resume(link: Int)
            /// Call `waited(token:)` after so long.
            case wait(TimeAmount, token: Int)
            /// Call `moveDue(token:)` after so long.
            case planMove(TimeAmount, token: Int)
            /// Another link has taken over from these.
            case retire(links: [Int])
            /// It cannot work; everything that waits fails with this.
            case giveUp(ChatClientError)
            /// The user wants no more: close these.
            case close(links: [Int])
        }

        private enum State: Equatable {
            case idle
            case connecting(Int)
            case open(Int)
            /// The node asked to leave: at `moveDue` with this token a second link is opened.
            case movingSoon(Int, token: Int)
            /// Two links: `to` is connecting.
            case moving(from: Int, to: Int)
            case waiting(token: Int)
            case closed
        }

        /// A link that lasted so long was a good one: the back-off begins anew.
        static let stableAfter = TimeAmount.seconds(10)

        private var state = State.idle
        /// Links that were moved away from, oldest first. They serve the rooms that the one in use has not taken up yet.
        private var former: [Int] = []
        private let addresses: Int
        private var address = 0
        private var backoff = Backoff()
        private var numbers = 0
        /// When the link that is, or was last, in use was welcomed.
        private var welcomedAt: NIODeadline?

        init(addresses: Int) {
            self.addresses = max(addresses, 1)
        }

        /// The link on which to speak, nil while there is none.
        var current: Int? {
            switch state {
            case .idle, .connecting, .waiting, .closed: nil
            case .open(let link), .movingSoon(let link, _), .moving(let link, _): link
            }
        }

        /// Whether a link is wanted that is not open yet.
        func expects(_ link: Int) -> Bool {
            switch state {
            case .connecting(link), .moving(_, link): true
            case .idle, .connecting, .open, .movingSoon, .moving, .waiting, .closed: false
            }
        }

        var isClosed: Bool { state == .closed }
        var hasStarted: Bool { state != .idle }

        mutating func start() -> Action {
            switch state {
            case .idle: return connect()
            case .connecting, .open, .movingSoon, .moving, .waiting, .closed: return .none
            }
        }

        mutating func receivedWelcome(on link: Int, at now: NIODeadline) -> Action {
            switch state {
            case .connecting(link):
                state = .open(link)
            case .moving(let from, link):
                former.append(from)
                state = .open(link)
            case .idle, .connecting, .open, .movingSoon, .moving, .waiting, .closed:
                return .none
            }
            welcomedAt = now
            return .resume(link: link)
        }

        /// All rooms are taken up on a link.
        mutating func resumed(on link: Int) -> Action {
            guard link == current, !former.isEmpty else { return .none }
            defer { former = [] }
            return .retire(links: former)
        }

        /// The link that everything was just moved to may be told to leave like any other: the next one takes over from both.
        mutating func receivedReconnect(on link: Int, after delay: TimeAmount, at now: NIODeadline) -> Action {
            switch state {
            case .open(link):
                forgiveFailures(at: now)
                return planMove(from: link, after: delay)
            case .idle, .connecting, .open, .movingSoon, .moving, .waiting, .closed:
                return .none
            }
        }

        mutating func moveDue(token: Int) -> Action {
            switch state {
            case .movingSoon(let link, token):
                let to = nextNumber()
                address = (address + 1) % addresses
                state = .moving(from: link, to: to)
                return .connect(link: to, address: address)
            case .idle, .connecting, .open, .movingSoon, .moving, .waiting, .closed:
                return .none
            }
        }

        /// A link is gone, or could not be made.
        mutating func ended(
            _ link: Int, _ ending: ConnectionEnding, at now: NIODeadline, using random: inout some RandomNumberGenerator
        ) -> Action {
            switch state {
            case .connecting(link), .open(link), .movingSoon(link, _):
                forgiveFailures(at: now)
                welcomedAt = nil
                if let from = former.popLast() { return moveAgain(from: from, after: ending, using: &random) }
                switch ending.verdict {
                case .giveUp(let error):
                    state = .closed
                    return .giveUp(error)
                case .retry(let earliest):
                    let wait = delay(notBefore: earliest, using: &random)
                    let token = nextNumber()
                    state = .waiting(token: token)
                    return .wait(wait, token: token)
                }
            case .moving(let from, link):
                return moveAgain(from: from, after: ending, using: &random)
            case .moving(link, let to):
                state = former.popLast().map { .moving(from: $0, to: to) } ?? .connecting(to)
                return .none
            case .idle, .connecting, .open, .movingSoon, .moving, .waiting, .closed:
                former.removeAll { $0 == link }
                return .none
            }
        }

        mutating func waited(token: Int) -> Action {
            switch state {
            case .waiting(token):
                address = (address + 1) % addresses
                return connect()
            case .idle, .connecting, .open, .movingSoon, .moving, .waiting, .closed:
                return .none
            }
        }

        mutating func close() -> Action {
            defer {
                state = .closed
                former = []
            }
            switch state {
            case .idle, .waiting: return .close(links: [])
            case .connecting(let link), .open(let link), .movingSoon(let link, _): return .close(links: former + [link])
            case .moving(let from, let to): return .close(links: former + [from, to])
            case .closed: return .none
            }
        }

        private mutating func connect() -> Action {
            let link = nextNumber()
            state = .connecting(link)
            return .connect(link: link, address: address)
        }

        private mutating func planMove(from link: Int, after delay: TimeAmount) -> Action {
            let token = nextNumber()
            state = .movingSoon(link, token: token)
            return .planMove(delay, token: token)
        }

        /// The link that was to take over is gone. Whatever it is, the old one still serves; once that ends the reason
        /// will show itself again.
        private mutating func moveAgain(
            from link: Int, after ending: ConnectionEnding, using random: inout some RandomNumberGenerator
        ) -> Action {
            let earliest: TimeAmount? =
                switch ending.verdict {
                case .retry(let earliest): earliest
                case .giveUp: .seconds(1)
                }
            return planMove(from: link, after: delay(notBefore: earliest, using: &random))
        }

        /// The back-off begins anew after a link that has lasted.
        private mutating func forgiveFailures(at now: NIODeadline) {
            if let welcomedAt, now - welcomedAt >= Self.stableAfter { backoff.succeeded() }
        }

        private mutating func delay(
            notBefore earliest: TimeAmount?, using random: inout some RandomNumberGenerator
        ) -> TimeAmount {
            // The jitter comes on top of what the node asks for, or all would come back at that moment.
            (earliest ?? .zero) + TimeAmount(backoff.failed(using: &random))
        }

        private mutating func nextNumber() -> Int {
            numbers += 1
            return numbers
        }
    }
}

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
            /// Another link has taken over from this one.
            case retire(link: Int)
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
            /// Two links: `to` is connecting, or resuming once it is welcome.
            case moving(from: Int, to: Int, isWelcome: Bool)
            case waiting(token: Int)
            case closed
        }

        /// A link that lasted so long was a good one: the back-off begins anew.
        static let stableAfter = TimeAmount.seconds(10)

        private var state = State.idle
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
            case .open(let link), .movingSoon(let link, _): link
            case .moving(let from, let to, let isWelcome): isWelcome ? to : from
            }
        }

        /// Whether a link is wanted that is not open yet.
        func expects(_ link: Int) -> Bool {
            switch state {
            case .connecting(link), .moving(_, link, isWelcome: false): true
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
            case .moving(let from, link, isWelcome: false):
                state = .moving(from: from, to: link, isWelcome: true)
            case .idle, .connecting, .open, .movingSoon, .moving, .waiting, .closed:
                return .none
            }
            welcomedAt = now
            return .resume(link: link)
        }

        /// All rooms are taken up on a link.
        mutating func resumed(on link: Int) -> Action {
            switch state {
            case .moving(let from, link, isWelcome: true):
                state = .open(link)
                return .retire(link: from)
            case .idle, .connecting, .open, .movingSoon, .moving, .waiting, .closed:
                return .none
            }
        }

        mutating func receivedReconnect(on link: Int, after delay: TimeAmount) -> Action {
            switch state {
            case .open(link):
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
                state = .moving(from: link, to: to, isWelcome: false)
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
                if let welcomedAt, now - welcomedAt >= Self.stableAfter { backoff.succeeded() }
                welcomedAt = nil
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
            case .moving(let from, link, _):
                // Whatever it is, the old link still serves; once that ends the reason will show itself again.
                let earliest: TimeAmount? =
                    switch ending.verdict {
                    case .retry(let earliest): earliest
                    case .giveUp: .seconds(1)
                    }
                return planMove(from: from, after: delay(notBefore: earliest, using: &random))
            case .moving(link, let to, let isWelcome):
                state = isWelcome ? .open(to) : .connecting(to)
                return .none
            case .idle, .connecting, .open, .movingSoon, .moving, .waiting, .closed:
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
            defer { state = .closed }
            switch state {
            case .idle, .waiting: return .close(links: [])
            case .connecting(let link), .open(let link), .movingSoon(let link, _): return .close(links: [link])
            case .moving(let from, let to, _): return .close(links: [from, to])
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

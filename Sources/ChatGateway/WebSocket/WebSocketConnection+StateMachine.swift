import ChatProtocol

extension WebSocketConnection {
    /// The closing handshake (RFC 6455, section 7), and who began it.
    struct StateMachine {
        enum State: Equatable {
            case open
            /// Our Close frame is out, the peer's has not come.
            case awaitingPeer
            /// Both have said what they had to; output is shut down and input drained, so that the peer reads our last
            /// frame instead of a reset.
            case lingering
            case closed
        }

        enum Action: Equatable {
            case none
            /// Send a Close frame and wait for the peer's for a bounded time.
            case sayClose(CloseCode, reason: String)
            /// Answer the peer's Close frame, then shut output down.
            case answerClose(code: UInt16?)
            /// Say why, then shut output down: nothing that the peer sends is understood any more.
            case sayCloseAndShutDown(CloseCode, reason: String)
            /// Shut output down.
            case shutDown
            /// End TCP now.
            case cut
        }

        private(set) var state = State.open
        /// Set when the connection leaves ``State/open``.
        private(set) var ending: Ending?

        /// The node wants to end the connection.
        mutating func closeRequested(_ code: CloseCode, reason: String) -> Action {
            switch state {
            case .open:
                state = .awaitingPeer
                ending = .byNode(code)
                return .sayClose(code, reason: reason)
            case .awaitingPeer, .lingering, .closed:
                return .none
            }
        }

        mutating func receivedClose(code: UInt16?) -> Action {
            switch state {
            case .open:
                state = .lingering
                ending = .byPeer(code: code)
                return .answerClose(code: code)
            case .awaitingPeer:
                state = .lingering
                return .shutDown
            case .lingering, .closed:
                return .none
            }
        }

        /// The peer broke the rules of framing.
        mutating func receivedFault(_ code: CloseCode, reason: String) -> Action {
            switch state {
            case .open:
                state = .lingering
                ending = .byNode(code)
                return .sayCloseAndShutDown(code, reason: reason)
            case .awaitingPeer:
                state = .lingering
                return .shutDown
            case .lingering, .closed:
                return .none
            }
        }

        /// The peer will send nothing more, or TCP has ended, whoever ended it.
        mutating func receivedEndOfInput() -> Action { lose() }

        /// The peer did not answer our Close frame, or did not end TCP, in time.
        mutating func closeTimedOut() -> Action {
            switch state {
            case .awaitingPeer, .lingering:
                state = .closed
                return .cut
            case .open, .closed:
                return .none
            }
        }

        /// Reading or writing failed.
        mutating func failed() -> Action { lose() }

        private mutating func lose() -> Action {
            switch state {
            case .open, .awaitingPeer, .lingering:
                state = .closed
                ending = ending ?? .lost
                return .cut
            case .closed:
                return .none
            }
        }
    }
}

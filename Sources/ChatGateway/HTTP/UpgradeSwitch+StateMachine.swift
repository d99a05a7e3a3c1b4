import ChatProtocol
import NIOCore
import NIOHTTP1

extension UpgradeSwitch {
    /// One request after the other on one connection, until one of them is refused or becomes a WebSocket.
    struct StateMachine {
        enum State {
            /// Between requests.
            case idle
            /// A handshake in good order, whose end is awaited.
            case receivingHandshake(Handshake)
            case receivingRequest(HTTPRequestHead, ByteBuffer, isLast: Bool)
            /// A request is being answered; what comes next waits.
            case answering(isLast: Bool)
            /// Nothing that comes is looked at any more.
            case done
        }

        enum Action: Equatable {
            case none
            /// The client waits for leave to send its body.
            case sayContinue
            case refuse(HTTPRefusal)
            case upgrade(Handshake)
            case answer(HTTPRequestHead, ByteBuffer)
            /// Go on with what waits, then with reading.
            case proceed
            /// Everything is said: shut output down.
            case end
            /// Nothing is to be said: close.
            case cut
        }

        private let maxBodyBytes: Int
        private(set) var state = State.idle
        /// The request that is being answered ends with the client's input.
        private var lasts = false

        init(maxBodyBytes: Int) {
            self.maxBodyBytes = maxBodyBytes
        }

        /// Whether parts of requests have to wait.
        var isAnswering: Bool {
            switch state {
            case .answering: true
            case .idle, .receivingHandshake, .receivingRequest, .done: false
            }
        }

        mutating func receivedHead(_ head: HTTPRequestHead, _ verdict: HandshakeValidator.Verdict) -> Action {
            switch state {
            case .idle:
                switch verdict {
                case .refuse(let refusal):
                    return refuse(refusal)
                case .upgrade(let handshake):
                    state = .receivingHandshake(handshake)
                    return .none
                case .plain:
                    return begin(head)
                }
            case .receivingHandshake, .receivingRequest, .answering, .done:
                return .none
            }
        }

        private mutating func begin(_ head: HTTPRequestHead) -> Action {
            let length = head.headers["Content-Length"].first.flatMap { Int($0) }
            if let length, length > maxBodyBytes { return refuse(tooLarge) }
            // The decoder reads nothing after a request that could have been upgraded.
            let endsParsing = head.headers.contains(name: "Upgrade") || head.method == .CONNECT
            state = .receivingRequest(
                head, ByteBuffer(), isLast: endsParsing || !head.isKeepAlive || !head.isHTTP11)
            let expectsContinue = head.headers["Expect"].contains { $0.lowercased() == "100-continue" }
            return expectsContinue && head.isHTTP11 && length != 0 ? .sayContinue : .none
        }

        mutating func receivedBody(_ bytes: ByteBuffer) -> Action {
            switch state {
            case .receivingRequest(let head, var body, let isLast):
                guard body.readableBytes + bytes.readableBytes <= maxBodyBytes else { return refuse(tooLarge) }
                state = .idle
                body.writeImmutableBuffer(bytes)
                state = .receivingRequest(head, body, isLast: isLast)
                return .none
            case .receivingHandshake:
                return refuse(HTTPRefusal(.badRequest, .badRequest, "a handshake has no body"))
            case .idle, .answering, .done:
                return .none
            }
        }

        mutating func receivedEnd() -> Action {
            switch state {
            case .receivingHandshake(let handshake):
                state = .done
                return .upgrade(handshake)
            case .receivingRequest(let head, let body, let isLast):
                state = .answering(isLast: isLast)
                return .answer(head, body)
            case .idle, .answering, .done:
                return .none
            }
        }

        mutating func requestLasts() {
            if isAnswering { lasts = true }
        }

        /// The request cannot be answered by the routes.
        mutating func unanswerable(_ refusal: HTTPRefusal) -> Action {
            switch state {
            case .answering: refuse(refusal)
            case .idle, .receivingHandshake, .receivingRequest, .done: .none
            }
        }

        /// - Parameter mayGoOn: the answer said so; false also when it could not be finished.
        mutating func answered(mayGoOn: Bool) -> Action {
            switch state {
            case .answering(let isLast):
                lasts = false
                state = isLast || !mayGoOn ? .done : .idle
                return isLast || !mayGoOn ? .end : .proceed
            case .idle, .receivingHandshake, .receivingRequest, .done:
                return .none
            }
        }

        /// What came is not HTTP, or too much of it.
        mutating func failed(_ refusal: HTTPRefusal) -> Action {
            switch state {
            case .idle, .receivingHandshake, .receivingRequest:
                return refuse(refusal)
            case .answering:
                state = .answering(isLast: true)
                return .none
            case .done:
                return .none
            }
        }

        /// The client sends nothing more, but may still read.
        mutating func receivedEndOfInput() -> Action {
            switch state {
            case .idle, .receivingHandshake, .receivingRequest:
                state = .done
                return .cut
            case .answering:
                state = lasts ? .done : .answering(isLast: true)
                return lasts ? .cut : .none
            case .done:
                return .none
            }
        }

        /// The client took too long: to send a request, or to read an answer.
        mutating func timedOut() -> Action {
            state = .done
            return .cut
        }

        private mutating func refuse(_ refusal: HTTPRefusal) -> Action {
            state = .done
            return .refuse(refusal)
        }

        private var tooLarge: HTTPRefusal {
            HTTPRefusal(.payloadTooLarge, .messageTooLarge, "a body may have at most \(maxBodyBytes) bytes")
        }
    }
}

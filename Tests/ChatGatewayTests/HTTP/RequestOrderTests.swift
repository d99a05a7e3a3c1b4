import ChatProtocol
import NIOCore
import NIOHTTP1
import Testing

@testable import ChatGateway

@Suite("One request after the other on one connection")
struct RequestOrderTests {
    private typealias Machine = UpgradeSwitch.StateMachine

    private let handshake = Handshake(
        request: SocketRequest(
            path: .ws, query: [:], headers: [:], host: "h", peerAddress: "", offeredProtocols: []),
        key: "", selectedProtocol: nil)

    private func head(_ fields: HTTPHeaders = [:], version: HTTPVersion = .http1_1) -> HTTPRequestHead {
        HTTPRequestHead(version: version, method: .POST, uri: "/", headers: fields)
    }

    @Test("a request is answered when all of it is there, then the next one")
    func requests() {
        var machine = Machine(maxBodyBytes: 10)
        for _ in 0..<2 {
            #expect(machine.receivedHead(head(), .plain) == .none)
            #expect(machine.receivedBody(ByteBuffer(string: "ab")) == .none)
            #expect(machine.receivedBody(ByteBuffer(string: "c")) == .none)
            #expect(machine.receivedEnd() == .answer(head(), ByteBuffer(string: "abc")))
            #expect(machine.isAnswering)
            #expect(machine.answered(mayGoOn: true) == .proceed)
        }
    }

    @Test("a handshake becomes a WebSocket at its end, and nothing is looked at afterwards")
    func upgrade() {
        var machine = Machine(maxBodyBytes: 10)
        #expect(machine.receivedHead(head(), .upgrade(handshake)) == .none)
        #expect(machine.receivedEnd() == .upgrade(handshake))
        #expect(machine.receivedHead(head(), .plain) == .none)
        #expect(machine.receivedEnd() == .none)
    }

    @Test("after a refusal nothing is looked at")
    func refusal() {
        var machine = Machine(maxBodyBytes: 10)
        let refusal = HTTPRefusal(.notFound, .notFound, "x")
        #expect(machine.receivedHead(head(), .refuse(refusal)) == .refuse(refusal))
        #expect(machine.receivedHead(head(), .upgrade(handshake)) == .none)
        #expect(machine.receivedEnd() == .none)
        #expect(machine.failed(refusal) == .none)
        #expect(machine.receivedEndOfInput() == .none)
    }

    @Test("a body that grows too large is refused before it is all there")
    func growingBody() {
        var machine = Machine(maxBodyBytes: 3)
        _ = machine.receivedHead(head(), .plain)
        #expect(machine.receivedBody(ByteBuffer(string: "abc")) == .none)
        guard case .refuse(let refusal) = machine.receivedBody(ByteBuffer(string: "d")) else {
            Issue.record("it was let through")
            return
        }
        #expect(refusal.code == .messageTooLarge)
    }

    @Test(
        "the last request of a connection ends it",
        arguments: [["Connection": "close"], ["Upgrade": "h2c", "Connection": "Upgrade"]] as [HTTPHeaders])
    func lastRequest(_ fields: HTTPHeaders) {
        var machine = Machine(maxBodyBytes: 3)
        _ = machine.receivedHead(head(fields), .plain)
        _ = machine.receivedEnd()
        #expect(machine.answered(mayGoOn: true) == .end)
    }

    @Test("a client that ends its output, or sends rubbish, while it is answered gets the answer first")
    func endWhileAnswering() {
        var machine = Machine(maxBodyBytes: 3)
        _ = machine.receivedHead(head(), .plain)
        _ = machine.receivedEnd()
        #expect(machine.receivedEndOfInput() == .none)
        #expect(machine.failed(HTTPRefusal(.badRequest, .badRequest, "x")) == .none)
        #expect(machine.answered(mayGoOn: true) == .end)
    }

    @Test("between requests, and within one, an end of input ends the connection")
    func endWhileReceiving() {
        var idle = Machine(maxBodyBytes: 3)
        #expect(idle.receivedEndOfInput() == .cut)
        var receiving = Machine(maxBodyBytes: 3)
        _ = receiving.receivedHead(head(), .plain)
        #expect(receiving.receivedEndOfInput() == .cut)
    }
}

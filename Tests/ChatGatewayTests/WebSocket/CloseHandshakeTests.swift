import ChatProtocol
import Testing

@testable import ChatGateway

@Suite("The closing handshake")
struct CloseHandshakeTests {
    private typealias Machine = WebSocketConnection.StateMachine

    @Test("the node closes, the peer answers")
    func nodeFirst() {
        var machine = Machine()
        #expect(machine.closeRequested(.restart, reason: "bye") == .sayClose(.restart, reason: "bye"))
        #expect(machine.receivedClose(code: 1012) == .shutDown)
        #expect(machine.receivedEndOfInput() == .cut)
        #expect(machine.ending == .byNode(.restart))
    }

    @Test("the peer closes, the node answers with the same code")
    func peerFirst() {
        var machine = Machine()
        #expect(machine.receivedClose(code: 3000) == .answerClose(code: 3000))
        #expect(machine.closeRequested(.goingAway, reason: "") == .none)
        #expect(machine.receivedEndOfInput() == .cut)
        #expect(machine.ending == .byPeer(code: 3000))
    }

    @Test("both close at once: the node's frame is out when the peer's comes")
    func crossing() {
        var machine = Machine()
        _ = machine.closeRequested(.normal, reason: "")
        #expect(machine.receivedClose(code: 1001) == .shutDown)
        #expect(machine.receivedClose(code: 1001) == .none)
        #expect(machine.ending == .byNode(.normal))
    }

    @Test("a peer that does not answer is waited for once")
    func silentPeer() {
        var machine = Machine()
        _ = machine.closeRequested(.goingAway, reason: "")
        #expect(machine.closeTimedOut() == .cut)
        #expect(machine.closeTimedOut() == .none)
    }

    @Test("a fault is told, and nothing more is waited for")
    func fault() {
        var machine = Machine()
        #expect(machine.receivedFault(.tooBig, reason: "x") == .sayCloseAndShutDown(.tooBig, reason: "x"))
        #expect(machine.receivedFault(.tooBig, reason: "x") == .none)
        #expect(machine.ending == .byNode(.tooBig))
        #expect(machine.closeTimedOut() == .cut)
    }

    @Test("a fault while the peer's Close is awaited ends the waiting without a second Close")
    func faultWhileClosing() {
        var machine = Machine()
        _ = machine.closeRequested(.restart, reason: "")
        #expect(machine.receivedFault(.protocolError, reason: "") == .shutDown)
        #expect(machine.ending == .byNode(.restart))
    }

    @Test("an end without a Close frame is a loss")
    func loss() {
        var machine = Machine()
        #expect(machine.receivedEndOfInput() == .cut)
        #expect(machine.ending == .lost)
        var reset = Machine()
        #expect(reset.failed() == .cut)
        #expect(reset.receivedEndOfInput() == .none)
        #expect(reset.ending == .lost)
        #expect(reset.closeRequested(.normal, reason: "") == .none)
    }

    @Test("no time-out touches a connection that is open")
    func openHasNoCloseTimeout() {
        var machine = Machine()
        #expect(machine.closeTimedOut() == .none)
        #expect(machine.state == .open)
    }
}

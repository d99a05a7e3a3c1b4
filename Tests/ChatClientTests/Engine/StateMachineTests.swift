import NIOCore
import Testing

@testable import ChatClient

@Suite("Connections of a client")
struct StateMachineTests {
    typealias Machine = ClientEngine.StateMachine

    /// The longest wait that the back-off allows.
    private struct Longest: RandomNumberGenerator {
        mutating func next() -> UInt64 { .max }
    }

    private let now = NIODeadline.uptimeNanoseconds(1_000_000_000_000)

    private func ended(
        _ machine: inout Machine, _ link: Int, _ ending: ConnectionEnding = .lost(""), after: TimeAmount = .zero
    ) -> Machine.Action {
        var random = Longest()
        return machine.ended(link, ending, at: now + after, using: &random)
    }

    /// A machine whose first link is open.
    private func open(addresses: Int = 3) -> Machine {
        var machine = Machine(addresses: addresses)
        _ = machine.start()
        _ = machine.receivedWelcome(on: 1, at: now)
        return machine
    }

    private func wait(_ action: Machine.Action) -> (delay: TimeAmount, token: Int)? {
        switch action {
        case .wait(let delay, let token), .planMove(let delay, let token): (delay, token)
        case .none, .connect, .resume, .retire, .giveUp, .close: nil
        }
    }

    @Test("It connects, resumes where it is welcome, and connects only once")
    func connects() {
        var machine = Machine(addresses: 1)
        #expect(machine.start() == .connect(link: 1, address: 0))
        #expect(machine.start() == .none)
        #expect(machine.current == nil)
        #expect(machine.receivedWelcome(on: 1, at: now) == .resume(link: 1))
        #expect(machine.current == 1)
        #expect(machine.receivedWelcome(on: 1, at: now) == .none)
    }

    @Test("After each failure it waits longer and tries the next address")
    func rotates() throws {
        var machine = Machine(addresses: 3)
        _ = machine.start()
        var ceilings: [Double] = []
        var addresses: [Int] = []
        var link = 1
        for _ in 0..<10 {
            let (delay, token) = try #require(wait(ended(&machine, link, .unreachable(""))))
            ceilings.append(Double(delay.nanoseconds) / 1e9)
            guard case .connect(let next, let address) = machine.waited(token: token) else { break }
            link = next
            addresses.append(address)
        }
        #expect(addresses == [1, 2, 0, 1, 2, 0, 1, 2, 0, 1])
        #expect(ceilings.map { ($0 * 10).rounded() / 10 } == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 20, 20])
    }

    @Test("A connection that lasted begins the back-off anew, one that did not does not")
    func stable() throws {
        var machine = Machine(addresses: 1)
        _ = machine.start()
        var (delay, token) = try #require(wait(ended(&machine, 1)))
        _ = machine.waited(token: token)
        _ = machine.receivedWelcome(on: 3, at: now)
        (delay, token) = try #require(wait(ended(&machine, 3, after: .seconds(1))))
        #expect(delay > .milliseconds(150))
        _ = machine.waited(token: token)
        _ = machine.receivedWelcome(on: 5, at: now)
        (delay, token) = try #require(wait(ended(&machine, 5, after: .seconds(11))))
        #expect(delay <= .milliseconds(100))
    }

    @Test("What the node asks to wait is waited for, and the jitter comes on top")
    func retryAfter() throws {
        var machine = Machine(addresses: 1)
        _ = machine.start()
        let refusal = HandshakeRefusal(status: 503, code: "full", message: "", retryAfter: 7)
        let (delay, _) = try #require(wait(ended(&machine, 1, .refused(refusal))))
        #expect(delay >= .seconds(7))
        #expect(delay <= .seconds(7) + .milliseconds(101))
    }

    @Test("It gives up where trying again cannot help", arguments: [400, 401, 403, 404, 405, 426])
    func givesUp(status: Int) {
        var machine = Machine(addresses: 1)
        _ = machine.start()
        let refusal = HandshakeRefusal(status: status, code: "x", message: "", retryAfter: nil)
        guard case .giveUp(let error) = ended(&machine, 1, .refused(refusal)) else {
            Issue.record("still trying")
            return
        }
        #expect(error.code == ([401, 403].contains(status) ? .unauthorized : .refused))
        #expect(machine.isClosed)
    }

    @Test(
        "Close codes decide whether it comes back",
        arguments: [
            (1000, true), (1001, true), (1002, false), (1003, false), (1007, false), (1008, false), (1009, false),
            (1011, true), (1012, true), (1013, true), (4000, true), (nil, true),
        ] as [(UInt16?, Bool)])
    func closeCodes(code: UInt16?, comesBack: Bool) {
        var machine = open()
        let action = ended(&machine, 1, .closed(code: code, reason: ""))
        #expect((wait(action) != nil) == comesBack)
        #expect(machine.isClosed == !comesBack)
    }

    @Test("It moves: a second link to the next address, and the first goes when the second has resumed")
    func moves() throws {
        var machine = open()
        let (delay, token) = try #require(wait(machine.receivedReconnect(on: 1, after: .milliseconds(300), at: now)))
        #expect(delay == .milliseconds(300))
        #expect(machine.receivedReconnect(on: 1, after: .zero, at: now) == .none)
        guard case .connect(let second, 1) = machine.moveDue(token: token) else {
            Issue.record("no second link")
            return
        }
        #expect(machine.current == 1)
        #expect(machine.resumed(on: second) == .none)
        #expect(machine.receivedWelcome(on: second, at: now) == .resume(link: second))
        #expect(machine.current == second)
        #expect(machine.resumed(on: second) == .retire(links: [1]))
        #expect(ended(&machine, 1, .byClient) == .none)
        #expect(machine.current == second)
    }

    @Test("When the second link fails the first serves on, and it tries again")
    func moveFails() throws {
        var machine = open()
        let (_, token) = try #require(wait(machine.receivedReconnect(on: 1, after: .zero, at: now)))
        guard case .connect(let second, _) = machine.moveDue(token: token) else { return }
        let refusal = HandshakeRefusal(status: 401, code: "", message: "", retryAfter: nil)
        let (_, again) = try #require(wait(ended(&machine, second, .refused(refusal))))
        #expect(machine.current == 1)
        guard case .connect(let third, 2) = machine.moveDue(token: again) else {
            Issue.record("no third link")
            return
        }
        #expect(machine.moveDue(token: token) == .none)
        #expect(machine.receivedWelcome(on: third, at: now) == .resume(link: third))
    }

    @Test("When the first link ends early the second is all there is")
    func firstEndsEarly() throws {
        var machine = open()
        let (_, token) = try #require(wait(machine.receivedReconnect(on: 1, after: .zero, at: now)))
        guard case .connect(let second, _) = machine.moveDue(token: token) else { return }
        #expect(ended(&machine, 1, .closed(code: 1012, reason: "")) == .none)
        #expect(machine.current == nil)
        #expect(machine.receivedWelcome(on: second, at: now) == .resume(link: second))
        #expect(machine.current == second)
    }

    /// Asks the link in use to leave, and opens the next one.
    private func moved(_ machine: inout Machine, from link: Int) throws -> Int {
        let (_, token) = try #require(wait(machine.receivedReconnect(on: link, after: .zero, at: now)))
        guard case .connect(let next, _) = machine.moveDue(token: token) else { throw Unexpected(what: "a new link") }
        #expect(machine.receivedWelcome(on: next, at: now) == .resume(link: next))
        return next
    }

    @Test("Told to leave a link that has not resumed yet, it moves on; those before serve until the last one has")
    func movesOn() throws {
        var machine = open()
        let second = try moved(&machine, from: 1)
        let third = try moved(&machine, from: second)
        #expect(machine.current == third)
        #expect(machine.resumed(on: second) == .none)
        #expect(machine.receivedReconnect(on: second, after: .zero, at: now) == .none)
        #expect(machine.resumed(on: third) == .retire(links: [1, second]))
        #expect(machine.resumed(on: third) == .none)
    }

    @Test("Told to leave, a link may still take everything up before the next one is there")
    func resumesWhileMoving() throws {
        var machine = open()
        let second = try moved(&machine, from: 1)
        let (_, token) = try #require(wait(machine.receivedReconnect(on: second, after: .zero, at: now)))
        guard case .connect(let third, _) = machine.moveDue(token: token) else { return }
        #expect(machine.resumed(on: second) == .retire(links: [1]))
        #expect(machine.receivedWelcome(on: third, at: now) == .resume(link: third))
        #expect(machine.resumed(on: third) == .retire(links: [second]))
    }

    @Test("A link that ends before it has resumed leaves its place to the one before it, which it moves from again")
    func fallsBack() throws {
        var machine = open()
        let second = try moved(&machine, from: 1)
        let third = try moved(&machine, from: second)
        let (_, token) = try #require(wait(ended(&machine, third, .closed(code: 1012, reason: ""))))
        #expect(machine.current == second)
        guard case .connect(let fourth, _) = machine.moveDue(token: token) else { return }
        #expect(ended(&machine, second) == .none)
        #expect(machine.current == 1)
        #expect(machine.receivedWelcome(on: fourth, at: now) == .resume(link: fourth))
        #expect(ended(&machine, 1) == .none)
        #expect(machine.resumed(on: fourth) == .none)
        #expect(machine.current == fourth)
    }

    @Test("A link that lasted begins the back-off anew when it is to be left, too")
    func stableBeforeMove() throws {
        var machine = open()
        for moment in [TimeAmount.zero, .seconds(11)] {
            let link = try #require(machine.current)
            let (_, token) = try #require(wait(machine.receivedReconnect(on: link, after: .zero, at: now + moment)))
            guard case .connect(let next, _) = machine.moveDue(token: token) else { return }
            let (delay, again) = try #require(wait(ended(&machine, next)))
            #expect(delay <= .milliseconds(101))
            guard case .connect(let last, _) = machine.moveDue(token: again) else { return }
            _ = machine.receivedWelcome(on: last, at: now)
            _ = machine.resumed(on: last)
        }
    }

    @Test("Closing closes every link, and late timers find nothing to do")
    func closes() throws {
        var machine = open()
        let (_, token) = try #require(wait(machine.receivedReconnect(on: 1, after: .zero, at: now)))
        guard case .connect(let second, _) = machine.moveDue(token: token) else { return }
        #expect(machine.receivedWelcome(on: second, at: now) == .resume(link: second))
        let (_, next) = try #require(wait(machine.receivedReconnect(on: second, after: .zero, at: now)))
        guard case .connect(let third, _) = machine.moveDue(token: next) else { return }
        #expect(machine.close() == .close(links: [1, second, third]))
        #expect(machine.close() == .none)
        #expect(machine.start() == .none)
        #expect(ended(&machine, 1) == .none)
        #expect(machine.moveDue(token: token) == .none)
        var waiting = open()
        let (_, later) = try #require(wait(ended(&waiting, 1)))
        #expect(waiting.close() == .close(links: []))
        #expect(waiting.waited(token: later) == .none)
    }

    @Test("Silence of two and a half heartbeats is death, any frame is life")
    func keepAlive() {
        var life = KeepAlive(heartbeat: .seconds(10), now: now)
        #expect(life.check(at: now + .seconds(24)) == .alive(checkAt: now + .seconds(25)))
        #expect(life.check(at: now + .seconds(25)) == .silent)
        life.heard(at: now + .seconds(20))
        #expect(life.check(at: now + .seconds(25)) == .alive(checkAt: now + .seconds(45)))
        life.heartbeatIs(.seconds(2))
        #expect(life.check(at: now + .seconds(25)) == .silent)
    }
}

import ChatProtocol
import NIOCore
import TestSupport
import Testing

@testable import ChatGateway

@Suite("What a session may do")
struct ChatSessionStateMachineTests {
    private typealias Machine = ChatSession.StateMachine
    private let general = RoomName.of("general")
    private let inbox = RoomName.of("@alice")
    private let id = RequestID("1")

    private func machine(_ limits: Machine.Limits = .init()) -> Machine {
        var machine = Machine(identity: Identity(user: .of("alice")), limits: limits, at: .uptimeNanoseconds(0))
        #expect(machine.opened() == .join(nil, inbox, .none))
        #expect(machine.joinFinished(inbox, succeeded: true, wasMember: false).isEmpty)
        return machine
    }

    private func receive(_ message: ClientMessage, _ machine: inout Machine, at seconds: Double = 0) -> Machine.Action {
        machine.received(message, at: .uptimeNanoseconds(UInt64(seconds * 1e9)))
    }

    private func post(to room: RoomName, _ text: String = "x") -> Post {
        Post(id: id, room: room, content: Content(string: text))
    }

    private func code(_ action: Machine.Action) -> ErrorCode? {
        if case .refuse(let refusal) = action { refusal.code } else { nil }
    }

    @Test func postsToRoomsThatItIsIn() {
        var machine = machine()
        #expect(code(receive(.message(post(to: general)), &machine)) == .notJoined)
        #expect(receive(.join(id: id, room: general, replay: .none), &machine) == .join(id, general, .none))
        #expect(machine.joinFinished(general, succeeded: true, wasMember: false).isEmpty)
        #expect(receive(.message(post(to: general)), &machine) == .post(post(to: general)))
        #expect(receive(.leave(id: id, room: general), &machine) == .leave(id, general))
        #expect(code(receive(.message(post(to: general)), &machine)) == .notJoined)
    }

    @Test func whatFollowsAJoinWaitsForItsAnswerInOrder() {
        var machine = machine()
        _ = receive(.join(id: id, room: general, replay: .none), &machine)
        let waiting: [ClientMessage] = [
            .message(post(to: general, "1")), .typing(id: nil, room: general, active: true),
            .leave(id: id, room: general),
            .message(post(to: general, "2")),
        ]
        for message in waiting { #expect(receive(message, &machine) == .none) }
        #expect(machine.joinFinished(general, succeeded: true, wasMember: false) == waiting)
        #expect(machine.handle(waiting[0]) == .post(post(to: general, "1")))
        #expect(machine.handle(waiting[1]) == .announceTyping(general, isActive: true))
        #expect(machine.handle(waiting[2]) == .leave(id, general))
        #expect(code(machine.handle(waiting[3])) == .notJoined)
    }

    @Test func aJoinThatFailedMakesNoMember() {
        var machine = machine()
        _ = receive(.join(id: id, room: general, replay: .none), &machine)
        _ = receive(.message(post(to: general)), &machine)
        let waiting = machine.joinFinished(general, succeeded: false, wasMember: false)
        #expect(waiting.map { code(machine.handle($0)) } == [.notJoined])
        // Who was in the room before a second join failed still is.
        _ = receive(.join(id: id, room: general, replay: .none), &machine)
        _ = machine.joinFinished(general, succeeded: false, wasMember: true)
        #expect(machine.isMember(of: general))
    }

    @Test func notMoreFramesWaitThanTheLimitAllows() {
        var machine = machine(.init(waitingFrames: 2))
        _ = receive(.join(id: id, room: general, replay: .none), &machine)
        #expect(receive(.message(post(to: general)), &machine) == .none)
        #expect(receive(.message(post(to: general)), &machine) == .none)
        #expect(code(receive(.message(post(to: general)), &machine)) == .rateLimited)
    }

    @Test func anInboxThatCouldNotBeJoinedIsStillToBeJoined() {
        var machine = Machine(
            identity: Identity(user: .of("alice")), limits: .init(rooms: 1), at: .uptimeNanoseconds(0))
        _ = machine.opened()
        #expect(receive(.message(post(to: inbox)), &machine) == .none)
        #expect(machine.joinFinished(inbox, succeeded: false, wasMember: false).count == 1)
        #expect(receive(.join(id: id, room: general, replay: .none), &machine) == .join(id, general, .none))
        #expect(receive(.message(post(to: inbox)), &machine) == .none)
        #expect(machine.joinFinished(inbox, succeeded: true, wasMember: false) == [.message(post(to: inbox))])
        #expect(machine.isMember(of: inbox))
    }

    @Test func everybodyMayWriteToAnInboxAndOnlyItsOwnerReadIt() {
        var machine = machine()
        let bob = RoomName.of("@bob")
        #expect(receive(.message(post(to: bob)), &machine) == .post(post(to: bob)))
        #expect(receive(.message(post(to: inbox)), &machine) == .post(post(to: inbox)))
        #expect(receive(.typing(id: nil, room: bob, active: true), &machine) == .announceTyping(bob, isActive: true))
        #expect(code(receive(.join(id: id, room: bob, replay: .none), &machine)) == .forbidden)
        #expect(
            code(receive(.history(id: id, room: bob, before: nil, after: nil, limit: 50), &machine)) == .forbidden)
        #expect(
            receive(.history(id: id, room: inbox, before: nil, after: nil, limit: 50), &machine)
                == .readHistory(id, inbox, before: nil, after: nil, limit: 50))
        #expect(code(receive(.members(id: id, room: inbox, limit: 100, after: nil), &machine)) == .forbidden)
    }

    @Test func nobodyLeavesTheOwnInbox() {
        var machine = machine()
        #expect(code(receive(.leave(id: id, room: inbox), &machine)) == .forbidden)
        #expect(code(receive(.leave(id: id, room: general), &machine)) == .notJoined)
    }

    @Test func anybodyMayAskAboutARoomThatTheyMayJoin() {
        var machine = machine()
        #expect(
            receive(.members(id: id, room: general, limit: 100, after: nil), &machine)
                == .listMembers(id, general, limit: 100, after: nil))
        #expect(
            receive(.history(id: id, room: general, before: nil, after: nil, limit: 9), &machine)
                == .readHistory(id, general, before: nil, after: nil, limit: 9))
    }

    @Test func roomsAreLimitedAndTheInboxDoesNotCount() {
        var machine = machine(.init(rooms: 1))
        #expect(receive(.join(id: id, room: general, replay: .none), &machine) == .join(id, general, .none))
        #expect(code(receive(.join(id: id, room: .of("other"), replay: .none), &machine)) == .tooManyRooms)
        _ = machine.joinFinished(general, succeeded: true, wasMember: false)
        #expect(receive(.join(id: id, room: general, replay: .none), &machine) == .join(id, general, .none))
    }

    @Test func messagesTypingAndSignalsAreLimitedWithABurstOfTwoSeconds() {
        var machine = machine(.init(messagesPerSecond: 2))
        for _ in 0..<4 { #expect(receive(.message(post(to: inbox)), &machine) == .post(post(to: inbox))) }
        let refused = receive(.typing(id: nil, room: inbox, active: true), &machine)
        guard case .refuse(let refusal) = refused else {
            Issue.record("not refused: \(refused)")
            return
        }
        #expect(refusal.code == .rateLimited)
        #expect(refusal.retryAfter == 500)
        #expect(receive(.ping(id: id), &machine) == .pong(id))
        #expect(receive(.message(post(to: inbox)), &machine, at: 0.6) == .post(post(to: inbox)))
        #expect(code(receive(.message(post(to: inbox)), &machine, at: 0.6)) == .rateLimited)
    }

    @Test func withoutAuthenticationTokensCannotBeRefreshed() {
        var machine = machine()
        #expect(code(receive(.auth(id: id, token: "x"), &machine)) == .forbidden)
    }

    private func guarded(join: [String]? = nil, post: [String]? = nil) throws -> Machine {
        func patterns(_ texts: [String]?) throws -> [RoomPattern]? { try texts?.map { try #require(RoomPattern($0)) } }
        let identity = Identity(
            user: .of("alice"), rights: Rights(join: try patterns(join), post: try patterns(post)), expires: 1,
            endsAt: 1000)
        var machine = Machine(identity: identity, limits: .init(), at: .uptimeNanoseconds(0))
        _ = machine.opened()
        _ = machine.joinFinished(inbox, succeeded: true, wasMember: false)
        return machine
    }

    @Test func aTokenDecidesWhichRoomsAreReadAndPostedTo() throws {
        var machine = try guarded(join: ["gen*"], post: ["general-talk", "@bob"])
        let talk = RoomName.of("general-talk")
        let other = RoomName.of("other")
        for room in [general, talk] {
            #expect(receive(.join(id: id, room: room, replay: .none), &machine) == .join(id, room, .none))
            _ = machine.joinFinished(room, succeeded: true, wasMember: false)
        }
        #expect(code(receive(.join(id: id, room: other, replay: .none), &machine)) == .forbidden)
        #expect(code(receive(.history(id: id, room: other, before: nil, after: nil, limit: 1), &machine)) == .forbidden)
        #expect(code(receive(.members(id: id, room: other, limit: 1, after: nil), &machine)) == .forbidden)
        #expect(receive(.message(post(to: talk)), &machine) == .post(post(to: talk)))
        #expect(code(receive(.message(post(to: general)), &machine)) == .forbidden)
        #expect(code(receive(.typing(id: id, room: general, active: true), &machine)) == .forbidden)
        #expect(receive(.message(post(to: .of("@bob"))), &machine) == .post(post(to: .of("@bob"))))
        #expect(code(receive(.message(post(to: .of("@carol"))), &machine)) == .forbidden)
    }

    @Test func aFreshTokenThatAllowsLessTakesRoomsAway() throws {
        var machine = try guarded()
        let other = RoomName.of("other")
        for room in [general, other] {
            _ = receive(.join(id: id, room: room, replay: .none), &machine)
            _ = machine.joinFinished(room, succeeded: true, wasMember: false)
        }
        #expect(receive(.auth(id: id, token: "t"), &machine) == .authenticate(id, token: "t"))
        let less = Identity(user: .of("alice"), rights: Rights(join: [try #require(RoomPattern("other"))]), expires: 2)
        #expect(machine.renewed(less) == .renewed(lost: [general]))
        #expect(!machine.isMember(of: general))
        #expect(machine.isMember(of: other))
        #expect(machine.isMember(of: inbox))
        #expect(machine.renewed(Identity(user: .of("bob"), expires: 2)) == .anotherUser)
    }

    @Test func tokensAreCheckedAtMostOnceASecond() throws {
        var machine = try guarded()
        for _ in 0..<2 { #expect(receive(.auth(id: id, token: "t"), &machine) == .authenticate(id, token: "t")) }
        #expect(code(receive(.auth(id: id, token: "t"), &machine)) == .rateLimited)
        #expect(receive(.auth(id: id, token: "t"), &machine, at: 1) == .authenticate(id, token: "t"))
    }

    @Test func joinsHaveALimitThatLetsAllRoomsBeTakenUpAtOnce() {
        var machine = machine(.init(rooms: 3, joinsPerSecond: 1))
        func join(_ number: Int, at seconds: Double) -> ErrorCode? {
            let room = RoomName.of("r\(number % 3)")
            let code = code(receive(.join(id: id, room: room, replay: .none), &machine, at: seconds))
            _ = machine.joinFinished(room, succeeded: true, wasMember: false)
            return code
        }
        for number in 0..<5 { #expect(join(number, at: 0) == nil) }
        #expect(join(5, at: 0) == .rateLimited)
        #expect(join(6, at: 1) == nil)
        #expect(join(7, at: 1) == .rateLimited)
    }
}

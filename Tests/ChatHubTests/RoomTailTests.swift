import ChatProtocol
import NIOCore
import TestSupport
import Testing

@testable import ChatHub

@Suite("What is held to be given back")
struct RoomTailTests {
    private func at(_ seq: UInt64) -> Position { Position(epoch: 7, seq: seq) }

    private func body(_ seq: UInt64) -> ByteBuffer {
        // Long ones too: the length of a frame's header differs.
        StoredMessage.render(
            room: .of("general"), user: .of("alice"), id: nil, to: nil,
            content: Content(string: String(repeating: "x", count: seq == 2 ? 70_000 : Int(seq) * 30))
        ).body
    }

    private func delivery(_ seqs: ClosedRange<UInt64>) -> Delivery {
        var builder = DeliveryBuilder()
        for seq in seqs {
            builder.append(body(seq), at: at(seq), after: at(seq - 1), time: 100 + seq, sentAt: 0, exceptFor: nil)
        }
        return builder.finish(at: at(seqs.upperBound))
    }

    private func tail() -> RoomTail {
        var tail = RoomTail()
        for seqs in [1...3, 4...4, 5...9] as [ClosedRange<UInt64>] { tail.append(delivery(seqs)) }
        return tail
    }

    @Test func givesBackWhatTheLogHeld() {
        let wanted = (2...9 as ClosedRange<UInt64>).map { LogEntry(position: at($0), time: 100 + $0, body: body($0)) }
        #expect(tail().entries(after: at(1)) == wanted)
        #expect(tail().entries(after: at(9)).isEmpty)
    }

    @Test func knowsHowFarItReachesBack() {
        var tail = tail()
        #expect(tail.reaches(back: at(0)))
        tail.remove(0)
        #expect(!tail.reaches(back: at(0)))
        #expect(!tail.reaches(back: at(2)))
        #expect(tail.reaches(back: at(3)))
        #expect(tail.reaches(back: at(8)))
        #expect(!tail.reaches(back: at(9)))
        #expect(!RoomTail().reaches(back: .zero))
    }

    /// This history: `7-1` to `7-9`, then `9-1`.
    @Test func knowsWhereItPartedFromALog() {
        var tail = tail()
        let newest = Position(epoch: 9, seq: 1)
        var builder = DeliveryBuilder()
        builder.append(body(1), at: newest, after: at(9), time: 1, sentAt: 0, exceptFor: nil)
        tail.append(builder.finish(at: newest))
        #expect(tail.lastInCommon(upTo: at(4), of: newest) == at(4))
        #expect(tail.lastInCommon(upTo: at(12), of: newest) == at(9), "the log's epoch went on without us")
        #expect(tail.lastInCommon(upTo: Position(epoch: 8, seq: 1), of: newest) == at(9))
        #expect(tail.lastInCommon(upTo: Position(epoch: 5, seq: 3), of: newest) == .zero, "and began without us")
        #expect(tail.lastInCommon(upTo: .zero, of: newest) == .zero)
        for number in UInt32(0)...2 { tail.remove(number) }
        #expect(tail.lastInCommon(upTo: at(4), of: newest) == at(4), "what is older than what is held is of its epoch")
        tail.removeAll()
        #expect(tail.lastInCommon(upTo: at(4), of: newest) == .zero)
        #expect(tail.lastInCommon(upTo: at(4), of: at(9)) == at(4))
    }

    @Test func forgetsWhatIsVoidAndWhatAHoleSeparates() {
        var tail = tail()
        tail.rewind(to: at(5))
        #expect(tail.entries(after: .zero).map(\.position) == (1...4).map { at($0) })
        tail.append(delivery(7...8))
        #expect(tail.entries(after: .zero).map(\.position) == [at(7), at(8)])
        // What was forgotten at once is not forgotten again when its turn comes.
        tail.remove(0)
        #expect(tail.entries(after: .zero).map(\.position) == [at(7), at(8)])
        tail.remove(tail.oldest)
        #expect(tail.entries(after: .zero).isEmpty)
    }

    @Test func allRoomsTogetherHoldNoMoreThanTheBudget() {
        var budget = TailBudget<String>(byteLimit: 100)
        let none = budget.add(60, number: 0, of: "a") + budget.add(40, number: 0, of: "b")
        #expect(none.isEmpty)
        let first = budget.add(50, number: 1, of: "b")
        #expect(first.map(\.room) == ["a"])
        let second = budget.add(500, number: 2, of: "b")
        #expect(second.map(\.number) == [0, 1, 2])
        let third = budget.add(100, number: 3, of: "b")
        #expect(third.isEmpty)
    }
}

@Suite("When rooms are audited")
struct AuditScheduleTests {
    @Test func aRoomThatWentQuietIsAskedForSoonAndThenEverMoreRarely() {
        var quiet = 0
        var audits: [Int] = []
        while quiet < 1_000 {
            quiet += AuditSchedule<Int>.pause(quietFor: quiet)
            audits.append(quiet)
        }
        #expect(audits.first == 1)
        let recent = zip(audits, audits.dropFirst()).filter { $0.0 < 20 }
        #expect(recent.allSatisfy { $0.1 - $0.0 <= 2 }, "each second while the room was lately active")
        let late = zip(audits, audits.dropFirst()).filter { $0.0 >= 480 }
        #expect(late.allSatisfy { $0.1 - $0.0 == 120 }, "once a minute when it is long silent")
    }

    @Test func everyRoomsTurnComesWhenItIsDue() {
        var schedule = AuditSchedule<Int>()
        var due: [Int: Int] = [:]
        for room in 1...500 {
            let ticks = room % 130
            schedule.add(room, in: ticks)
            due[room] = max(1, min(ticks, 120))
        }
        for tick in 1...121 {
            let rooms = schedule.tick()
            #expect(Set(rooms) == Set(due.filter { $0.value == tick }.keys))
            #expect(rooms.count == Set(rooms).count)
        }
    }

    @Test func theRoomsOfATickAreSpreadOverIt() {
        var schedule = AuditSchedule<Int>()
        for room in 0..<1_005 { schedule.add(room, in: 1) }
        for room in 1_005..<1_010 { schedule.add(room, in: 2) }
        let first = (0..<AuditSchedule<Int>.parts).map { _ in Array(schedule.next()) }
        #expect(first.flatMap(\.self) == Array(0..<1_005))
        #expect(first.allSatisfy { $0.count <= 201 })
        // A few do not wait.
        let second = (0..<AuditSchedule<Int>.parts).map { _ in Array(schedule.next()) }
        #expect(second.first == Array(1_005..<1_010) && second.dropFirst().allSatisfy(\.isEmpty))
    }
}

import ChatProtocol
import Testing

/// The judge of all rows is judged first: made-up records, each with one thing wrong.
@Suite("What the invariant finds")
struct InvariantTests {
    private let log = (1...4).map { Self.stored(5, UInt64($0)) }

    private static func stored(_ epoch: UInt64, _ seq: UInt64, _ id: String? = nil) -> Stored {
        let id = id ?? "m\(seq)"
        return Stored(position: Position(epoch: epoch, seq: seq), user: "alice", id: id, text: id)
    }

    private func violations(
        log: [Stored]? = nil, told: [Record.Told], acknowledged: [(String, UInt64)] = [],
        fate: Invariant.LogFate = .keeps
    ) -> [String] {
        var record = Record()
        record.note(.joined(head: .zero, recovered: nil))
        for told in told { record.note(told) }
        let all = Set((log ?? self.log).map(\.id) + ["m1", "m2", "m3", "m4"])
        let sendings = all.sorted().map { id in
            Sending(
                room: "r", user: "alice", id: id,
                position: acknowledged.first { $0.0 == id }.map { Position(epoch: 5, seq: $0.1) })
        }
        return Invariant(
            log: ["r": log ?? self.log], sendings: sendings,
            members: [.init(name: "bob", room: "r", record: record)], fate: fate
        ).violations()
    }

    private func messages(_ numbers: Int...) -> [Record.Told] { numbers.map { .message(log[$0 - 1]) } }

    @Test func everythingOnceAndInOrderIsRight() {
        #expect(violations(told: messages(1, 2, 3, 4), acknowledged: [("m1", 1), ("m4", 4)]) == [])
    }

    @Test func aMissingMessageIsFound() {
        #expect(violations(told: messages(1, 2, 4)) == ["bob misses m3 at 5-3 and was not told"])
        #expect(violations(told: messages(1, 2, 3)) == ["bob misses m4 at 5-4 and was not told"])
        #expect(violations(told: messages(2, 3, 4)) == ["bob misses m1 at 5-1 and was not told"])
    }

    @Test func aDoubledOrReorderedMessageIsFound() {
        #expect(violations(told: messages(1, 2, 2, 3, 4)) == ["bob got 5-2 after 5-2"])
        #expect(
            violations(told: messages(1, 3, 2, 4)) == [
                "bob misses m2 at 5-2 and was not told", "bob got 5-2 after 5-3",
            ])
    }

    @Test func whatNobodySentIsFound() {
        let phantom = Record.Told.message(Self.stored(5, 5, "nobody"))
        #expect(violations(told: messages(1, 2, 3, 4) + [phantom]) == ["bob got what nobody sent: nobody at 5-5"])
    }

    @Test func anAcknowledgedMessageThatIsNotStoredIsFound() {
        let shorter = Array(log.prefix(3))
        #expect(
            violations(log: shorter, told: messages(1, 2, 3), acknowledged: [("m4", 4)])
                == [
                    "r: m4 was acknowledged at 5-4 and is not stored there",
                    "bob misses m4 at 5-4 and was not told",
                ])
        #expect(
            violations(log: shorter, told: messages(1, 2, 3), acknowledged: [("m4", 4)], fate: .loses)
                == ["bob misses m4 at 5-4 and was not told"])
        let told = Record.Told.gap(after: log[2].position, before: nil)
        #expect(
            violations(log: shorter, told: messages(1, 2, 3) + [told], acknowledged: [("m4", 4)], fate: .loses) == [])
    }

    @Test func onePositionForTwoMessagesIsFound() {
        let other = Record.Told.message(Self.stored(5, 3, "m4"))
        #expect(violations(told: messages(1, 2) + [other]).contains("r: 5-3 is m4 for bob, and m3 elsewhere"))
    }

    @Test func aMessageThatIsStoredTwiceIsFound() {
        let twice = log + [Self.stored(5, 5, "m1")]
        let told = messages(1, 2, 3, 4) + [.message(twice[4])]
        #expect(
            violations(log: twice, told: told) == [
                "r: m1 is stored twice, at 5-1 and 5-5", "bob has m1 twice, at 5-1 and 5-5",
            ])
    }

    @Test func aLossThatIsToldIsNoViolationWhereTheLogLostIt() {
        let gap = Record.Told.gap(after: log[1].position, before: log[3].position)
        #expect(violations(told: messages(1, 2) + [gap] + messages(4), fate: .loses) == [])
        #expect(violations(told: messages(1, 2) + [gap] + messages(4)).count == 1)
    }

    @Test func aRewindTakesBackWhatCameAfterIt() {
        let forked = [log[0], log[1], Self.stored(6, 1, "m4"), Self.stored(6, 2, "m3")]
        let told = messages(1, 2, 3) + [.rewind(to: log[1].position), .message(forked[2]), .message(forked[3])]
        #expect(violations(log: forked, told: told, acknowledged: [("m3", 3)], fate: .moves) == [])
        #expect(violations(log: forked, told: told).count == 1)
        // Without the rewind it has one message twice, and one that is not there.
        let untold = messages(1, 2, 3) + [.message(forked[2]), .message(forked[3])]
        #expect(violations(log: forked, told: untold, fate: .moves) == ["bob has m3 at 5-3, the log has not"])
    }
}

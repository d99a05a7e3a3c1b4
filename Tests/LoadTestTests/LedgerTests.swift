import ChatProtocol
import Histogram
import Testing

@testable import LoadTest

@Suite("What was sent and what was received")
struct LedgerTests {
    private func at(_ seq: UInt64) -> Position { Position(epoch: 1, seq: seq) }

    @Test("Each message once and in order is good")
    func good() {
        var ledger = ReceiverLedger()
        ledger.joined(at: at(10))
        #expect(ledger.received(0, at: at(11)) == .good)
        #expect(ledger.received(200, at: at(12)) == .good)
        #expect(ledger.received(1, at: at(13)) == .good)
        #expect(ledger.count == 3)
        #expect(ledger.has(200) && !ledger.has(199) && !ledger.has(100_000))
    }

    @Test("A double is told, whatever its position")
    func doubled() {
        var ledger = ReceiverLedger()
        _ = ledger.received(5, at: at(1))
        #expect(ledger.received(5, at: at(1)) == .doubled)
        #expect(ledger.received(5, at: at(2)) == .doubled)
        #expect(ledger.count == 1)
    }

    @Test("A message behind a later one is out of order, and counts as received")
    func outOfOrder() {
        var ledger = ReceiverLedger()
        _ = ledger.received(0, at: at(1))
        _ = ledger.received(2, at: at(3))
        #expect(ledger.received(1, at: at(2)) == .outOfOrder)
        #expect(ledger.has(1))
        #expect(ledger.last == at(3))
    }

    @Test("Two members who see a message at different places see different rooms")
    func misplaced() {
        var ledger = RoomLedger()
        let number = ledger.sent(by: 1, on: 0)
        #expect(ledger.stands(number, at: at(5)) == true)
        #expect(ledger.stands(number, at: at(5)) == true)
        #expect(ledger.stands(number, at: at(6)) == false)
        #expect(ledger.entries[number].position == at(5))
    }

    @Test("What was acknowledged or seen by anyone must come to everyone; the rest is unanswered")
    func stored() {
        var ledger = RoomLedger()
        let acknowledged = ledger.sent(by: 1, on: 0)
        let seen = ledger.sent(by: 1, on: 0)
        let lost = ledger.sent(by: 1, on: 0)
        #expect(ledger.acknowledged(acknowledged) == true)
        #expect(ledger.acknowledged(acknowledged) == false)
        _ = ledger.stands(seen, at: at(1))
        #expect(ledger.isStored(acknowledged))
        #expect(ledger.isStored(seen))
        #expect(!ledger.isStored(lost))
        #expect(ledger.storedCount == 2)
    }

    @Test("A message is settled when all who read at once have it, but for those who stay away on purpose")
    func settled() {
        var ledger = RoomLedger(members: 2)
        let number = ledger.sent(by: 1, on: 0)
        _ = ledger.acknowledged(number)
        ledger.received(number, by: 1, readsAtOnce: true)
        ledger.received(number, by: 3, readsAtOnce: false)
        #expect(!ledger.isSettled(number))
        ledger.awayMembers = 1
        #expect(ledger.isSettled(number))
        ledger.awayMembers = 0
        ledger.received(number, by: 2, readsAtOnce: true)
        #expect(ledger.isSettled(number))
    }

    @Test("What a gap names was told to be lost; what stands before or after it was not")
    func gap() {
        var ledger = ReceiverLedger()
        _ = ledger.received(0, at: at(5))
        ledger.lost(after: at(5), before: at(8))
        #expect(!ledger.wasToldLost(at(5)) && ledger.wasToldLost(at(6)) && ledger.wasToldLost(at(7)))
        #expect(!ledger.wasToldLost(at(8)))
    }

    @Test("A gap without an end reaches up to the next message that comes")
    func openGap() {
        var ledger = ReceiverLedger()
        ledger.lost(after: at(5), before: nil)
        #expect(ledger.wasToldLost(at(100)))
        _ = ledger.received(0, at: Position(epoch: 2, seq: 1))
        #expect(ledger.wasToldLost(at(100)))
        #expect(!ledger.wasToldLost(Position(epoch: 2, seq: 2)))
    }

    @Test("After a rewind what stood behind it may come again elsewhere, and is no double; what stood before may not")
    func rewind() {
        var room = RoomLedger(members: 1)
        var ledger = ReceiverLedger()
        for seq in 1...3 as ClosedRange<UInt64> {
            let number = room.sent(by: 1, on: 0)
            _ = room.stands(number, at: at(seq))
            #expect(ledger.received(number, at: at(seq)) == .good)
        }
        ledger.rewound(to: at(1), positions: room.entries.map(\.position))
        room.rewound(to: at(1))
        #expect(ledger.count == 1 && ledger.last == at(1))
        let again = Position(epoch: 2, seq: 1)
        #expect(room.stands(1, at: again) == true)
        #expect(ledger.received(1, at: again) == .good)
        #expect(ledger.received(0, at: at(1)) == .doubled)
        #expect(room.stands(0, at: again) == false)
        // The third was lost with the log.
        #expect(ledger.wasToldLost(at(3)))
        #expect(room.outOfSenderOrder == [])
    }

    @Test("Messages of one sender stand in the order sent; those of two senders in any")
    func senderOrder() {
        var ledger = RoomLedger()
        for (sender, seq) in [(1, 2), (2, 1), (1, 4), (1, 3), (2, 5)] as [(Int, UInt64)] {
            _ = ledger.stands(ledger.sent(by: sender, on: 0), at: at(seq))
        }
        #expect(ledger.outOfSenderOrder == [3])
    }

    @Test("A message that was sent again after the next one may stand behind it; the others still may not")
    func sentAgainLater() {
        var ledger = RoomLedger()
        for seq in [3, 1, 2, 5, 4] as [UInt64] { _ = ledger.stands(ledger.sent(by: 1, on: 0), at: at(seq)) }
        ledger.mayStandLater(0)
        #expect(ledger.outOfSenderOrder == [4])
    }

    @Test("Parts of a tally add up, and only the first offenders are kept")
    func tally() {
        var one = LoadTally()
        var other = LoadTally()
        one.counts.sent = 2
        other.counts.sent = 3
        other.counts.otherNode.missing = 1
        other.counts.sameNode.missing = 2
        other.sameNode.record(1500)
        for index in 0..<30 {
            other.record(Offence(kind: .missing, user: "u\(index)", room: "r", position: "", node: "n", detail: ""))
        }
        one.add(other)
        #expect(one.counts.sent == 5)
        #expect(one.counts.deliveries.missing == 3)
        #expect(one.sameNode.totalCount == 1)
        #expect(one.offences.count == 20)
        #expect(one.offences.first?.user == "u0")
        #expect(one.offencesByNode == ["n": 30])
    }

    @Test("One user who misses much does not hide the others from the list")
    func manyOfOne() {
        var tally = LoadTally()
        for user in ["u1", "u2"] {
            for node in ["a", "b", "a"] {
                tally.record(Offence(kind: .missing, user: user, room: "r", position: "", node: node, detail: ""))
            }
        }
        #expect(tally.offences.map(\.user) == ["u1", "u1", "u2", "u2"])
        #expect(tally.offencesByNode == ["a": 4, "b": 2])
    }
}

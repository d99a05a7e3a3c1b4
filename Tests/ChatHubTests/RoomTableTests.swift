import ChatHub
import ChatProtocol
import TestSupport
import Testing

@Suite("Values by room")
struct RoomTableTests {
    /// Below, at and above what a list holds.
    @Test(arguments: [0, 1, 7, 8, 9, 40])
    func areFoundChangedAndRemovedHoweverManyThereAre(_ count: Int) {
        var table: RoomTable<Int> = [:]
        let rooms = (0..<count).map { RoomName.of("r\($0)") }
        for (number, room) in rooms.enumerated() { table[room] = number }
        #expect(table.count == count && table.isEmpty == (count == 0))
        #expect(Set(table.rooms) == Set(rooms) && table.rooms.count == count)
        for (number, room) in rooms.enumerated() { #expect(table[room] == number) }
        #expect(table[.of("elsewhere")] == nil)

        for room in rooms { table[room] = 100 }
        #expect(rooms.allSatisfy { table[$0] == 100 } && table.count == count)
        for (number, room) in rooms.enumerated() {
            table[room] = nil
            #expect(table[room] == nil && table.count == count - number - 1)
        }
        table[.of("again")] = 1
        #expect(table.rooms == [.of("again")])
    }
}

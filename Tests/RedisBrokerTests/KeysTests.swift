import ChatProtocol
import NIOCore
import Testing

@testable import RedisBroker

@Suite("Names in Redis")
struct KeysTests {
    private let keys = Keys(prefix: "roost")

    @Test(arguments: ["general", "@bob", "a", "A.b:c_d-e", String(repeating: "x", count: 128)])
    func aRoomIsFoundAgainInItsChannel(name: String) throws {
        let room = try #require(RoomName(name))
        #expect(keys.room(ofChannel: ByteBuffer(string: keys.channel(room))) == room)
    }

    @Test(
        arguments: [
            "", "roost", "roost:{", "roost:{}", "roost:{general", "roost:general}", "other:{general}",
            "roost;{general}",
            "roost:{general}:log", "roost:{gen}eral}", "roost:{.general}", "roost:{@@bob}", "roost:probe:{a}:n1",
            "oost:{general}", "xroost:{general}",
        ])
    func anyOtherChannelIsNoRooms(name: String) {
        #expect(keys.room(ofChannel: ByteBuffer(string: name)) == nil)
    }
}

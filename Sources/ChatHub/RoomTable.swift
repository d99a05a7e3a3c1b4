package import ChatProtocol

/// Values by room, for somebody who is in a few rooms as a rule.
package typealias RoomTable<Value> = SmallTable<RoomName, Value>

extension SmallTable where Key == RoomName {
    package var rooms: [RoomName] { keys }
}

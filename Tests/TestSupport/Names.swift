package import ChatProtocol

extension RoomName {
    /// A name that the test's author knows to be one.
    package static func of(_ text: String) -> RoomName {
        guard let room = RoomName(text) else { preconditionFailure("not a room's name: \(text)") }
        return room
    }
}

extension UserName {
    /// A name that the test's author knows to be one.
    package static func of(_ text: String) -> UserName {
        guard let user = UserName(text) else { preconditionFailure("not a user's name: \(text)") }
        return user
    }
}

/// What a moderator wants done, by a socket or by HTTP.
package enum Moderation: Sendable, Equatable {
    /// Ends all sessions that a user has; nothing keeps the user from coming back.
    case endSessions(UserName)
    case revoke(Revocation)
    /// Keeps a user out of a room, or out altogether.
    case ban(UserName, from: RoomName?, Sentence)
    case liftBan(UserName, from: RoomName?)
    /// Takes a user out of a room; nothing keeps the user from coming back.
    case kick(UserName, from: RoomName, reason: String?)
    /// The user may read a room, but not post, type or signal in it.
    case mute(UserName, in: RoomName, Sentence)
    case liftMute(UserName, in: RoomName)
    case configure(RoomName, RoomSettings)
}

/// Tokens that are valid no longer.
package enum Revocation: Sendable, Equatable {
    /// The one with this `jti`.
    ///
    /// - Parameter expires: the token's own end, in seconds since 1970: it need not be remembered for longer.
    case token(String, expires: UInt64?)
    /// All of a user's that were issued before a time in seconds since 1970; nil: until now.
    case tokens(of: UserName, issuedBefore: UInt64?)

    /// Of a `jti`, in bytes.
    package static let lengths = 1...256
}

/// How long something is forbidden to somebody, and why.
package struct Sentence: Sendable, Equatable {
    /// Nil: until it is lifted.
    package var seconds: Int?
    /// For people: whom it concerns is told.
    package var reason: String?

    package init(seconds: Int? = nil, reason: String? = nil) {
        self.seconds = seconds
        self.reason = reason
    }

    /// To ten years: what is for longer is until it is lifted.
    package static let allowedSeconds = 1...315_360_000
    /// In bytes.
    package static let reasonLimit = 512
}

/// The rules of one room for everybody. What is nil stays as it is, 0 is no limit.
package struct RoomSettings: Sendable, Equatable {
    /// A user's messages are at least so many seconds apart.
    package var slowMode: Int?
    /// So many users may be in the room.
    package var memberLimit: Int?
    /// All users' messages together, with a burst of two seconds.
    package var messagesPerSecond: Int?

    package init(slowMode: Int? = nil, memberLimit: Int? = nil, messagesPerSecond: Int? = nil) {
        self.slowMode = slowMode
        self.memberLimit = memberLimit
        self.messagesPerSecond = messagesPerSecond
    }

    package static let slowModes = 0...86_400
    package static let memberLimits = 0...10_000_000
    package static let messageRates = 0...1_000_000
}

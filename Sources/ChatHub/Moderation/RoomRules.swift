package import ChatProtocol

/// The rules of a room, as the store has them.
package struct RoomRules: Sendable, Equatable {
    /// What is left of something that is forbidden to a user.
    package struct Remainder: Sendable, Equatable {
        /// Milliseconds.
        package var left: UInt64
        package var reason: String?

        package init(left: UInt64, reason: String?) {
            self.left = left
            self.reason = reason
        }
    }

    /// What is nil has no limit.
    package var settings: RoomSettings
    package var bans: [UserName: Remainder]
    package var mutes: [UserName: Remainder]

    package init(
        settings: RoomSettings = RoomSettings(), bans: [UserName: Remainder] = [:],
        mutes: [UserName: Remainder] = [:]
    ) {
        self.settings = settings
        self.bans = bans
        self.mutes = mutes
    }
}

/// What moderators change in a room's rules.
package enum RuleChange: Sendable, Equatable {
    /// For so many milliseconds; 0: no longer.
    case ban(UserName, duration: UInt64, reason: String?)
    case mute(UserName, duration: UInt64, reason: String?)
    case settings(RoomSettings)
}

/// A rule that forbids something; nothing was done.
package enum Prohibition: Sendable, Equatable {
    /// The user may not be here.
    case banned
    /// The user may only read here.
    case muted
    /// There are as many users here as may be.
    case full
    /// The user has as many sessions as may be. No rule of a room's; told of the inbox.
    case seated
    /// The user may post again after so many milliseconds.
    case slow(wait: Int)
    /// All together post too much; there is room again after so many milliseconds.
    case busy(wait: Int)
    /// The user repeats more than may be; again after so many milliseconds. No rule of a room's, but of the node's.
    case retries(wait: Int)
    /// The user has begun as many rooms as may be; again after so many milliseconds. Likewise.
    case newRooms(wait: Int)
}

import ChatHub
import ChatProtocol
import NIOCore

/// What moderators ask for, as orders to all nodes.
extension Moderator {
    /// Does what was asked, on all nodes that live.
    ///
    /// - Parameter now: milliseconds since 1970.
    func perform(_ moderation: Moderation, now: UInt64) -> EventLoopFuture<Outcome> {
        switch moderation {
        case .endSessions(let user): give(Order(.sessions(of: user), duration: Self.recollection))
        case .revoke(.token(let id, let expires)):
            give(Order(.token(id), duration: Self.life(of: expires, now: now)))
        case .revoke(.tokens(let user, let time)):
            // Those of this second, too.
            give(Order(.tokens(of: user), issuedBefore: time ?? now / 1000 + 1, duration: Self.longestTokenLife))
        case .ban(let user, let room?, let sentence):
            change(.ban(user, duration: sentence.milliseconds, reason: sentence.reason), in: room).flatMap { _ in
                self.give(
                    Order(.exclusion(of: user, from: room), reason: sentence.reason, duration: sentence.milliseconds))
            }
        case .liftBan(let user, let room?):
            change(.ban(user, duration: 0, reason: nil), in: room).flatMap { _ in
                self.give(Order(.exclusion(of: user, from: room), isLifted: true, duration: Self.recollection))
            }
        case .kick(let user, let room, let reason):
            give(Order(.membership(of: user, in: room), reason: reason, duration: Self.recollection))
        case .mute(let user, let room, let sentence):
            change(.mute(user, duration: sentence.milliseconds, reason: sentence.reason), in: room).flatMap { _ in
                self.give(Order(.mute(of: user, in: room), reason: sentence.reason, duration: sentence.milliseconds))
            }
        case .liftMute(let user, let room):
            change(.mute(user, duration: 0, reason: nil), in: room).flatMap { _ in
                self.give(Order(.mute(of: user, in: room), isLifted: true, duration: Self.recollection))
            }
        case .configure(let room, let settings):
            change(.settings(settings), in: room).map { _ in Outcome(affected: 0, silent: []) }
        case .ban(let user, nil, let sentence):
            give(Order(.ban(of: user), reason: sentence.reason, duration: sentence.milliseconds))
        case .liftBan(let user, nil):
            give(Order(.ban(of: user), isLifted: true, duration: Self.recollection))
        }
    }

    /// How long a node that was away has to learn of what happened once, in milliseconds: a node that hears no Redis for so
    /// long has lost its clients.
    private static let recollection: UInt64 = 600_000
    /// A token whose end is not told is remembered for a year.
    private static let longestTokenLife: UInt64 = 31_622_400_000

    /// - Parameter expires: seconds since 1970.
    private static func life(of expires: UInt64?, now: UInt64) -> UInt64 {
        guard let expires else { return longestTokenLife }
        // With what clocks may differ.
        let end = min(expires, 1 << 40) * 1000 + 60_000
        return end > now ? min(end - now, longestTokenLife) : 60_000
    }
}

extension Sentence {
    var milliseconds: UInt64 { UInt64(seconds ?? Self.allowedSeconds.upperBound) * 1000 }
}

extension ByteBuffer {
    /// `{"seconds":N,"reason":TEXT}`.
    mutating func writeSentence(millisecondsLeft: UInt64, reason: String?) {
        writeString("{\"seconds\":\(millisecondsLeft / 1000)")
        if let reason {
            writeString(",\"reason\":")
            writeJSONString(reason)
        }
        writeString("}")
    }
}

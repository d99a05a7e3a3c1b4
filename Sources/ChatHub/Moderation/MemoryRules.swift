import ChatProtocol

/// One room's rules in memory, judged as the scripts in Redis do. Times in milliseconds since 1970.
struct MemoryRules {
    private struct Sentence {
        var until: UInt64
        var reason: String?
    }

    private var settings = RoomSettings()
    private var bans: [UserName: Sentence] = [:]
    private var mutes: [UserName: Sentence] = [:]
    /// When users posted last, while there is a slow mode.
    private var lastPosts: [UserName: UInt64] = [:]
    /// When a room in which all post at the limit would have come so far; ahead of now by at most two seconds.
    private var pace = 0.0

    var isEmpty: Bool { settings == RoomSettings() && bans.isEmpty && mutes.isEmpty }

    mutating func change(_ change: RuleChange, at now: UInt64) {
        func sentence(_ duration: UInt64, _ reason: String?) -> Sentence? {
            duration > 0 ? Sentence(until: now + duration, reason: reason) : nil
        }
        switch change {
        case .ban(let user, let duration, let reason): bans[user] = sentence(duration, reason)
        case .mute(let user, let duration, let reason): mutes[user] = sentence(duration, reason)
        case .settings(let new):
            func merged(_ old: Int?, _ new: Int?) -> Int? { new.map { $0 > 0 ? $0 : nil } ?? old }
            settings.slowMode = merged(settings.slowMode, new.slowMode)
            settings.memberLimit = merged(settings.memberLimit, new.memberLimit)
            settings.messagesPerSecond = merged(settings.messagesPerSecond, new.messagesPerSecond)
        }
    }

    mutating func rules(at now: UInt64) -> RoomRules {
        bans = bans.filter { $0.value.until > now }
        mutes = mutes.filter { $0.value.until > now }
        func left(_ sentence: Sentence) -> RoomRules.Remainder {
            .init(left: sentence.until - now, reason: sentence.reason)
        }
        return RoomRules(settings: settings, bans: bans.mapValues(left), mutes: mutes.mapValues(left))
    }

    /// Whether a user who is not in the room may enter it.
    func entry(of user: UserName, users: Int, at now: UInt64) -> Prohibition? {
        if let ban = bans[user], ban.until > now { return .banned }
        if let limit = settings.memberLimit, users >= limit { return .full }
        return nil
    }

    func isBanned(_ user: UserName, at now: UInt64) -> Bool { bans[user].map { $0.until > now } ?? false }

    /// Judges a message that is about to be stored.
    ///
    /// - Parameter defaultRate: of rooms without a rate of their own; 0 for none.
    mutating func post(of user: UserName, defaultRate: Int, at now: UInt64) -> Prohibition? {
        if isBanned(user, at: now) { return .banned }
        if let mute = mutes[user], mute.until > now { return .muted }
        let slow = UInt64(settings.slowMode ?? 0) * 1000
        if slow > 0, let last = lastPosts[user], last <= now, now - last < slow {
            return .slow(wait: Int(slow - (now - last)))
        }
        let rate = settings.messagesPerSecond ?? defaultRate
        if rate > 0 {
            let interval = 1000 / Double(rate)
            let ahead = max(0, pace - Double(now))
            let wait = ahead + interval - max(2000, interval)
            guard wait <= 0 else { return .busy(wait: Int(wait.rounded(.up))) }
            pace = max(pace, Double(now)) + interval
        }
        if slow > 0 {
            lastPosts = lastPosts.filter { $0.value + slow > now }
            lastPosts[user] = now
        }
        return nil
    }
}

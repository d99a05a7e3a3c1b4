import ChatProtocol

extension PresenceFeed {
    /// Members whose own rosters say what was not heard yet when they joined.
    struct Joiners: Sendable {
        /// A revision that is older than all of the joiners' rosters, and the greatest of the joiners' rosters.
        private var since: UInt64 = 0
        private var latest: UInt64 = 0
        /// Users whom their rosters name and nobody else knows; users whom they do not name and all others know.
        private var strangers: Set<UserName> = []
        private var absent: Set<UserName> = []

        /// - Parameters:
        ///   - users: those that all others were told of, at `revision`.
        ///   - limit: of names that are kept of either kind.
        mutating func add(_ roster: Roster, told users: Set<UserName>, revision: UInt64, limit: Int) {
            since = min(latest == 0 ? revision : since, roster.revision &- 1)
            latest = max(latest, roster.revision)
            for user in roster.members where !users.contains(user) && strangers.count < limit { strangers.insert(user) }
            guard !roster.hasMore else { return }
            for user in users.subtracting(roster.members) where absent.count < limit { absent.insert(user) }
        }

        /// All have heard of this user now, and who has heard of all is as the others.
        mutating func heard(_ user: UserName, at revision: UInt64) {
            strangers.remove(user)
            absent.remove(user)
            if strangers.isEmpty, absent.isEmpty, revision >= latest { self = Joiners() }
        }

        func strangers(in present: Set<UserName>) -> Set<UserName> { strangers.subtracting(present) }

        /// What they have to be told beside what all are told, now that a newer roster has come; then they are as all
        /// others. With an older one they stay: what follows it will be heard.
        mutating func corrected(by present: Set<UserName>, count: Int, revision: UInt64) -> [Notice] {
            guard latest > 0, latest <= revision else { return [] }
            defer { self = Joiners() }
            let notices =
                absent.intersection(present).sorted().map {
                    Notice(event: .came($0, origin: nil), count: count, revision: revision, since: since)
                }
                + strangers.subtracting(present).sorted().map {
                    Notice(event: .left($0), count: count, revision: revision, since: since)
                }
            guard notices.isEmpty else { return notices }
            return [Notice(event: .counted, count: count, revision: revision, since: since)]
        }
    }
}

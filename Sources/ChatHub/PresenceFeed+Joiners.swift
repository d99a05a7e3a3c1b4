import ChatProtocol

extension PresenceFeed {
    /// Members whose own rosters say what was not heard yet when they joined. Of what they may know or not know, they are
    /// told the truth when it is certain again.
    struct Joiners: OccasionalState {
        /// A revision that is older than all of their rosters, and that of the newest.
        private var since: UInt64 = 0
        private(set) var latest: UInt64 = 0
        /// Users of whom they may know something else than the others.
        private var uncertain: Set<UserName> = []

        var isInitial: Bool { latest == 0 && since == 0 && uncertain.isEmpty }

        /// - Parameters:
        ///   - users: those that all others were told of, at `revision`.
        ///   - limit: of names that are kept.
        mutating func add(_ roster: Roster, told users: Set<UserName>, revision: UInt64, limit: Int) {
            let differences =
                roster.hasMore ? Set(roster.members).subtracting(users) : users.symmetricDifference(roster.members)
            guard roster.revision > revision || !differences.isEmpty else { return }
            since = min(latest == 0 ? revision : since, roster.revision &- 1)
            latest = max(latest, roster.revision)
            for user in differences where uncertain.count < limit { uncertain.insert(user) }
        }

        /// The others were told of a change; of these only those whose roster is older.
        mutating func told(_ user: UserName, at revision: UInt64) {
            if revision <= latest { uncertain.insert(user) } else { uncertain.remove(user) }
        }

        /// Nothing is in doubt up to this revision: they are as all others.
        mutating func agreed(at revision: UInt64) {
            if revision >= latest { self = Joiners() }
        }

        func isUncertain(beyond present: Set<UserName>) -> Bool { !uncertain.isSubset(of: present) }

        /// What they have to be told beside what all are told, now that a roster and what was heard after it tell the truth
        /// of this revision; then they are as all others. If their own are newer they stay: what follows will be heard.
        mutating func corrected(by present: Set<UserName>, count: Int, revision: UInt64) -> [Notice] {
            guard latest > 0, latest <= revision else { return [] }
            let users = uncertain.sorted()
            let oldest = since
            since = 0
            latest = 0
            uncertain = []
            if users.isEmpty {
                return [Notice(event: .counted, count: count, revision: revision, since: oldest)]
            }
            var notices: [Notice] = []
            for user in users {
                if present.contains(user) {
                    notices.append(
                        Notice(event: .came(user, origin: nil), count: count, revision: revision, since: oldest))
                } else {
                    notices.append(Notice(event: .left(user), count: count, revision: revision, since: oldest))
                }
            }
            return notices
        }
    }
}

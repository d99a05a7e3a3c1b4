package import ChatProtocol
package import NIOCore

/// Who is in a room, as far as the members of this node were told: a change is told when it is news to them, and after
/// changes may have been missed the room's roster says what they have to be told.
///
/// A roster that lacks somebody proves nothing at first: a store that lost its data is filled again node by node, as soon
/// as it takes writes. So who is only missing is told as gone when still missing ``Limits/departureDelay`` after the first
/// roster that is conclusive; whoever is said to have left is told at once.
package struct PresenceFeed: Sendable {
    /// Above so many users a room is a crowd: its comings and goings are told as counts.
    package static let crowdLimit = 500

    package struct Limits: Sendable {
        package var users = PresenceFeed.crowdLimit
        /// The least time between two counts.
        package var countInterval: TimeAmount = .seconds(1)
        package var departureDelay: TimeAmount = .seconds(3)
        /// How long after a failed question the next one follows.
        package var retryDelay: TimeAmount = .milliseconds(250)

        package init() {}
    }

    /// What all members are told whose own roster is older than ``revision``, and newer than ``since`` if that is not 0.
    package struct Notice: Sendable, Equatable {
        package enum Event: Sendable, Equatable {
            case came(UserName, origin: SessionID?)
            case left(UserName)
            case counted
        }

        package var event: Event
        /// Users after it.
        package var count: Int
        package var revision: UInt64
        package var since: UInt64 = 0
    }

    package struct Action: Sendable, Equatable {
        package var notices: [Notice] = []
        /// Ask the store for the roster; the number is to be given back with the answer.
        package var question: Int?
    }

    private enum Told {
        /// Nobody has been told anything: the room is not open yet.
        case nothing
        case users(Set<UserName>)
        /// The last count.
        case crowd
    }

    private enum Question: Equatable {
        case none
        case asked(Int)
        case failed(retryAt: NIODeadline)
    }

    /// Whether a roster that lacks somebody is believed.
    private enum Settling: Equatable {
        case no
        /// Not the first one that is conclusive. When there was one that is not, the next question follows at this time.
        case fromConclusiveRoster(askAt: NIODeadline?)
        case until(NIODeadline)

        /// When a roster is to be asked for.
        var deadline: NIODeadline? {
            switch self {
            case .no: nil
            case .fromConclusiveRoster(let askAt): askAt
            case .until(let deadline): deadline
            }
        }
    }

    private let limits: Limits
    private var told = Told.nothing
    /// The number that members were told last.
    private var toldCount = 0
    /// That of the latest change that was told or found to be no news.
    private var revision: UInt64 = 0
    private var question = Question.none
    private var questions = 0
    private var settling = Settling.no
    /// What was heard since the question was asked: each user's latest.
    private var held: [UserName: PresenceChange] = [:]
    private var heldCount: (count: Int, revision: UInt64)?
    /// The latest revision at which somebody came or went in a crowd, and was not named.
    private var namelessAt: UInt64 = 0
    private var isOverrun = false
    /// What joiners know from their own rosters though it was not heard here yet: should it never be, they need notices
    /// that nobody else does.
    private var joiners = Joiners()
    /// The revision of the newest roster that told a joiner another count than ``toldCount``, or one that is newer than it;
    /// 0 when there is none.
    private var staleAt: UInt64 = 0
    private var pendingCount: (count: Int, revision: UInt64)?
    private var countNotBefore: NIODeadline?

    package init(_ limits: Limits = Limits()) { self.limits = limits }

    /// Whether a roster has arrived: what comes and goes from here on can be told.
    package var isKnown: Bool { if case .nothing = told { false } else { true } }

    /// When ``timePassed(at:)`` is to be called; nil when nothing waits for the time.
    package var wakeUp: NIODeadline? {
        switch question {
        case .failed(let retryAt): return retryAt
        case .asked: return nil
        case .none: break
        }
        let counts = pendingCount == nil ? nil : countNotBefore
        guard let deadline = settling.deadline else { return counts }
        return counts.map { min($0, deadline) } ?? deadline
    }

    // MARK: - Events

    /// The subscription stands, for the first time or again, or changes may have been lost otherwise.
    package mutating func doubted() -> Action {
        settling = isKnown ? .fromConclusiveRoster(askAt: nil) : .no
        return ask()
    }

    package mutating func heard(_ change: PresenceChange, at now: NIODeadline) -> Action {
        guard question == .none else {
            hold(change)
            return Action()
        }
        guard change.revision > revision else { return Action() }
        switch told {
        case .nothing: return Action()
        case .crowd: return heard(count: change.count, revision: change.revision, at: now)
        case .users(var users):
            revision = change.revision
            let isNews = users.contains(change.user) != change.isPresent
            if change.isPresent { users.insert(change.user) } else { users.remove(change.user) }
            // While the store is being filled again its count is not everybody's.
            let count = settling == .no ? change.count : users.count
            if count > limits.users { return becomeCrowd(of: count, revision: revision, at: now) }
            told = .users(users)
            var action = Action()
            if isNews { action.notices = [notice(of: change, count: users.count)] }
            if settling == .no, change.count == users.count { joiners.agreed(at: revision) }
            if settling == .no, change.count != users.count {
                // A change before this one was lost, or the store lost what it held.
                action.question = doubted().question
            }
            return action
        }
    }

    /// A crowd has changed, or what was one.
    package mutating func heard(count: Int, revision: UInt64, at now: NIODeadline) -> Action {
        guard question == .none else {
            holdCount(count, revision: revision)
            namelessAt = max(namelessAt, revision)
            return Action()
        }
        guard revision > self.revision else { return Action() }
        switch told {
        case .nothing: return Action()
        case .users(let users):
            if count > limits.users { return becomeCrowd(of: count, revision: revision, at: now) }
            guard settling == .no, count != users.count else { return Action() }
            return doubted()
        case .crowd:
            self.revision = revision
            if settling != .no, count < toldCount { return Action() }
            pendingCount = (count, revision)
            return tellPendingCount(at: now)
        }
    }

    /// A member of this node has joined, and knows what this roster says.
    package mutating func joined(with roster: Roster, at now: NIODeadline) -> Action {
        switch told {
        case .nothing: break
        case .users(let users):
            // While in doubt this node may lack what is older, too.
            guard roster.revision >= revision || question != .none || settling != .no else { break }
            joiners.add(roster, told: users, revision: revision, limit: 2 * limits.users)
        case .crowd:
            guard roster.count != toldCount || roster.revision > revision else { break }
            staleAt = max(staleAt, roster.revision)
            guard question == .none, pendingCount == nil, roster.revision < revision else { break }
            pendingCount = (toldCount, revision)
            return tellPendingCount(at: now)
        }
        return Action()
    }

    /// - Parameter roster: all users, or only their number when there are more than the limit.
    package mutating func answered(_ number: Int, with roster: Roster, at now: NIODeadline) -> Action {
        guard question == .asked(number) else { return Action() }
        question = .none
        if isOverrun { return ask() }
        let news = held.filter { $0.value.revision > roster.revision }
        var latest = (count: roster.count, revision: roster.revision)
        if let heldCount, heldCount.revision > roster.revision { latest = heldCount }
        if roster.count > limits.users || latest.count > limits.users {
            forgetHeld()
            let isBelieved = isBelieved(roster, at: now)
            revision = latest.revision
            return adopt(count: latest.count, isBelieved: isBelieved, at: now)
        }
        var present = Set(roster.members)
        for change in news.values {
            if change.isPresent { present.insert(change.user) } else { present.remove(change.user) }
        }
        // The room was a crowd meanwhile, or a change was lost: who is there now is not known.
        if namelessAt > roster.revision || present.count != latest.count { return ask() }
        forgetHeld()
        let isBelieved = isBelieved(roster, at: now)
        revision = latest.revision
        return adopt(present, news: news, rosterRevision: roster.revision, isBelieved: isBelieved, at: now)
    }

    package mutating func failed(_ number: Int, at now: NIODeadline) {
        if question == .asked(number) { question = .failed(retryAt: now + limits.retryDelay) }
    }

    package mutating func timePassed(at now: NIODeadline) -> Action {
        switch question {
        case .asked: return Action()
        case .failed(let retryAt): return now >= retryAt ? ask() : Action()
        case .none: break
        }
        if let deadline = settling.deadline, now >= deadline { return ask() }
        return tellPendingCount(at: now)
    }

    // MARK: - Questions

    private mutating func ask() -> Action {
        questions += 1
        question = .asked(questions)
        // The answer will contain it.
        forgetHeld()
        return Action(question: questions)
    }

    private mutating func forgetHeld() {
        held.removeAll()
        heldCount = nil
        namelessAt = 0
        isOverrun = false
    }

    private mutating func hold(_ change: PresenceChange) {
        holdCount(change.count, revision: change.revision)
        if let known = held[change.user], known.revision >= change.revision { return }
        held[change.user] = change
        // Rather another question than memory without bound.
        guard held.count > 2 * limits.users + 1_000 else { return }
        isOverrun = true
        held.removeAll()
    }

    private mutating func holdCount(_ count: Int, revision: UInt64) {
        if revision > heldCount?.revision ?? 0 { heldCount = (count, revision) }
    }

    private mutating func isBelieved(_ roster: Roster, at now: NIODeadline) -> Bool {
        let later = now + limits.departureDelay
        switch settling {
        case .no: return true
        case .fromConclusiveRoster, .until:
            if !roster.isConclusive {
                settling = .fromConclusiveRoster(askAt: later)
                return false
            }
            if case .until(let deadline) = settling { return now >= deadline }
            settling = .until(later)
            return false
        }
    }

    // MARK: - What a roster changes

    private mutating func adopt(
        _ present: Set<UserName>, news: [UserName: PresenceChange], rosterRevision: UInt64, isBelieved: Bool,
        at now: NIODeadline
    ) -> Action {
        switch told {
        case .nothing:
            told = .users(present)
            toldCount = present.count
            settling = .no
            return Action()
        case .crowd:
            if !isBelieved, present.count < toldCount { return Action() }
            told = .users(present)
            settling = .no
            pendingCount = (present.count, revision)
            return tellPendingCount(at: now)
        case .users(var users):
            var action = Action()
            for user in present.subtracting(users).sorted() {
                users.insert(user)
                let change = news[user] ?? .roster(user, isPresent: true, revision: rosterRevision)
                action.notices.append(notice(of: change, count: users.count))
            }
            for user in users.subtracting(present).sorted() where isBelieved || news[user] != nil {
                users.remove(user)
                let change = news[user] ?? .roster(user, isPresent: false, revision: rosterRevision)
                action.notices.append(notice(of: change, count: users.count))
            }
            told = .users(users)
            if isBelieved || (users == present && !joiners.isUncertain(beyond: present)) {
                settling = .no
                action.notices += joiners.corrected(by: present, count: users.count, revision: revision)
                if staleAt > 0 {
                    pendingCount = (users.count, revision)
                    action.notices += tellPendingCount(at: now).notices
                }
            }
            return action
        }
    }

    private mutating func adopt(count: Int, isBelieved: Bool, at now: NIODeadline) -> Action {
        if case .nothing = told {
            told = .crowd
            toldCount = count
            settling = .no
            return Action()
        }
        if !isBelieved, count < toldCount { return Action() }
        settling = .no
        return becomeCrowd(of: count, revision: revision, at: now)
    }

    private mutating func becomeCrowd(of count: Int, revision: UInt64, at now: NIODeadline) -> Action {
        told = .crowd
        staleAt = max(staleAt, joiners.latest)
        joiners = Joiners()
        self.revision = revision
        pendingCount = (count, revision)
        return tellPendingCount(at: now)
    }

    // MARK: - Telling

    private mutating func notice(of change: PresenceChange, count: Int) -> Notice {
        toldCount = count
        pendingCount = nil
        joiners.told(change.user, at: change.revision)
        return Notice(
            event: change.isPresent ? .came(change.user, origin: change.origin) : .left(change.user), count: count,
            revision: change.revision)
    }

    private mutating func tellPendingCount(at now: NIODeadline) -> Action {
        guard let (count, revision) = pendingCount else { return Action() }
        if let countNotBefore, now < countNotBefore { return Action() }
        pendingCount = nil
        if case .crowd = told, count <= limits.users {
            // No crowd any more: who they are must be known before the next one comes or goes.
            return ask()
        }
        guard count != toldCount || staleAt > 0 else { return Action() }
        // Whose roster is newer than this count does not get it.
        if revision >= staleAt { staleAt = 0 }
        countNotBefore = now + limits.countInterval
        toldCount = count
        return Action(notices: [Notice(event: .counted, count: count, revision: revision)])
    }
}

extension PresenceChange {
    /// A change that nobody announced: a roster shows it.
    fileprivate static func roster(_ user: UserName, isPresent: Bool, revision: UInt64) -> PresenceChange {
        PresenceChange(user: user, isPresent: isPresent, count: 0, origin: nil, revision: revision)
    }
}

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
        case users(Users)
        /// The last count.
        case crowd
    }

    /// A set of users, of which there are many: of one alone, as in most of them, nothing is kept beside the name.
    private enum Users {
        case one(UserName)
        case several(Set<UserName>)

        init(_ users: Set<UserName>) {
            self = if let user = users.first, users.count == 1 { .one(user) } else { .several(users) }
        }

        var all: Set<UserName> {
            switch self {
            case .one(let user): [user]
            case .several(let users): users
            }
        }
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

    /// What is needed only while the roster is asked for, or may tell something else than members were told.
    private struct Doubt: OccasionalState {
        var question = Question.none
        var settling = Settling.no
        /// What was heard since the question was asked: each user's latest.
        var held: [UserName: PresenceChange] = [:]
        var heldCount: (count: Int, revision: UInt64)?
        /// The latest revision at which somebody came or went in a crowd, and was not named.
        var namelessAt: UInt64 = 0
        var isOverrun = false

        mutating func forgetHeld() {
            held.removeAll()
            heldCount = nil
            namelessAt = 0
            isOverrun = false
        }

        var isInitial: Bool {
            question == .none && settling == .no && held.isEmpty && heldCount == nil && namelessAt == 0 && !isOverrun
        }
    }

    /// What is needed only in a crowd, and by joiners who know another number than the others.
    private struct Counts: OccasionalState {
        /// The revision of the newest roster that told a joiner another count than ``toldCount``, or one that is newer
        /// than it; 0 when there is none.
        var staleAt: UInt64 = 0
        var pending: (count: Int, revision: UInt64)?
        var notBefore: NIODeadline?

        var isInitial: Bool { staleAt == 0 && pending == nil && notBefore == nil }
    }

    /// All rooms have the same.
    private final class SharedLimits: Sendable {
        let limits: Limits

        init(_ limits: Limits) { self.limits = limits }
    }

    // There are many of these: what most never need is apart.
    private let sharedLimits: SharedLimits
    private var told = Told.nothing
    /// That of the latest change that was told or found to be no news.
    private var revision: UInt64 = 0
    @Occasional private var doubt = Doubt()
    /// What joiners know from their own rosters though it was not heard here yet: should it never be, they need notices
    /// that nobody else does.
    @Occasional private var joiners = Joiners()
    @Occasional private var counts = Counts()
    private var questions: UInt32 = 0
    /// The number that members were told last.
    private var toldCount: Int32 = 0

    private var limits: Limits { sharedLimits.limits }

    /// Copies share the limits.
    package init(_ limits: Limits = Limits()) { sharedLimits = SharedLimits(limits) }

    /// Whether a roster has arrived: what comes and goes from here on can be told.
    package var isKnown: Bool { if case .nothing = told { false } else { true } }

    /// When ``timePassed(at:)`` is to be called; nil when nothing waits for the time.
    package var wakeUp: NIODeadline? {
        switch doubt.question {
        case .failed(let retryAt): return retryAt
        case .asked: return nil
        case .none: break
        }
        let count = counts.pending == nil ? nil : counts.notBefore
        guard let deadline = doubt.settling.deadline else { return count }
        return count.map { min($0, deadline) } ?? deadline
    }

    // MARK: - Events

    /// The subscription stands, for the first time or again, or changes may have been lost otherwise.
    package mutating func doubted() -> Action {
        doubt.settling = isKnown ? .fromConclusiveRoster(askAt: nil) : .no
        return ask()
    }

    package mutating func heard(_ change: PresenceChange, at now: NIODeadline) -> Action {
        guard doubt.question == .none else {
            hold(change)
            return Action()
        }
        guard change.revision > revision else { return Action() }
        switch told {
        case .nothing: return Action()
        case .crowd: return heard(count: change.count, revision: change.revision, at: now)
        case .users(let known):
            var users = known.all
            revision = change.revision
            let isNews = users.contains(change.user) != change.isPresent
            if change.isPresent { users.insert(change.user) } else { users.remove(change.user) }
            // While the store is being filled again its count is not everybody's.
            let count = doubt.settling == .no ? change.count : users.count
            if count > limits.users { return becomeCrowd(of: count, revision: revision, at: now) }
            told = .users(Users(users))
            var action = Action()
            if isNews { action.notices = [notice(of: change, count: users.count)] }
            if doubt.settling == .no, change.count == users.count { joiners.agreed(at: revision) }
            if doubt.settling == .no, change.count != users.count {
                // A change before this one was lost, or the store lost what it held.
                action.question = doubted().question
            }
            return action
        }
    }

    /// A crowd has changed, or what was one.
    package mutating func heard(count: Int, revision: UInt64, at now: NIODeadline) -> Action {
        guard doubt.question == .none else {
            holdCount(count, revision: revision)
            doubt.namelessAt = max(doubt.namelessAt, revision)
            return Action()
        }
        guard revision > self.revision else { return Action() }
        switch told {
        case .nothing: return Action()
        case .users(let known):
            let users = known.all
            if count > limits.users { return becomeCrowd(of: count, revision: revision, at: now) }
            guard doubt.settling == .no, count != users.count else { return Action() }
            return doubted()
        case .crowd:
            self.revision = revision
            if doubt.settling != .no, count < toldCount { return Action() }
            counts.pending = (count, revision)
            return tellPendingCount(at: now)
        }
    }

    /// A member of this node has joined, and knows what this roster says.
    package mutating func joined(with roster: Roster, at now: NIODeadline) -> Action {
        switch told {
        case .nothing: break
        case .users(let known):
            // While in doubt this node may lack what is older, too.
            guard roster.revision >= revision || doubt.question != .none || doubt.settling != .no else { break }
            joiners.add(roster, told: known.all, revision: revision, limit: 2 * limits.users)
        case .crowd:
            guard roster.count != toldCount || roster.revision > revision else { break }
            counts.staleAt = max(counts.staleAt, roster.revision)
            guard doubt.question == .none, counts.pending == nil, roster.revision < revision else { break }
            counts.pending = (Int(toldCount), revision)
            return tellPendingCount(at: now)
        }
        return Action()
    }

    /// - Parameter roster: all users, or only their number when there are more than the limit.
    package mutating func answered(_ number: Int, with roster: Roster, at now: NIODeadline) -> Action {
        guard doubt.question == .asked(number) else { return Action() }
        doubt.question = .none
        if doubt.isOverrun { return ask() }
        let news = doubt.held.filter { $0.value.revision > roster.revision }
        var latest = (count: roster.count, revision: roster.revision)
        if let heldCount = doubt.heldCount, heldCount.revision > roster.revision { latest = heldCount }
        if roster.count > limits.users || latest.count > limits.users {
            doubt.forgetHeld()
            let isBelieved = isBelieved(roster, at: now)
            revision = latest.revision
            return adopt(count: latest.count, isBelieved: isBelieved, at: now)
        }
        var present = Set(roster.members)
        for change in news.values {
            if change.isPresent { present.insert(change.user) } else { present.remove(change.user) }
        }
        // The room was a crowd meanwhile, or a change was lost: who is there now is not known.
        if doubt.namelessAt > roster.revision || present.count != latest.count { return ask() }
        doubt.forgetHeld()
        let isBelieved = isBelieved(roster, at: now)
        revision = latest.revision
        return adopt(present, news: news, rosterRevision: roster.revision, isBelieved: isBelieved, at: now)
    }

    package mutating func failed(_ number: Int, at now: NIODeadline) {
        if doubt.question == .asked(number) { doubt.question = .failed(retryAt: now + limits.retryDelay) }
    }

    package mutating func timePassed(at now: NIODeadline) -> Action {
        switch doubt.question {
        case .asked: return Action()
        case .failed(let retryAt): return now >= retryAt ? ask() : Action()
        case .none: break
        }
        if let deadline = doubt.settling.deadline, now >= deadline { return ask() }
        return tellPendingCount(at: now)
    }

    // MARK: - Questions

    private mutating func ask() -> Action {
        questions &+= 1
        doubt.question = .asked(Int(questions))
        // The answer will contain it.
        doubt.forgetHeld()
        return Action(question: Int(questions))
    }

    private mutating func hold(_ change: PresenceChange) {
        holdCount(change.count, revision: change.revision)
        if let known = doubt.held[change.user], known.revision >= change.revision { return }
        doubt.held[change.user] = change
        // Rather another question than memory without bound.
        guard doubt.held.count > 2 * limits.users + 1_000 else { return }
        doubt.isOverrun = true
        doubt.held.removeAll()
    }

    private mutating func holdCount(_ count: Int, revision: UInt64) {
        if revision > doubt.heldCount?.revision ?? 0 { doubt.heldCount = (count, revision) }
    }

    private mutating func isBelieved(_ roster: Roster, at now: NIODeadline) -> Bool {
        let later = now + limits.departureDelay
        switch doubt.settling {
        case .no: return true
        case .fromConclusiveRoster, .until:
            if !roster.isConclusive {
                doubt.settling = .fromConclusiveRoster(askAt: later)
                return false
            }
            if case .until(let deadline) = doubt.settling { return now >= deadline }
            doubt.settling = .until(later)
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
            told = .users(Users(present))
            toldCount = Int32(clamping: present.count)
            doubt.settling = .no
            return Action()
        case .crowd:
            if !isBelieved, present.count < toldCount { return Action() }
            told = .users(Users(present))
            doubt.settling = .no
            counts.pending = (present.count, revision)
            return tellPendingCount(at: now)
        case .users(let known):
            var users = known.all
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
            told = .users(Users(users))
            if isBelieved || (users == present && !joiners.isUncertain(beyond: present)) {
                doubt.settling = .no
                action.notices += joiners.corrected(by: present, count: users.count, revision: revision)
                if counts.staleAt > 0 {
                    counts.pending = (users.count, revision)
                    action.notices += tellPendingCount(at: now).notices
                }
            }
            return action
        }
    }

    private mutating func adopt(count: Int, isBelieved: Bool, at now: NIODeadline) -> Action {
        if case .nothing = told {
            told = .crowd
            toldCount = Int32(clamping: count)
            doubt.settling = .no
            return Action()
        }
        if !isBelieved, count < toldCount { return Action() }
        doubt.settling = .no
        return becomeCrowd(of: count, revision: revision, at: now)
    }

    private mutating func becomeCrowd(of count: Int, revision: UInt64, at now: NIODeadline) -> Action {
        told = .crowd
        counts.staleAt = max(counts.staleAt, joiners.latest)
        joiners = Joiners()
        self.revision = revision
        counts.pending = (count, revision)
        return tellPendingCount(at: now)
    }

    // MARK: - Telling

    private mutating func notice(of change: PresenceChange, count: Int) -> Notice {
        toldCount = Int32(clamping: count)
        counts.pending = nil
        joiners.told(change.user, at: change.revision)
        return Notice(
            event: change.isPresent ? .came(change.user, origin: change.origin) : .left(change.user), count: count,
            revision: change.revision)
    }

    private mutating func tellPendingCount(at now: NIODeadline) -> Action {
        guard let (count, revision) = counts.pending else { return Action() }
        if let notBefore = counts.notBefore, now < notBefore { return Action() }
        counts.pending = nil
        if case .crowd = told, count <= limits.users {
            // No crowd any more: who they are must be known before the next one comes or goes.
            return ask()
        }
        guard count != toldCount || counts.staleAt > 0 else { return Action() }
        // Whose roster is newer than this count does not get it.
        if revision >= counts.staleAt { counts.staleAt = 0 }
        counts.notBefore = now + limits.countInterval
        toldCount = Int32(clamping: count)
        return Action(notices: [Notice(event: .counted, count: count, revision: revision)])
    }
}

extension PresenceChange {
    /// A change that nobody announced: a roster shows it.
    fileprivate static func roster(_ user: UserName, isPresent: Bool, revision: UInt64) -> PresenceChange {
        PresenceChange(user: user, isPresent: isPresent, count: 0, origin: nil, revision: revision)
    }
}

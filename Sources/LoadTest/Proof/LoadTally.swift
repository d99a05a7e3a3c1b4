package import Histogram

/// What became of the deliveries of messages to members: a message to a room of ten is ten deliveries.
package struct Deliveries: Sendable, Codable, Equatable {
    package var delivered = 0
    /// Of messages that stand in the log, or were acknowledged; nobody has told of it.
    package var missing = 0
    package var doubled = 0
    /// After a message that stands later.
    package var outOfOrder = 0
    /// Missing as a node has told: `gap`, `rewind`, `recovered:false`.
    package var toldLost = 0

    package static func += (left: inout Deliveries, right: Deliveries) {
        left.delivered += right.delivered
        left.missing += right.missing
        left.doubled += right.doubled
        left.outOfOrder += right.outOfOrder
        left.toldLost += right.toldLost
    }

    package static func + (left: Deliveries, right: Deliveries) -> Deliveries {
        var sum = left
        sum += right
        return sum
    }
}

/// What was counted in a run, or in a part of it: parts add up.
package struct LoadCounts: Sendable, Codable, Equatable {
    package var connected = 0
    package var sent = 0
    package var acknowledged = 0
    /// Sent again with `retry`.
    package var retried = 0
    /// To members on the sender's node, and on others.
    package var sameNode = Deliveries()
    package var otherNode = Deliveries()
    /// Of the missing deliveries, those of messages whose sender had the acknowledgement.
    package var missingAcknowledged = 0
    /// Acknowledged messages that came to nobody, without a word and told.
    package var neverCame = 0
    package var neverCameTold = 0
    /// Messages that stand before an earlier one of the same sender.
    package var sendersOutOfOrder = 0
    /// Deliveries of a message at another position than others saw it, or in another room.
    package var misplaced = 0
    package var refused = 0
    /// Messages that were neither acknowledged nor seen by anyone.
    package var unanswered = 0
    /// Promises about presence that were not kept.
    package var presenceBroken = 0
    /// Connections that came to stand with all their rooms joined.
    package var connects = 0
    /// Attempts that did not.
    package var failedConnects = 0
    /// Connections that ended by themselves.
    package var lostConnections = 0
    /// Connections that a draining node asked to give up.
    package var moved = 0
    /// Connections that the test cut itself.
    package var cut = 0
    /// Rooms that were asked for with the last position seen, and those of them that were `recovered`.
    package var resumes = 0
    package var recovered = 0
    package var gaps = 0
    package var rewinds = 0

    package init() {}

    package var deliveries: Deliveries { sameNode + otherNode }

    /// Nothing that was promised was broken: all that is stored came to everybody, once and in order, or it was told.
    package var isClean: Bool {
        let all = deliveries
        return all.missing == 0 && all.doubled == 0 && all.outOfOrder == 0 && neverCame == 0 && sendersOutOfOrder == 0
            && misplaced == 0 && refused == 0 && unanswered == 0 && presenceBroken == 0
    }

    package static func += (left: inout LoadCounts, right: LoadCounts) {
        left.connected += right.connected
        left.sent += right.sent
        left.acknowledged += right.acknowledged
        left.retried += right.retried
        left.sameNode += right.sameNode
        left.otherNode += right.otherNode
        left.missingAcknowledged += right.missingAcknowledged
        left.neverCame += right.neverCame
        left.neverCameTold += right.neverCameTold
        left.sendersOutOfOrder += right.sendersOutOfOrder
        left.misplaced += right.misplaced
        left.refused += right.refused
        left.unanswered += right.unanswered
        left.presenceBroken += right.presenceBroken
        left.connects += right.connects
        left.failedConnects += right.failedConnects
        left.lostConnections += right.lostConnections
        left.moved += right.moved
        left.cut += right.cut
        left.resumes += right.resumes
        left.recovered += right.recovered
        left.gaps += right.gaps
        left.rewinds += right.rewinds
    }
}

/// Counts, latencies and first offenders of one event loop.
package struct LoadTally: Sendable {
    package var counts = LoadCounts()
    /// Microseconds from the moment at which a message was due to its arrival; without those who read slowly on purpose.
    package var sameNode = LoadTally.histogram()
    package var otherNode = LoadTally.histogram()
    /// Microseconds to the sender's acknowledgement, likewise.
    package var acknowledgement = LoadTally.histogram()
    package private(set) var offences: [Offence] = []
    /// How many there were, by the node that the user was on.
    package private(set) var offencesByNode: [String: Int] = [:]
    private var keptOf: [String: Int] = [:]

    package init() {}

    /// How many offences are kept, and how many of one user.
    package static let kept = 20
    private static let keptOfUser = 2

    /// Ten minutes, in microseconds.
    package static let longest: UInt64 = 600_000_000

    private static func histogram() -> Histogram<UInt64> {
        Histogram(highestTrackableValue: longest, numberOfSignificantValueDigits: .three)
    }

    package mutating func record(_ offence: Offence) {
        offencesByNode[offence.node, default: 0] += 1
        guard offences.count < Self.kept, keptOf[offence.user, default: 0] < Self.keptOfUser else { return }
        keptOf[offence.user, default: 0] += 1
        offences.append(offence)
    }

    package mutating func add(_ other: LoadTally) {
        counts += other.counts
        sameNode.add(other.sameNode)
        otherNode.add(other.otherNode)
        acknowledgement.add(other.acknowledgement)
        offences = Array((offences + other.offences).prefix(Self.kept))
        offencesByNode.merge(other.offencesByNode, uniquingKeysWith: +)
    }
}

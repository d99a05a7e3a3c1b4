package import Histogram

/// Something that must not happen, for the report's list of first offenders.
package struct Offence: Sendable, Codable, Equatable {
    package enum Kind: String, Sendable, Codable, CaseIterable {
        case missing, doubled, outOfOrder = "out of order", misplaced, refused, unanswered
    }

    package var kind: Kind
    package var user: String
    package var room: String
    /// Empty where the message has none.
    package var position: String
    /// The node of the one who should have received, or was refused.
    package var node: String
    package var detail: String
}

/// Counts and latencies of a run, or of a part of it: parts add up.
package struct LoadTally: Sendable {
    package struct Counts: Sendable, Codable, Equatable {
        package var connected = 0
        package var sent = 0
        package var acknowledged = 0
        package var retried = 0
        package var delivered = 0
        /// Deliveries of messages that stand in the log, or were acknowledged, which a receiver did not get.
        package var missing = 0
        /// Of these, the ones whose sender had the acknowledgement.
        package var acknowledgedButMissing = 0
        package var doubled = 0
        package var outOfOrder = 0
        /// Deliveries of a message at another position than others saw it, or in another room.
        package var misplaced = 0
        package var refused = 0
        /// Messages that were neither acknowledged nor seen by anyone.
        package var unanswered = 0
        /// Connections that ended by themselves.
        package var lostConnections = 0
        /// Connections that a draining node asked to give up.
        package var moved = 0
        /// Losses that the node told of: `gap`, `rewind`, `recovered:false`.
        package var toldLosses = 0
    }

    package var counts = Counts()
    /// Microseconds from the moment at which a message was due to its arrival.
    package var sameNode = LoadTally.histogram()
    package var otherNode = LoadTally.histogram()
    /// Microseconds to the sender's acknowledgement.
    package var acknowledgement = LoadTally.histogram()
    package private(set) var offences: [Offence] = []

    package init() {}

    /// How many offenders are kept.
    private static let kept = 20

    private static func histogram() -> Histogram<UInt64> {
        // Up to ten minutes, to three digits.
        Histogram(highestTrackableValue: 600_000_000, numberOfSignificantValueDigits: .three)
    }

    package mutating func record(_ offence: @autoclosure () -> Offence) {
        if offences.count < Self.kept { offences.append(offence()) }
    }

    package mutating func add(_ other: LoadTally) {
        counts.connected += other.counts.connected
        counts.sent += other.counts.sent
        counts.acknowledged += other.counts.acknowledged
        counts.retried += other.counts.retried
        counts.delivered += other.counts.delivered
        counts.missing += other.counts.missing
        counts.acknowledgedButMissing += other.counts.acknowledgedButMissing
        counts.doubled += other.counts.doubled
        counts.outOfOrder += other.counts.outOfOrder
        counts.misplaced += other.counts.misplaced
        counts.refused += other.counts.refused
        counts.unanswered += other.counts.unanswered
        counts.lostConnections += other.counts.lostConnections
        counts.moved += other.counts.moved
        counts.toldLosses += other.counts.toldLosses
        sameNode.add(other.sameNode)
        otherNode.add(other.otherNode)
        acknowledgement.add(other.acknowledgement)
        offences = Array((offences + other.offences).prefix(Self.kept))
    }
}

package import NIOCore

/// Ten looks a second at a run: is everybody there, and does everything arrive? Pure.
package struct HealthLog: Sendable {
    private struct Look {
        var second: Double
        var isWell: Bool
        var connects: Int
    }

    private var looks: [Look] = []

    package init() {}

    /// A message that is older than this, and not yet with everybody, says that something is wrong.
    package static let patience = TimeAmount.milliseconds(500)

    /// How long all must be well for it to count.
    private static let lasting = 1.0

    /// - Parameters:
    ///   - second: since the first message.
    ///   - isComplete: whether all clients are connected, but for those that stay away on purpose.
    ///   - oldest: the age of the oldest message that is not with everybody.
    ///   - connects: all that there were so far.
    package mutating func look(at second: Double, isComplete: Bool, oldest: TimeAmount, connects: Int) {
        looks.append(Look(second: second, isWell: isComplete && oldest <= Self.patience, connects: connects))
    }

    /// How long after its beginning a fault was felt.
    ///
    /// - Parameter ended: when what was done was done.
    /// - Returns: seconds from `began` until all was well for a second; 0 when nobody felt it; nil when that never came.
    package func healed(from began: Double, ended: Double) -> Double? {
        let after = looks.drop { $0.second < began }
        guard after.contains(where: { !$0.isWell && $0.second <= ended + Self.lasting }) else {
            return after.isEmpty ? nil : 0
        }
        var since: Double?
        for look in after where look.second >= ended {
            guard look.isWell else {
                since = nil
                continue
            }
            since = since ?? look.second
            if let since, look.second - since >= Self.lasting { return since - began }
        }
        // The run ended before a whole second was over, and ends only when all is well.
        return since.map { $0 - began }
    }

    /// The most connections that came to stand within one second, from `start` on.
    package func peakConnects(from start: Double, to end: Double = .infinity) -> Int {
        let some = looks.filter { $0.second >= start && $0.second <= end }
        var peak = 0.0
        var first = some.startIndex
        for last in some.indices.dropFirst() {
            while first < last - 1, some[last].second - some[first].second > 1.0 { first += 1 }
            // On a machine that has no time for us two looks are further apart.
            let seconds = max(some[last].second - some[first].second, 1.0)
            peak = max(peak, Double(some[last].connects - some[first].connects) / seconds)
        }
        return Int(peak.rounded(.up))
    }
}

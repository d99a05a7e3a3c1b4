import NIOCore

/// How many frames a client may send, of any kind and size: so many a second on average, and a burst of two seconds' worth.
/// Who sends more is not told off but read from more slowly, so that TCP slows it down. Pure.
struct FrameBudget: Equatable {
    private let perSecond: Int
    /// Below zero: debt.
    private var left: Int
    /// When ``left`` was last filled up.
    private var filledAt: NIODeadline

    /// - Parameter perSecond: 0 for no limit.
    init(perSecond: Int, at now: NIODeadline) {
        self.perSecond = perSecond
        left = 2 * perSecond
        filledAt = now
    }

    /// Frames were read.
    ///
    /// - Parameter now: looked at only when the burst is used up.
    /// - Returns: how long nothing more should be read; nil to go on.
    mutating func spend(_ frames: Int, at now: @autoclosure () -> NIODeadline) -> TimeAmount? {
        guard perSecond > 0 else { return nil }
        left -= frames
        guard left < 0 else { return nil }
        let now = now()
        let seconds = Double((now - filledAt).nanoseconds) / 1e9
        left = Int(min(Double(left + frames) + seconds * Double(perSecond), Double(2 * perSecond))) - frames
        filledAt = now
        guard left < 0 else { return nil }
        return .milliseconds(max(1, Int64(-left) * 1000 / Int64(perSecond)))
    }
}

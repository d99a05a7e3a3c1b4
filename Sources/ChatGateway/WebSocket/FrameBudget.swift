import NIOCore

/// What a client may send: so many frames a second on average, of any kind and size, with a burst of two seconds'
/// worth; and so many bytes, with a burst of one longest message. Who sends more is not told off but read from more
/// slowly, so that TCP slows it down. Pure.
struct FrameBudget: Equatable {
    private var frames: Account
    private var bytes: Account

    /// - Parameters:
    ///   - framesPerSecond: 0 for no limit, as the next.
    ///   - longest: bytes that may come at once.
    init(framesPerSecond: Int, bytesPerSecond: Int = 0, longest: Int = 0, at now: NIODeadline) {
        frames = Account(perSecond: framesPerSecond, burst: 2 * framesPerSecond, at: now)
        bytes = Account(perSecond: bytesPerSecond, burst: longest, at: now)
    }

    /// Frames were read.
    ///
    /// - Parameter now: looked at only when a burst is used up.
    /// - Returns: how long nothing more should be read; nil to go on.
    mutating func spend(_ count: Int, bytes size: Int = 0, at now: @autoclosure () -> NIODeadline) -> TimeAmount? {
        let one = frames.spend(count, at: now())
        let other = bytes.spend(size, at: now())
        return [one, other].compactMap { $0 }.max()
    }

    private struct Account: Equatable {
        private let perSecond: Int32
        private let burst: Int32
        /// Below zero: debt.
        private var left: Int
        /// When ``left`` was last filled up.
        private var filledAt: NIODeadline

        init(perSecond: Int, burst: Int, at now: NIODeadline) {
            self.perSecond = Int32(clamping: perSecond)
            self.burst = Int32(clamping: burst)
            left = burst
            filledAt = now
        }

        mutating func spend(_ amount: Int, at now: @autoclosure () -> NIODeadline) -> TimeAmount? {
            guard perSecond > 0 else { return nil }
            left -= amount
            guard left < 0 else { return nil }
            let now = now()
            let seconds = Double((now - filledAt).nanoseconds) / 1e9
            left = Int(min(Double(left + amount) + seconds * Double(perSecond), Double(burst))) - amount
            filledAt = now
            guard left < 0 else { return nil }
            return .milliseconds(max(1, Int64(-left) * 1000 / Int64(perSecond)))
        }
    }
}

import NIOCore

/// Whether the subscription hears what the node publishes to itself. Connected but deaf looks like silence, and only
/// this tells them apart.
struct ProbeMonitor {
    private let deafAfter: TimeAmount
    private var number: UInt64 = 0
    private var sentAt: [UInt64: NIODeadline] = [:]
    private var listeningSince: NIODeadline?
    private var lastHeard: NIODeadline?
    /// When anything at all was heard.
    private var lastSign: NIODeadline?
    /// The first probe that was sent since one was last heard.
    private var unheardSince: NIODeadline?

    init(deafAfter: TimeAmount) { self.deafAfter = deafAfter }

    /// The subscription stands anew.
    mutating func listening(at now: NIODeadline) {
        listeningSince = now
        lastHeard = nil
        lastSign = nil
        unheardSince = nil
        sentAt.removeAll()
    }

    /// The subscription is gone.
    mutating func stopped() {
        listeningSince = nil
        lastHeard = nil
        lastSign = nil
        unheardSince = nil
        sentAt.removeAll()
    }

    /// Number of the probe to send now.
    mutating func send(at now: NIODeadline) -> UInt64 {
        number += 1
        sentAt[number] = now
        if unheardSince == nil { unheardSince = now }
        return number
    }

    /// Redis did not take a probe: that it is not heard proves nothing.
    mutating func notSent(_ number: UInt64) {
        sentAt[number] = nil
        unheardSince = sentAt.values.min()
    }

    /// A probe came through. How long it took; nil for one that is not of this subscription.
    mutating func heard(_ number: UInt64, at now: NIODeadline) -> TimeAmount? {
        guard let sent = sentAt[number] else { return nil }
        sentAt = sentAt.filter { $0.key > number }
        lastHeard = now
        lastSign = now
        unheardSince = sentAt.values.min()
        return now - sent
    }

    /// A publication came through: the probes may stand behind many more.
    mutating func heardPublication(at now: NIODeadline) {
        if listeningSince != nil { lastSign = now }
    }

    /// Whether a probe was heard lately.
    func hears(at now: NIODeadline) -> Bool {
        lastHeard.map { now < $0 + deafAfter } ?? false
    }

    /// Whether probes were sent, and nothing was heard for so long that the connection should be replaced. A probe has half
    /// of the time at least: none may have been sent before it for long, while commands could not be.
    func isDeaf(at now: NIODeadline) -> Bool {
        guard let listeningSince, let unheardSince else { return false }
        return now >= (lastSign ?? listeningSince) + deafAfter
            && now >= unheardSince + .nanoseconds(deafAfter.nanoseconds / 2)
    }
}

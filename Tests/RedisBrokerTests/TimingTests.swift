import ChatProtocol
import NIOCore
import TestSupport
import Testing

@testable import RedisBroker

@Suite("Trying again, heartbeats and probes")
struct TimingTests {
    private let start = NIODeadline.uptimeNanoseconds(1_000_000_000)

    /// Always one value: `max` draws the greatest number of a range, 1 the least (0 would be drawn again for ever).
    private struct Fixed: RandomNumberGenerator {
        var value: UInt64
        mutating func next() -> UInt64 { value }
    }

    // MARK: Connecting

    @Test func aLinkTriesUntilItIsStoppedAndIgnoresWhatWasGivenUp() throws {
        var machine = RedisLink.StateMachine(backoff: .init(initial: .milliseconds(50), maximum: .seconds(2)))
        var random = Fixed(value: .max)
        let firstAttempt = machine.connect()
        let first = try #require(firstAttempt)
        #expect(machine.connect() == nil, "one attempt at a time")
        #expect(
            machine.ended(first, at: start, using: &random)
                == .connectAfter(.milliseconds(50), wasReady: false))
        #expect(machine.ended(first, at: start, using: &random) == .ignore)
        let secondAttempt = machine.connect()
        let second = try #require(secondAttempt)
        #expect(machine.becameReady(first, at: start) == false)
        #expect(machine.becameReady(second, at: start) == true)
        #expect(
            machine.ended(second, at: start + .milliseconds(499), using: &random)
                == .connectAfter(.milliseconds(100), wasReady: true), "too short to count as a success")
        let thirdAttempt = machine.connect()
        let third = try #require(thirdAttempt)
        #expect(machine.becameReady(third, at: start) == true)
        #expect(
            machine.ended(third, at: start + .seconds(1), using: &random)
                == .connectAfter(.milliseconds(50), wasReady: true))
        #expect(machine.stop() == .stopped(wasReady: false))
        #expect(machine.stop() == .ignore)
        #expect(machine.connect() == nil)
    }

    // MARK: All loops together

    @Test func aNodeBecomesAvailableOnlyWhenEveryLoopHasItsConnection() {
        var links = LoopLinks(loops: 2, why: "not yet")
        #expect(links.failure(at: start, isLenient: false) == "not yet")
        links.changed(0, failure: nil, at: start)
        #expect(links.failure(at: start, isLenient: false) == "not yet")
        links.changed(1, failure: "refused", at: start)
        #expect(links.failure(at: start, isLenient: false) == "refused")
        #expect(links.failure(at: start, isLenient: true) == "refused", "patience is for what stood before")
        links.changed(1, failure: nil, at: start)
        #expect(links.failure(at: start, isLenient: false) == nil)
    }

    @Test func aNodeStaysAvailableWhileOneConnectionIsReplacedQuickly() {
        var links = LoopLinks(loops: 3, why: "not yet")
        for loop in 0..<3 { links.changed(loop, failure: nil, at: start) }
        links.changed(1, failure: "lost", at: start)
        links.changed(1, failure: "refused", at: start + .milliseconds(400))
        #expect(links.failure(at: start + .milliseconds(499), isLenient: true) == nil)
        #expect(links.failure(at: start + .milliseconds(499), isLenient: false) == "refused")
        #expect(links.failure(at: start + .milliseconds(500), isLenient: true) == "refused")
        links.changed(1, failure: nil, at: start + .milliseconds(600))
        links.changed(1, failure: "lost again", at: start + .milliseconds(700))
        #expect(links.failure(at: start + .milliseconds(700), isLenient: true) == nil, "it had come back")
        links.changed(2, failure: "lost too", at: start + .milliseconds(700))
        #expect(links.failure(at: start + .milliseconds(700), isLenient: true) == "lost again", "two are an outage")
    }

    // MARK: Leases

    @Test func aNodeMayJudgeOthersOnlyAfterAWholeLeaseWithoutInterruption() {
        var lease = NodeLease(timeout: .seconds(3))
        #expect(lease.beat(at: start) == .register)
        #expect(lease.beat(at: start) == nil, "one beat at a time")
        #expect(lease.answered(.late, at: start) == false)
        #expect(lease.isHeld)
        #expect(lease.beat(at: start + .seconds(2)) == .renew(mayJudge: false))
        #expect(lease.answered(.renewed, at: start + .seconds(2)) == false)
        #expect(lease.beat(at: start + .seconds(3)) == .renew(mayJudge: true))
        lease.failed()
        #expect(lease.beat(at: start + .seconds(4)) == .renew(mayJudge: false))
        #expect(lease.answered(.renewed, at: start + .seconds(4)) == false)
        #expect(lease.beat(at: start + .seconds(6)) == .renew(mayJudge: false))
        #expect(lease.answered(.late, at: start + .seconds(6)) == false)
        #expect(lease.beat(at: start + .seconds(8)) == .renew(mayJudge: false), "Redis was away meanwhile")
        #expect(lease.answered(.renewed, at: start + .seconds(8)) == false)
        #expect(lease.beat(at: start + .seconds(9)) == .renew(mayJudge: true))
    }

    @Test func aNodeThatWasDeclaredDeadRegistersAnew() {
        var lease = NodeLease(timeout: .seconds(3))
        _ = lease.beat(at: start)
        _ = lease.answered(.late, at: start)
        _ = lease.beat(at: start + .seconds(10))
        #expect(lease.answered(.lost, at: start + .seconds(10)) == true)
        #expect(!lease.isHeld)
        #expect(lease.beat(at: start + .seconds(10)) == .register)
    }

    @Test func aNodeThatTakesAnotherNameStaysAmongTheLiving() {
        var lease = NodeLease(timeout: .seconds(3))
        _ = lease.beat(at: start)
        _ = lease.answered(.late, at: start)
        #expect(lease.isRegistered)
        _ = lease.beat(at: start + .seconds(1))
        lease.renamed()
        #expect(lease.isHeld, "nobody needs to be sent elsewhere")
        #expect(!lease.isRegistered, "but nobody enters under the new name yet")
        #expect(lease.beat(at: start + .seconds(1)) == .register, "whatever was under way for the old one")
        lease.failed()
        #expect(lease.isHeld)
        #expect(lease.beat(at: start + .seconds(2)) == .register)
        #expect(lease.answered(.late, at: start + .seconds(2)) == false)
        #expect(lease.isRegistered)
        #expect(lease.beat(at: start + .seconds(4)) == .renew(mayJudge: false), "its time to judge begins anew")
        lease.failed()
        _ = lease.beat(at: start + .seconds(5))
        _ = lease.answered(.lost, at: start + .seconds(5))
        lease.renamed()
        #expect(!lease.isHeld, "who was declared dead is not among the living")
    }

    // MARK: Probes

    @Test func aSubscriptionThatIsHeardIsNotDeaf() {
        var probes = ProbeMonitor(deafAfter: .milliseconds(2_600))
        probes.listening(at: start)
        #expect(!probes.hears(at: start), "nothing was heard yet")
        for second in 0..<10 {
            let now = start + .seconds(Int64(second))
            let number = probes.send(at: now)
            #expect(probes.heard(number, at: now + .milliseconds(2)) == .milliseconds(2))
            #expect(probes.hears(at: now + .milliseconds(999)))
            #expect(!probes.isDeaf(at: now + .milliseconds(999)))
        }
    }

    @Test func aSubscriptionThatGoesDeafIsFoundWithinThreeSeconds() {
        var probes = ProbeMonitor(deafAfter: .milliseconds(2_600))
        probes.listening(at: start)
        let number = probes.send(at: start)
        _ = probes.heard(number, at: start)
        for second in 1...2 { _ = probes.send(at: start + .seconds(Int64(second))) }
        #expect(!probes.isDeaf(at: start + .milliseconds(2_500)))
        #expect(probes.isDeaf(at: start + .milliseconds(2_750)))
        #expect(!probes.hears(at: start + .milliseconds(2_750)))
        probes.listening(at: start + .seconds(3))
        #expect(!probes.isDeaf(at: start + .seconds(3)))
        #expect(probes.heard(2, at: start + .seconds(3)) == nil, "a probe of the connection before")
    }

    @Test func whenNoProbeCanBeSentNobodyIsDeaf() {
        var probes = ProbeMonitor(deafAfter: .milliseconds(2_600))
        probes.listening(at: start)
        let number = probes.send(at: start)
        probes.notSent(number)
        #expect(!probes.isDeaf(at: start + .seconds(60)))
        _ = probes.send(at: start + .seconds(60))
        #expect(!probes.isDeaf(at: start + .seconds(61)), "the first one after the silence has time to come")
        #expect(probes.isDeaf(at: start + .milliseconds(61_300)))
    }

    @Test func probesThatStandBehindManyPublicationsDoNotMakeASubscriptionDeaf() {
        var probes = ProbeMonitor(deafAfter: .milliseconds(2_600))
        probes.listening(at: start)
        for second in 0..<10 {
            _ = probes.send(at: start + .seconds(Int64(second)))
            probes.heardPublication(at: start + .seconds(Int64(second)))
        }
        #expect(!probes.isDeaf(at: start + .seconds(10)))
        #expect(!probes.hears(at: start + .seconds(10)), "only probes tell how late all is")
        #expect(probes.isDeaf(at: start + .milliseconds(11_600)))
    }

    // MARK: Logs that must not expire

    @Test func everyLogIsRenewedOnceInAQuarterOfItsTime() throws {
        let rooms = try (0..<100).map { try room("room-\($0)") }
        var renewal = LogRenewal(expiry: .seconds(400))
        var renewed: [RoomName] = []
        var most = 0
        for second in 0...200 {
            let due = renewal.next(at: start + .seconds(Int64(second)), of: { rooms })
            renewed += due
            most = max(most, due.count)
        }
        #expect(Set(renewed) == Set(rooms))
        #expect((190...210).contains(renewed.count), "twice in half of the time")
        #expect(most <= 3, "spread evenly")
        var never = LogRenewal(expiry: .zero)
        #expect(never.next(at: start, of: { rooms }).isEmpty)
    }
}

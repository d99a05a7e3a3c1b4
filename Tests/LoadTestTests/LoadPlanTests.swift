import ChatClient
import NIOCore
import Testing

@testable import LoadTest

@Suite("The plan of a load test")
struct LoadPlanTests {
    private let urls = ["ws://a/ws", "ws://b/ws", "ws://c/ws"]

    @Test("A wrong value names its flag and the range")
    func wrong() {
        func flag(_ body: () throws -> LoadPlan) -> String? {
            do {
                _ = try body()
                return nil
            } catch {
                return (error as? InvalidPlan)?.flag
            }
        }
        #expect(flag { try LoadPlan(urls: ["http://x"]) } == "url")
        #expect(flag { try LoadPlan(urls: urls, clients: 0) } == "clients")
        #expect(flag { try LoadPlan(urls: urls, clients: 5, rooms: 6) } == "rooms")
        #expect(flag { try LoadPlan(urls: urls, clients: 5, rooms: 6, members: .fixed(2)) } == nil)
        #expect(flag { try LoadPlan(urls: urls, clients: 5, rooms: 6, members: .fixed(6)) } == "members-per-room")
        #expect(flag { try LoadPlan(urls: urls, traffic: .rate(0)) } == "rate")
        #expect(flag { try LoadPlan(urls: urls, traffic: .rate(.nan)) } == "rate")
        #expect(flag { try LoadPlan(urls: urls, traffic: .window(0)) } == "window")
        #expect(flag { try LoadPlan(urls: urls, duration: .zero) } == "duration")
        #expect(flag { try LoadPlan(urls: urls, payload: 0...5) } == "payload")
        #expect(flag { try LoadPlan(urls: urls, churn: -1) } == "churn")
        #expect(flag { try LoadPlan(urls: urls, slowPercent: 101) } == "slow-percent")
        #expect(flag { try LoadPlan(urls: urls, threads: 0) } == "threads")
        let late = Fault(at: .seconds(10), action: .drop, target: .clients)
        #expect(flag { try LoadPlan(urls: urls, duration: .seconds(10), faults: [late]) } == "fault")
        #expect(flag { try LoadPlan(urls: urls) } == nil)
    }

    @Test("More connections than the system allows are refused with the way out")
    func descriptors() throws {
        let plan = try LoadPlan(urls: urls, clients: 2000)
        try plan.check(descriptors: 2064)
        try plan.check(descriptors: 0)
        #expect { try plan.check(descriptors: 2063) } throws: {
            ($0 as? InvalidPlan)?.description.contains("the system allows 2063") == true
        }
    }

    @Test("A payload's lengths are within the range, and spread over it")
    func payload() throws {
        let plan = try LoadPlan(urls: urls, payload: 100...199)
        let lengths = (0..<1000).map { plan.length(ofMessage: $0, in: 3) }
        #expect(lengths.allSatisfy { plan.payload.contains($0) })
        #expect(Set(lengths).count > 50)
        #expect(try LoadPlan(urls: urls, payload: 7...7).length(ofMessage: 5, in: 5) == 7)
    }

    @Test("So many of a hundred are slow")
    func slow() throws {
        let plan = try LoadPlan(urls: urls, clients: 1000, slowPercent: 10)
        #expect((0..<1000).count { plan.isSlow($0) } == 100)
        #expect((0..<100).count { plan.isSlow($0) } == 10)
        #expect(try !(0..<1000).contains { try LoadPlan(urls: urls).isSlow($0) })
    }

    @Test("Faults are in the order of their times")
    func faults() throws {
        let faults = [
            Fault(at: .seconds(5), action: .kill, target: .redis), Fault(at: .seconds(2), action: .roll, target: .all),
        ]
        #expect(try LoadPlan(urls: urls, faults: faults).faults.map(\.action) == [.roll, .kill])
    }

    @Test("Every scenario is a plan that can be run", arguments: Scenario.allCases)
    func scenarios(_ scenario: Scenario) throws {
        let settings = scenario.settings
        _ = try LoadPlan(
            urls: urls, clients: settings.clients, rooms: settings.rooms, members: settings.members,
            traffic: settings.traffic, duration: .seconds(settings.duration), payload: settings.payload,
            slowPercent: settings.slowPercent, faults: settings.faults)
        #expect(!scenario.summary.isEmpty)
    }

    @Test("When ports run out on the loopback network the next address is taken, by all who find it so once")
    func sources() throws {
        var sources = SourceAddresses()
        let target = try ServerAddress("ws://127.0.0.1:8080/ws")
        #expect(sources.next(to: target) == nil)
        let (first, second) = (sources.exhausted(nil, to: target), sources.exhausted(nil, to: target))
        #expect(first && second)
        let next = sources.next(to: target)
        #expect(next?.ipAddress == "127.0.0.2")
        let third = sources.exhausted(next, to: target)
        #expect(third && sources.next(to: target)?.ipAddress == "127.0.0.3")
        let elsewhere = try ServerAddress("ws://192.0.2.1:8080/ws")
        let far = sources.exhausted(nil, to: elsewhere)
        #expect(!far && sources.next(to: elsewhere) == nil)
    }

    @Test("Numbers for people")
    func decimals() {
        #expect(Decimals.grouped(1_234_567) == "1,234,567")
        #expect(Decimals.grouped(12) == "12")
        #expect(Decimals.grouped(-1234) == "-1,234")
        #expect(Decimals.fixed(1.005, digits: 1) == "1.0")
        #expect(Decimals.fixed(12.06, digits: 1) == "12.1")
        #expect(Decimals.fixed(7, digits: 0) == "7")
        #expect(Decimals.fixed(.infinity, digits: 0) == "-")
        #expect(Decimals.milliseconds(1.234) == "1.23")
        #expect(Decimals.milliseconds(123.456) == "123")
        #expect(Decimals.short(100_000) == "100000")
        #expect(Decimals.rounded(1234) == "1.2 k")
        #expect(Decimals.rounded(20_000_000) == "20 M")
        #expect(Decimals.bytes(2048) == "2 kB")
    }
}

import Testing

@testable import LoadTest

@Suite("The plan of a load test")
struct LoadPlanTests {
    private let urls = ["ws://a/ws", "ws://b/ws", "ws://c/ws"]

    @Test("Members of a room are spread over all addresses", arguments: [1, 2, 3, 7, 300])
    func spread(rooms: Int) throws {
        let plan = try LoadPlan(urls: urls, clients: rooms * 6, rooms: rooms)
        for room in 0..<rooms {
            let members = (0..<plan.clients).filter { plan.room(of: $0) == room }
            let addresses = Dictionary(grouping: members, by: plan.address(of:)).mapValues(\.count)
            #expect(addresses == [0: 2, 1: 2, 2: 2])
        }
    }

    @Test("All members of a room are on one thread, and no thread is without rooms")
    func threads() throws {
        let plan = try LoadPlan(urls: urls, clients: 20, rooms: 3, threads: 8)
        #expect(plan.threads == 3)
        for client in 0..<20 { #expect(plan.thread(of: client) == plan.room(of: client) % 3) }
    }

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
        #expect(flag { try LoadPlan(urls: []) } == "url")
        #expect(flag { try LoadPlan(urls: ["http://x"]) } == "url")
        #expect(flag { try LoadPlan(urls: urls, clients: 0) } == "clients")
        #expect(flag { try LoadPlan(urls: urls, clients: 5, rooms: 6) } == "rooms")
        #expect(flag { try LoadPlan(urls: urls, rate: 0) } == "rate")
        #expect(flag { try LoadPlan(urls: urls, rate: .nan) } == "rate")
        #expect(flag { try LoadPlan(urls: urls, duration: .zero) } == "duration")
        #expect(flag { try LoadPlan(urls: urls, payload: 0) } == "payload")
        #expect(flag { try LoadPlan(urls: urls, threads: 0) } == "threads")
        #expect(flag { try LoadPlan(urls: urls) } == nil)
    }

    @Test("More connections than the system allows are refused with the way out")
    func descriptors() {
        #expect { try DescriptorLimit.raise(forConnections: 2_000_000_000) } throws: {
            ($0 as? InvalidPlan)?.description.contains("file descriptors") == true
        }
    }

    @Test("Numbers for people")
    func decimals() {
        #expect(Decimals.grouped(1_234_567) == "1,234,567")
        #expect(Decimals.grouped(12) == "12")
        #expect(Decimals.grouped(-1234) == "-1,234")
        #expect(Decimals.fixed(1.005, digits: 1) == "1.0")
        #expect(Decimals.fixed(12.06, digits: 1) == "12.1")
        #expect(Decimals.fixed(7, digits: 0) == "7")
        #expect(Decimals.milliseconds(1234) == "1.23")
        #expect(Decimals.milliseconds(123_456) == "123")
        #expect(Decimals.short(100_000) == "100000")
    }
}

import Testing

@testable import LoadTest

@Suite("Faults on request")
struct FaultWordsTests {
    @Test("What can be said")
    func words() throws {
        #expect(try Fault("10s:kill=gateway-2") == Fault(at: .seconds(10), action: .kill, target: .gateway(2)))
        #expect(try Fault("1.5:flush=redis") == Fault(at: .seconds(1.5), action: .flush, target: .redis))
        for text in [
            "0s:stop=gateway-1", "3s:restart=redis", "3s:pause=balancer", "3s:resume=gateway-9", "4s:drop=subscription",
            "4s:drop=clients", "5s:roll=all",
        ] {
            #expect(try Fault(text).description == text)
        }
    }

    @Test(
        "What cannot be done is refused with what can",
        arguments: [
            "", "kill=redis", "10s", "10s:", "x:kill=redis", "-1s:kill=redis", "nan:kill=redis", "1s:burn=redis",
            "1s:kill=all", "1s:flush=gateway-1", "1s:kill=gateway-0", "1s:kill=gateway-", "1s:drop=redis", "1s:kill",
            "1s:roll=gateway-1", "1s:kill=subscription",
        ])
    func wrong(_ text: String) {
        #expect { try Fault(text) } throws: {
            let description = ($0 as? InvalidPlan)?.description ?? ""
            return description.hasPrefix("--fault: \"\(text)\"") && description.contains("flush=redis")
        }
    }
}

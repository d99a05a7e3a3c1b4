import ArgumentParser
import ChatClient
import LoadTest
import Testing

@testable import roost

@Suite("What roost load can be told")
struct LoadOptionsTests {
    private func plan(_ arguments: String...) throws -> LoadPlan {
        let command = try #require(try Roost.parseAsRoot(["load"] + arguments) as? LoadRunCommand)
        return try command.options.plan()
    }

    private func refusal(_ arguments: [String]) -> String? {
        do {
            _ = try Roost.parseAsRoot(["load"] + arguments)
            return nil
        } catch {
            return Roost.exitCode(for: error) == .validationFailure ? Roost.message(for: error) : ""
        }
    }

    @Test("A run without the word run, with everything that can be said of it")
    func everything() throws {
        let plan = try plan(
            "--url", "ws://a/ws", "--url", "wss://b", "--clients", "50", "--rooms", "100", "--members-per-room", "4",
            "--window", "32", "--duration", "5", "--payload", "64-512", "--ramp", "0", "--churn", "2.5",
            "--slow-percent", "10", "--threads", "2", "--patience", "3", "--fault", "1s:drop=clients",
            "--metrics", "http://a:9080/metrics")
        #expect(plan.addresses.map(\.description) == ["ws://a/ws", "wss://b/ws"])
        #expect(plan.clients == 50 && plan.rooms == 100 && plan.members == .fixed(4))
        #expect(plan.traffic == .window(32) && plan.duration == .seconds(5) && plan.payload == 64...512)
        #expect(plan.ramp == .zero && plan.churn == 2.5 && plan.slowPercent == 10 && plan.threads == 2)
        #expect(plan.patience == .seconds(3) && plan.faults.map(\.name) == ["drop=clients"])
    }

    @Test("A scenario says what is not said, on a cluster of its own unless there is another")
    func scenario() throws {
        let command = try #require(
            try Roost.parseAsRoot(["load", "--scenario", "node-kill", "--clients", "90"]) as? LoadRunCommand)
        let plan = try command.options.plan()
        #expect(command.options.localNodes == 3)
        #expect(plan.clients == 90 && plan.rooms == 60)
        #expect(plan.faults.map(\.name) == ["kill=gateway-2", "restart=gateway-2"])
        #expect(try self.plan("--scenario", "reconnect-storm", "--url", "ws://a/ws").clients == 3000)
        #expect(try self.plan("--local", "2").traffic == .rate(100))
    }

    @Test(
        "What is wrong is refused with code 64, and named",
        arguments: [
            ([], "--url"), (["--url", "http://x"], "--url"), (["--url", "ws://a", "--local", "2"], "--local"),
            (["--local", "0"], "--local"), (["--local", "10"], "--local"),
            (["--url", "ws://a", "--rate", "5", "--window", "5"], "--window"),
            (["--url", "ws://a", "--duration", "nan"], "--duration"),
            (["--url", "ws://a", "--duration", "1e300"], "--duration"),
            (["--url", "ws://a", "--patience", "inf"], "--patience"),
            (["--url", "ws://a", "--ramp", "-1"], "--ramp"),
            (["--url", "ws://a", "--payload", "9-1"], "--payload"),
            (["--url", "ws://a", "--payload", "-"], "--payload"),
            (["--url", "ws://a", "--members-per-room", "zip"], "--members-per-room"),
            (["--url", "ws://a", "--rooms", "200"], "--members-per-room"),
            (["--url", "ws://a", "--fault", "1s:kill=redis"], "--local"),
            (["--url", "ws://a", "--scenario", "node-kill"], "--local"),
            (["--local", "2", "--fault", "1s:kill=gateway-3"], "gateway-3"),
            (["--local", "2", "--no-balancer", "--fault", "1s:kill=balancer"], "--no-balancer"),
            (["--local", "2", "--fault", "1s:burn=redis"], "has no known action"),
            (["--local", "2", "--fault", "99s:kill=redis"], "--fault"),
            (["--local", "2", "--metrics", "http://a/metrics"], "--metrics"),
            (["merge"], "files"),
        ] as [([String], String)])
    func wrong(_ arguments: [String], _ name: String) throws {
        let said = try #require(refusal(arguments))
        #expect(said.contains(name), "\(said)")
    }
}

import Foundation
import LoadTest
import TestSupport
import Testing

extension ClusterTests {
    @Suite("The load test on a cluster of its own")
    struct LoadTests {
        @Test("It starts Redis, gateways and HAProxy, hurts them, and writes down that nobody lost anything")
        func faults() async throws {
            let folder = try ScratchFolder("load")
            defer { folder.remove() }
            let json = folder.url.appending(path: "report.json")
            let page = folder.url.appending(path: "report.html")
            let load = try GatewayProcess.command(
                [
                    "load", "--local", "2", "--clients", "24", "--rooms", "4", "--rate", "80", "--duration", "5",
                    "--ramp", "0.5", "--churn", "2", "--fault", "0.5s:drop=subscription", "--fault",
                    "1s:restart=gateway-2", "--fault", "3s:restart=redis", "--fault", "4.5s:drop=clients", "--json",
                    json.path(), "--report", page.path(),
                ], folder: folder.url)
            let ending = try await eventually("the load test ends", within: .seconds(120)) { load.endingSoFar }
            #expect(ending == .exited(0), "\(load.output)")

            let report = try LoadReport(json: Data(contentsOf: json))
            #expect(report.isClean, "\(report.table)")
            #expect(report.nodes == ["gateway-1", "gateway-2"])
            #expect(report.counts.sent == 400 && report.counts.acknowledged == 400)
            #expect(report.counts.deliveries.delivered == 2400)
            #expect(
                report.faults.map(\.name) == [
                    "drop=subscription", "restart=gateway-2", "restart=redis", "drop=clients",
                ]
            )
            #expect(report.counts.moved > 0 && report.counts.cut > 0)
            #expect(report.counts.resumes > 0 && report.resumeSuccess == 1)
            // The one that was not restarted tells what it spent.
            #expect(report.costs.map(\.node) == ["gateway-1", "gateway-2"])
            #expect(report.costs.first?.cpuMicrosecondsPerDelivery != nil)
            let html = try String(contentsOf: page, encoding: .utf8)
            #expect(html.contains("<svg") && html.contains("drop=subscription") && html.hasSuffix("</html>\n"))
        }

        @Test("Without Redis on this machine it says what to install")
        func missingProgram() async throws {
            let folder = try ScratchFolder("load")
            defer { folder.remove() }
            let load = try GatewayProcess.command(
                ["load", "--local", "1", "--no-balancer"], environment: ["PATH": folder.url.path()], folder: folder.url)
            let ending = try await eventually("the load test ends", within: .seconds(60)) { load.endingSoFar }
            #expect(ending == .exited(2))
            #expect(load.output.contains("redis-server, which is not installed: apt-get install redis-server"))
        }
    }
}

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

        @Test(
            "A gateway whose build does not repair is caught: exit code 1, and exactly its members without what it lost",
            arguments: [true, false])
        func brokenBuild(repairs: Bool) async throws {
            try await RedisServer.run { redis in
                let folder = try ScratchFolder("load")
                defer { folder.remove() }
                let good = try await GatewayProcess.start(node: "gateway-1", redis: redis.url, folder: folder.url)
                let json = folder.url.appending(path: "report.json")
                try await good.ready()
                try await RepairlessNode.run(redis: redis.url, repairs: repairs, losing: 7) { url, losses in
                    // Six members in each room, three on each node; twenty messages to each room.
                    let load = try GatewayProcess.command(
                        [
                            "load", "--url", good.url, "--url", url, "--clients", "12", "--rooms", "2", "--rate", "40",
                            "--duration", "1", "--ramp", "0", "--patience", "2", "--json", json.path(),
                        ], folder: folder.url)
                    let ending = try await eventually("the load test ends", within: .seconds(60)) { load.endingSoFar }
                    let report = try LoadReport(json: Data(contentsOf: json))
                    let lost = losses()
                    #expect(Set(lost.map(\.room)).count == 2)
                    guard !repairs else {
                        #expect(ending == .exited(0) && report.isClean, "\(report.table)")
                        return
                    }
                    #expect(ending == .exited(1), "\(load.output)")
                    #expect(load.output.contains("BROKEN: \(lost.count * 3) missing"), "\(load.output)")
                    #expect(report.counts.deliveries.missing == lost.count * 3)
                    #expect(report.counts.missingAcknowledged == lost.count * 3)
                    #expect(report.offences.allSatisfy { $0.kind == .missing && $0.node == "gateway-2" })
                    let found = Set(report.offences.map { RepairlessNode.Loss(room: $0.room, position: $0.position) })
                    #expect(found == lost)
                    // Users are spread over the nodes in turn.
                    let odd = Set((0..<12).filter { $0 % 2 == 1 }.map { "load-\(report.run)-u\($0)" })
                    #expect(Set(report.offences.map(\.user)) == odd)
                }
                await good.kill()
            }
        }

        @Test("It connects by TLS to who has a certificate of those that it was given")
        func tls() async throws {
            let folder = try ScratchFolder("load")
            defer { folder.remove() }
            let files = try await TestCertificate.make(in: folder.url)
            let gateway = try await GatewayProcess.start(
                node: "tls", redis: nil, arguments: ["--tls-cert", files.certificate, "--tls-key", files.key],
                folder: folder.url)
            try await gateway.ready()
            let load = try GatewayProcess.command(
                [
                    "load", "--url", "wss://localhost:\(gateway.port)/ws", "--ca-file", files.certificate, "--clients",
                    "4",
                    "--rooms", "1", "--rate", "20", "--duration", "1", "--ramp", "0",
                ], folder: folder.url)
            let ending = try await eventually("the load test ends", within: .seconds(60)) { load.endingSoFar }
            #expect(ending == .exited(0), "\(load.output)")
            await gateway.kill()
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

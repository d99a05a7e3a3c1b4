import Foundation
import NIOCore
import TestSupport
import Testing

extension ClusterTests {
    @Suite("Operations")
    struct OperationsTests {
        @Test("Health, readiness and metrics are on the operations port, and on no public one")
        func operationsPort() async throws {
            try await Cluster.run(nodes: 1) { cluster in
                let node = cluster.nodes[0]
                let alice = try await Guest.connect("alice", to: node, in: "general")
                try await alice.post("counted", to: "general", id: "1")
                try await alice.event("ack") { $0.type == "ack" }
                #expect(try await node.ops("/healthz").status == 200)
                #expect(try await node.ops("/readyz").status == 200)
                let metrics = try await node.ops("/metrics")
                #expect(metrics.status == 200)
                #expect(metrics.headers["content-type"]?.hasPrefix("text/plain") == true)
                try checkMetrics(metrics.body)
                for port in [node.port, cluster.balancer.port] {
                    for path in [
                        "/healthz", "/readyz", "/metrics", "/echo", "/admin", "/debug/pprof", "/.env", "/server-status",
                        "/metrics/", "//metrics", "/./metrics", "/ws/../metrics", "/%6detrics", "/METRICS",
                        "/metrics?x=1", "/metrics%00",
                    ] {
                        #expect(try await HTTPProbe.get(path, port: port).status == 404, "\(path)")
                    }
                    #expect(try await HTTPProbe.get("/", port: port).status == 200)
                }
            }
        }

        /// The text format of Prometheus, version 0.0.4, and what must be in it.
        private func checkMetrics(_ text: String) throws {
            #expect(text.hasSuffix("\n"))
            let sample = /[a-zA-Z_:][a-zA-Z0-9_:]*(\{[^}]*\})? (NaN|[+-]?(Inf|[0-9.eE+-]+))/
            let lines = text.split(separator: "\n")
            for line in lines where !line.hasPrefix("#") { #expect(line.wholeMatch(of: sample) != nil, "\(line)") }
            let types = lines.filter { $0.hasPrefix("# TYPE ") }.joined(separator: "\n")
            for subject in ["connections", "rooms", "messages", "redis"] {
                #expect(types.contains(subject), "\(subject)")
            }
            #expect(types.contains(" histogram"))
            #expect(lines.contains { $0.contains(#"_bucket{"#) && $0.contains(#"le="+Inf""#) && !$0.hasSuffix(" 0") })
        }

        @Test("A gateway whose Redis is not there yet listens, says that it is not ready, and becomes ready")
        func redisComesLater() async throws {
            let folder = try ScratchFolder("late-redis")
            defer { folder.remove() }
            let redis = try await RedisServer.start()
            await redis.kill()
            let node = try await GatewayProcess.start(node: "early", redis: redis.url, folder: folder.url)
            #expect(try await node.ops("/healthz").status == 200)
            #expect(try await node.ops("/readyz").status == 503)
            do {
                _ = try await Guest.connect("alice", port: node.port)
                Issue.record("a gateway without Redis took a client")
            } catch let refusal as RefusedHandshake {
                #expect(refusal.answer?.status == 503)
                #expect(refusal.answer?.body.contains(#""error":"unavailable""#) == true)
            }
            try await redis.restart()
            try await node.ready()
            _ = try await Guest.connect("alice", to: node, in: "general")
            await node.kill()
            await redis.stop()
        }

        @Test("While Redis is away sessions stand, new ones are refused, and what is asked is answered 'unavailable'")
        func redisGoesAway() async throws {
            try await Cluster.run(nodes: 1) { cluster in
                let node = cluster.nodes[0]
                let alice = try await Guest.connect("alice", to: node, in: "general")
                await cluster.redis.kill()
                try await node.unready(within: .seconds(10))
                try await alice.post("lost?", to: "general", id: "1")
                let answer = try await alice.event("an answer", within: .seconds(5)) { $0.id == "1" }
                #expect(answer.type == "error")
                #expect(answer.code == "unavailable")
                for port in [node.port, cluster.balancer.port] {
                    do {
                        _ = try await Guest.connect("bob", port: port)
                        Issue.record("a client was taken while Redis was away")
                    } catch let refusal as RefusedHandshake {
                        #expect(refusal.answer?.status == 503)
                        #expect(refusal.answer?.body.contains(#""error":"unavailable""#) == true)
                    }
                }

                try await cluster.redis.restart()
                try await node.ready()
                // As a client does it: again for as long as the answer is 'unavailable'.
                var stored: Event
                repeat {
                    try await alice.send(
                        #"{"type":"message","id":"1","room":"general","text":"lost?","retry":true}"#)
                    stored = try await alice.event("an answer") { $0.id == "1" && $0.type != "message" }
                } while stored.code == "unavailable"
                #expect(stored.type == "ack")
                try await alice.pastOrNext("the message") { $0.type == "message" && $0.id == "1" }
            }
        }

        @Test("Without Redis one gateway is a whole chat server")
        func inMemory() async throws {
            let folder = try ScratchFolder("memory")
            defer { folder.remove() }
            let node = try await GatewayProcess.start(node: "alone", redis: nil, folder: folder.url)
            try await node.ready()
            let alice = try await Guest.connect("alice", to: node, in: "general")
            let bob = try await Guest.connect("bob", to: node, in: "general")
            try await alice.post("hello", to: "general", id: "1")
            try await bob.event("alice's message") { $0.type == "message" && $0.text == "hello" }
            await node.kill()
        }

        @Test(
            "A port that is taken is named, with the flag that chooses another",
            arguments: ["--listen", "--ops-listen"])
        func takenPort(flag: String) async throws {
            let folder = try ScratchFolder("taken-port")
            defer { folder.remove() }
            let first = try await GatewayProcess.start(node: "first", redis: nil, folder: folder.url)
            let port = flag == "--listen" ? first.port : first.opsPort
            let other = flag == "--listen" ? "--ops-listen" : "--listen"
            let second = try GatewayProcess.command(
                ["serve", flag, "127.0.0.1:\(port)", other, "127.0.0.1:0"], folder: folder.url)
            let ending = try await eventually("the second gives up") { second.endingSoFar }
            guard case .exited(let code) = ending else {
                Issue.record("ended with \(ending)")
                return
            }
            #expect(code != 0)
            #expect(second.output.contains("127.0.0.1:\(port) is already in use"))
            await first.kill()
        }

        @Test(
            "Wrong flags end with code 64 and say what is wrong",
            arguments: [
                (["serve", "--loops", "0"], "loops"), (["serve", "--nonsense"], "--nonsense"),
                (["serve", "--listen", "nowhere"], "listen"), (["serve", "--redis", "localhost"], "redis"),
                (["serve", "--config", "/nowhere.json"], "/nowhere.json"), (["dance"], "dance"),
            ])
        func wrongFlags(arguments: [String], named: String) async throws {
            let folder = try ScratchFolder("flags")
            defer { folder.remove() }
            let process = try GatewayProcess.command(arguments, folder: folder.url)
            #expect(try await eventually("it ends") { process.endingSoFar } == .exited(64))
            #expect(process.output.contains(named))
        }

        @Test("Help ends with code 0", arguments: [["--help"], ["serve", "--help"]])
        func help(arguments: [String]) async throws {
            let folder = try ScratchFolder("help")
            defer { folder.remove() }
            let process = try GatewayProcess.command(arguments, folder: folder.url)
            #expect(try await eventually("it ends") { process.endingSoFar } == .exited(0))
            #expect(process.output.isEmpty == false)
        }

        @Test("The log is one JSON object per line when asked for")
        func jsonLog() async throws {
            let folder = try ScratchFolder("json-log")
            defer { folder.remove() }
            let node = try await GatewayProcess.start(
                node: "talker", redis: nil, arguments: ["--log-format", "json"], folder: folder.url)
            node.terminate()
            #expect(try await node.end() == .exited(0))
            let lines = node.output.split(separator: "\n")
            #expect(lines.isEmpty == false)
            for line in lines {
                let object = try? JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any]
                #expect(object?["level"] is String && object?["message"] is String, "\(line)")
            }
        }
    }
}

import ChatGateway
import Foundation
import NIOCore
import NIOPosix
import Synchronization
import TestSupport
import Testing

extension ClusterTests {
    /// What clients say is said on, and never done.
    @Suite("Injection")
    struct InjectionTests {
        /// Texts that mean something to Redis, Lua, a shell, a log, or JSON.
        static let texts = [
            "]] return redis.call('FLUSHALL') --[[", "\\r\\n*1\\r\\n$8\\r\\nFLUSHALL\\r\\n",
            "'; redis.call('FLUSHALL') --",
            "{general}:log", "\\u0000\\u001b[2J", "$(reboot) `reboot`", "%s%n%x", "\\\"}],\\\"type\\\":\\\"ack\\\"",
            "-ERR no\\r\\n", "EVAL 1 0",
        ]

        @Test("Whatever is in names, texts, ids and data, Redis hears of no key or command but ours")
        func redis() async throws {
            try await Cluster.run(nodes: 1) { cluster in
                let monitor = try await RawConnection.connect(host: "127.0.0.1", port: cluster.redis.port)
                try await monitor.send("MONITOR\r\n")
                let node = cluster.nodes[0]
                let mallory = try await Guest.connect("mallory", to: node, in: "general")
                let alice = try await Guest.connect("alice", to: node, in: "general")
                try await mallory.join("general:log")
                for (number, text) in Self.texts.enumerated() {
                    for frame in [
                        #"{"type":"join","id":"j\#(number)","room":"\#(text)"}"#,
                        #"{"type":"resume","id":"r\#(number)","rooms":{"\#(text)":"0-0"}}"#,
                        #"{"type":"history","id":"h\#(number)","room":"\#(text)"}"#,
                        #"{"type":"signal","room":"general","data":{"\#(text)":"\#(text)"}}"#,
                        #"{"type":"message","id":"\#(text)","room":"general","text":"\#(text)","data":["\#(text)"]}"#,
                        #"{"type":"message","id":"\#(text)","room":"general","text":"\#(text)","retry":true}"#,
                    ] { try await mallory.send(frame) }
                    let meant = try JSONDecoder().decode([String].self, from: Data("[\"\(text)\"]".utf8))[0]
                    // What it says arrives, as it was said.
                    try await alice.event(text) { $0.type == "message" && $0.text == meant && $0.id == meant }
                }
                _ = try? await RawWebSocket.open(port: node.port, query: "user=a%7Db%0d%0aFLUSHALL")
                try await mallory.catchUp()
                _ = try await RedisCLI.run(
                    ["-p", "\(cluster.redis.port)", "PING", "the end"], folder: cluster.folder)
                let heard = try await monitor.receive("all that Redis did") { bytes -> String? in
                    let text = String(buffer: bytes)
                    return text.contains("\"the end\"") ? text : nil
                }
                await monitor.close()
                try check(heard ?? "")
            }
        }

        /// Looks at what MONITOR tells: the commands of gateways, and those of their scripts, which it marks with `lua`.
        private func check(_ heard: String) throws {
            let name = "@?[A-Za-z0-9][A-Za-z0-9._:-]*"
            let legal = try Regex("roost:([a-z]+(:[^ ]+)?|\\{\(name)\\}(:[a-z]+)?)")
            var scripted = 0
            for line in heard.split(whereSeparator: \.isNewline) where line.contains("] \"") {
                let words = line.components(separatedBy: "\" \"").map { $0.trimmingCharacters(in: ["\""]) }
                let command = words[0].components(separatedBy: "] \"").last?.lowercased() ?? ""
                #expect(!["flushall", "flushdb", "keys", "psubscribe"].contains(command), "\(line)")
                if line.contains(" lua] ") { scripted += 1 }
                switch command {
                // The first time a script goes itself, always the same one.
                case "eval", "evalsha":
                    let count = words.count > 2 ? Int(words[2]) ?? 0 : 0
                    for key in words.dropFirst(3).prefix(count) { #expect(key.wholeMatch(of: legal) != nil, "\(line)") }
                case "subscribe", "unsubscribe":
                    for channel in words.dropFirst() { #expect(channel.wholeMatch(of: legal) != nil, "\(line)") }
                case "xinfo":
                    #expect(words[2].wholeMatch(of: legal) != nil, "\(line)")
                case _ where line.contains(" lua] ") && words.count > 1, "publish", "sadd", "srem", "zadd", "zrem":
                    #expect(words[1].wholeMatch(of: legal) != nil, "\(line)")
                default:
                    break
                }
            }
            #expect(scripted > 30)
        }

        @Test("Who says to be somebody else is not believed, and nobody's id takes another's message away")
        func spoofing() async throws {
            try await Cluster.run(nodes: 1) { cluster in
                let node = cluster.nodes[0]
                let alice = try await Guest.connect("alice", to: node, in: "general")
                let mallory = try await Guest.connect("mallory", to: node, in: "general")
                try await alice.post("mine", to: "general", id: "same")
                try await alice.event("her own") { $0.text == "mine" && $0.user == "alice" }
                let fields = #""room":"general","user":"alice","position":"9-9","time":1,"session":"x","to":"alice""#
                try await mallory.send(#"{"type":"message","id":"same","text":"forged","retry":true,\#(fields)}"#)
                try await mallory.send(#"{"type":"typing",\#(fields)}"#)
                try await mallory.send(#"{"type":"signal","data":1,\#(fields)}"#)
                let forged = try await alice.event("the other with the same id") { $0.text == "forged" }
                #expect(forged.user == "mallory")
                #expect(forged.position != "9-9" && forged.to == nil && forged.time != 1)
                for type in ["typing", "signal"] {
                    #expect(try await alice.pastOrNext(type) { $0.type == type }.user == "mallory")
                }
            }
        }

        @Test("Whatever address a stranger names, a gateway connects to none")
        func fetching() async throws {
            let visits = Atomic(0)
            let server = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
                .childChannelInitializer { channel in
                    visits.add(1, ordering: .relaxed)
                    return channel.eventLoop.makeSucceededVoidFuture()
                }.bind(host: "127.0.0.1", port: 0).get()
            let port = try #require(server.localAddress?.port)
            let host = "127.0.0.1:\(port)"
            try await GatewayProcess.run(["--auth-secret", IdentityTests.secret]) { gateway in
                // A good token but for where it points to, so that all of it is looked at.
                let key = try await TokenKey.secret(Array(IdentityTests.secret.utf8), algorithm: .hs256)
                let claims = #"{"sub":"mallory","iss":"http://\#(host)/","exp":4102444800}"#
                let header = #"{"alg":"HS256","jku":"http://\#(host)/a","x5u":"http://\#(host)/b"}"#
                let signed = "\(Base64URL.encode(header.utf8)).\(Base64URL.encode(claims.utf8))"
                let token = "\(signed).\(Base64URL.encode(try key.sign(Array(signed.utf8))))"
                let named = #"{"alg":"HS256","kid":"http://\#(host)/c"}"#
                let unknown = "\(Base64URL.encode(named.utf8)).\(Base64URL.encode(claims.utf8)).AAAA"
                _ = try? await RawWebSocket.open(port: gateway.port, query: "token=\(unknown)")
                let mallory = try await Guest.connect("mallory", port: gateway.port, query: "&token=\(token)")
                try await mallory.join("general")
                try await mallory.post("http://\(host)/d", to: "general", id: "http://\(host)/e")
                try await mallory.event("the message") { $0.text == "http://\(host)/d" }
                for request in [
                    "GET http://\(host)/ HTTP/1.1\r\nHost: \(host)\r\n\r\n",
                    "CONNECT \(host) HTTP/1.1\r\nHost: \(host)\r\n\r\n",
                    "GET / HTTP/1.1\r\nHost: \(host)\r\nForwarded: host=\(host)\r\nX-Forwarded-Host: \(host)\r\n"
                        + "Origin: http://\(host)\r\nReferer: http://\(host)/\r\n\r\n",
                ] { _ = try await HTTPProbe.send(request, port: gateway.port) }
                try await mallory.catchUp()
                await mallory.socket.cut()
            }
            #expect(visits.load(ordering: .relaxed) == 0)
            // It would have been counted.
            let visitor = try await RawConnection.connect(host: "127.0.0.1", port: port)
            try await eventually("a visit") { visits.load(ordering: .relaxed) > 0 ? true : nil }
            await visitor.close()
            try await server.close()
        }

        @Test("No word of a client begins a line of the log, or moves a cursor", arguments: ["json", "text"])
        func logs(format: String) async throws {
            let folder = try ScratchFolder("forged-log")
            defer { folder.remove() }
            let node = try await GatewayProcess.start(
                node: "talker", redis: nil, arguments: ["--log-format", format, "--log-level", "trace"],
                folder: folder.url)
            let forged = "%0a%0d%1b[2J2026-01-01T00:00:00Z%20critical%20forged"
            _ = try await HTTPProbe.get("/\(forged)", port: node.port, headers: ["X-Forwarded-For": "\u{1b}[2J"])
            _ = try? await RawWebSocket.open(port: node.port, query: "user=\(forged)")
            let mallory = try await Guest.connect("mallory", to: node, in: "general")
            for text in Self.texts { try await mallory.post(text, to: "general", id: text) }
            try await mallory.send(#"{"type":"\u001b[2J\nforged","room":"\n2026 critical forged"}"#)
            try await mallory.socket.send(.init(firstByte: 0x88, payload: [0x0B, 0xB8] + Array("\nforged".utf8)))
            _ = try await mallory.closeCode()
            await mallory.socket.cut()
            try await eventually("the end is logged") { node.output.contains("A session ended") ? true : nil }
            for line in node.output.split(separator: "\n") {
                #expect(!line.unicodeScalars.contains { $0.value < 0x20 || $0.value == 0x7F }, "\(line)")
                if format == "json" {
                    #expect((try? JSONSerialization.jsonObject(with: Data(line.utf8))) is [String: Any], "\(line)")
                } else {
                    #expect(line.prefixMatch(of: #/\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\S* /#) != nil, "\(line)")
                    #expect(!line.contains(#/^\S+ +critical/#), "\(line)")
                }
            }
            await node.kill()
        }
    }
}

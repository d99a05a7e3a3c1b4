import Deflate
import Foundation
import NIOCore
import TestSupport
import Testing

extension ClusterTests {
    @Suite("Compression")
    struct CompressionTests {
        private static let offer = ["Sec-WebSocket-Extensions": "permessage-deflate; client_max_window_bits"]

        private static func compressed(_ json: [UInt8]) throws -> RawWebSocket.Frame {
            var out = ByteBuffer()
            guard json.withUnsafeBytes({ Deflater().deflate($0, into: &out) }) else {
                throw Impatience(description: "too short to be compressed")
            }
            return .init(firstByte: 0xC1, payload: Array(out.readableBytesView))
        }

        /// The next event of a type, whether its frame was compressed, and its bytes.
        private func next(_ type: String, on socket: RawWebSocket) async throws -> (json: String, wasCompressed: Bool) {
            while true {
                let json: String
                let wasCompressed: Bool
                switch try await socket.next() {
                case .text(let text): (json, wasCompressed) = (text, false)
                case .compressedText(let bytes):
                    let text = try Inflater().inflate(ByteBuffer(bytes: bytes), limit: 1 << 20)
                    (json, wasCompressed) = (String(buffer: text), true)
                case .ping, .pong: continue
                case .close, .end: throw Impatience(description: "closed before \(type)")
                }
                if json.hasPrefix(#"{"type":"\#(type)""#) { return (json, wasCompressed) }
            }
        }

        @Test("Who agreed to it sends and gets long messages compressed, who did not gets the same in plain text")
        func mixed() async throws {
            try await Cluster.run(nodes: 2, arguments: ["--compression"]) { cluster in
                let plain = try await Guest.connect("plain", to: cluster.nodes[1], in: "general")
                let alice = try await RawWebSocket.open(
                    port: cluster.nodes[0].port, query: "user=alice", headers: Self.offer)
                let small = try await RawWebSocket.open(
                    port: cluster.nodes[0].port, query: "user=small",
                    headers: ["Sec-WebSocket-Extensions": "permessage-deflate; server_max_window_bits=9"])
                for socket in [alice, small] {
                    try await socket.send(.text(#"{"type":"join","id":"1","room":"general"}"#))
                    #expect(try await next("joined", on: socket).wasCompressed == false)
                }
                let text = String(repeating: "what is said again and again ", count: 100)
                let message = #"{"type":"message","id":"2","room":"general","text":"\#(text)"}"#
                try await alice.send(try Self.compressed(Array(message.utf8)))
                #expect(try await plain.event("the message") { $0.type == "message" }.text == text)
                let own = try await next("message", on: alice)
                #expect(own.wasCompressed && own.json.contains(text))
                let others = try await next("message", on: small)
                #expect(!others.wasCompressed && others.json.contains(text))

                // Answers as well; what is short is left as it is.
                try await alice.send(.text(#"{"type":"history","id":"3","room":"general"}"#))
                let history = try await next("history", on: alice)
                #expect(history.wasCompressed && history.json.contains(text))
                try await plain.post("short", to: "general", id: "4")
                #expect(try await next("message", on: alice).wasCompressed == false)
                await alice.cut()
                await small.cut()
            }
        }

        @Test("Unless the node compresses, nobody does, and a compressed frame is a fault")
        func off() async throws {
            try await Cluster.run(nodes: 1) { cluster in
                let port = cluster.nodes[0].port
                let socket = try await RawWebSocket.open(port: port, query: "user=alice", headers: Self.offer)
                try await socket.send(try Self.compressed(Array(repeating: 0x20, count: 1000)))
                var incoming = try await socket.next()
                while case .text = incoming { incoming = try await socket.next() }
                #expect(incoming == .close(1002))
                await socket.cut()
            }
        }

        private static func isText(_ incoming: RawWebSocket.Incoming) -> Bool {
            switch incoming {
            case .text, .compressedText: true
            default: false
            }
        }

        @Test(
            "A small message that would become a huge one is ended with 1009, and twenty at once cost the node little")
        func bombs() async throws {
            try await Cluster.run(nodes: 1, arguments: ["--compression"]) { cluster in
                let node = cluster.nodes[0]
                let bob = try await Guest.connect("bob", to: node, in: "general")
                let bomb = try Self.compressed([UInt8](repeating: 0x20, count: 12_000_000))
                #expect(bomb.payload.count < 65_536)
                let before = node.residentBytes
                try await withThrowingTaskGroup(of: RawWebSocket.Incoming.self) { tasks in
                    for number in 0..<20 {
                        tasks.addTask {
                            let socket = try await RawWebSocket.open(
                                port: node.port, query: "user=mallory-\(number)", headers: Self.offer)
                            try await socket.send(bomb)
                            var incoming = try await socket.next()
                            // The welcome, and that it is in its inbox.
                            while Self.isText(incoming) { incoming = try await socket.next() }
                            await socket.cut()
                            return incoming
                        }
                    }
                    for try await ending in tasks { #expect(ending == .close(1009)) }
                }
                #expect(node.residentBytes - before < 50_000_000)
                try await bob.catchUp()
            }
        }
    }
}

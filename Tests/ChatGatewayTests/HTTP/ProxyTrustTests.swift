import NIOCore
import Synchronization
import TestSupport
import Testing

@testable import ChatGateway

@Suite("Where a request comes from", .timeLimit(.minutes(1)))
struct ProxyTrustTests {
    @Test(
        "Only what a trusted proxy wrote counts",
        arguments: [
            ([], "10.0.0.1", ["1.2.3.4"], "10.0.0.1"),
            (["10.0.0.0/8"], "10.0.0.1", ["1.2.3.4"], "1.2.3.4"),
            (["10.0.0.0/8"], "11.0.0.1", ["1.2.3.4"], "11.0.0.1"),
            (["10.0.0.0/8"], "10.0.0.1", [], "10.0.0.1"),
            (["10.0.0.0/8"], "10.0.0.1", ["6.6.6.6, 1.2.3.4"], "1.2.3.4"),
            (["10.0.0.0/8"], "10.0.0.1", ["6.6.6.6, 1.2.3.4 , 10.9.9.9"], "1.2.3.4"),
            (["10.0.0.0/8"], "10.0.0.1", ["6.6.6.6", "1.2.3.4"], "1.2.3.4"),
            (["10.0.0.0/8"], "10.0.0.1", ["1.2.3.4, nonsense"], "10.0.0.1"),
            (["10.0.0.0/8"], "10.0.0.1", ["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
            (["127.0.0.1"], "::ffff:127.0.0.1", ["1.2.3.4"], "1.2.3.4"),
            (["::1", "fd00::/8"], "fd12::1", ["2001:db8::1"], "2001:db8::1"),
            (["10.0.0.0/9"], "10.128.0.1", ["1.2.3.4"], "10.128.0.1"),
        ] as [([String], String, [String], String)])
    func client(trusted: [String], peer: String, fields: [String], expected: String) throws {
        #expect(try #require(ProxyTrust(trusted)).client(of: peer, forwardedFor: fields) == expected)
    }

    @Test(
        "What is no address and no range is refused",
        arguments: ["", "a", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0/8", "::/129"])
    func malformed(text: String) {
        #expect(ProxyTrust([text]) == nil)
    }

    @Test("A forged header changes nothing for who connects directly")
    func forged() async throws {
        for (trusted, expected) in [([], "127.0.0.1"), (["127.0.0.1"], "6.6.6.6")] as [([String], String)] {
            let seen = Mutex("")
            let proxies = try #require(ProxyTrust(trusted))
            let door = TestDoor { request in
                seen.withLock { $0 = request.peerAddress }
                return .success(EchoSession())
            }
            try await withListener(door: door, { $0.proxies = proxies }) { address in
                try await RawClient.connect(to: address) { client in
                    let answer = try await client.upgrade("/ws", fields: "X-Forwarded-For: 6.6.6.6\r\n")
                    #expect(answer.status == 101)
                }
            }
            #expect(seen.withLock { $0 } == expected)
        }
    }

    @Test("Who says nothing takes one of few places, and gives it back by saying something or going")
    func pendingHandshakes() async throws {
        let pending = PendingHandshakes(limit: 1)
        try await withListener({ $0.pendingHandshakes = pending }) { address in
            try await RawClient.connect(to: address) { silent in
                try await eventually("the first is counted") { pending.count == 1 ? true : nil }
                try await RawClient.connect(to: address) { second in
                    let bytes = try await second.end()
                    #expect(bytes == 0)
                }
                #expect(pending.dropped == 1)
                let answer = try await silent.upgrade()
                #expect(answer.status == 101)
                try await RawClient.connect(to: address) { third in
                    let answer = try await third.upgrade()
                    #expect(answer.status == 101)
                }
            }
            try await eventually("all have said something or gone") { pending.count == 0 ? true : nil }
            try await RawClient.connect(to: address) { fourth in
                let answer = try await fourth.upgrade()
                #expect(answer.status == 101)
            }
            #expect(pending.dropped == 1)
        }
    }

    @Test("One address takes no more places than it may; a balancer stands for many addresses")
    func pendingByAddress() async throws {
        for (trusted, dropped) in [([], 1), (["127.0.0.1"], 0)] as [([String], Int)] {
            let pending = PendingHandshakes(limit: 0, limitPerAddress: 1)
            let proxies = try #require(ProxyTrust(trusted))
            try await withListener({
                $0.pendingHandshakes = pending
                $0.proxies = proxies
            }) { address in
                try await RawClient.connect(to: address) { _ in
                    try await eventually("the first is counted") { pending.count == 1 ? true : nil }
                    try await RawClient.connect(to: address) { second in
                        if dropped > 0 {
                            let bytes = try await second.end()
                            #expect(bytes == 0)
                        } else {
                            let answer = try await second.upgrade()
                            #expect(answer.status == 101)
                        }
                    }
                }
                try await eventually("both have gone") { pending.count == 0 ? true : nil }
                try await RawClient.connect(to: address) { third in
                    let answer = try await third.upgrade()
                    #expect(answer.status == 101)
                }
                #expect(pending.dropped == dropped)
            }
        }
    }
}

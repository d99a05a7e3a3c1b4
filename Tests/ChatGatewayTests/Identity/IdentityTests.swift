import ChatProtocol
import NIOCore
import TestSupport
import Testing

@testable import ChatGateway

@Suite("Who comes, and what they may")
struct IdentityTests {
    @Test(
        "A pattern stands for names",
        arguments: [
            ("general", "general", true), ("general", "General", false), ("general", "general2", false),
            ("*", "general", true), ("*", "@bob", true), ("@*", "@bob", true), ("@*", "bob", false),
            ("team-*", "team-", true), ("team-*", "team", false), ("*-dev", "a-dev-dev", true),
            ("a*b*c", "abc", true), ("a*b*c", "aXbYbZc", true), ("a*b*c", "acb", false), ("**", "x", true),
            ("*a*a*a*a*a*a*a*b", String(repeating: "a", count: 128), false),
        ])
    func patterns(pattern: String, name: String, isMatch: Bool) throws {
        #expect(try #require(RoomPattern(pattern)).matches(.of(name)) == isMatch)
    }

    @Test("What no name could match is no pattern", arguments: ["", "a b", "ä", "a/b", "[a]", "a?", "a\n"])
    func noPatterns(text: String) {
        #expect(RoomPattern(text) == nil)
    }

    @Test("An inbox is its owner's, whatever the patterns say")
    func inboxes() throws {
        let all = Rights(join: [try #require(RoomPattern("*"))])
        #expect(all.mayRead(.of("@alice"), as: .of("alice")))
        #expect(!all.mayRead(.of("@bob"), as: .of("alice")))
        #expect(Rights(join: []).mayRead(.of("@alice"), as: .of("alice")))
        #expect(!Rights(join: []).mayRead(.of("general"), as: .of("alice")))
    }

    @Test("The first place that has a token decides")
    func credentials() {
        let protocols = ["roost.v1", "bearer.c"]
        #expect(Credential.find(authorization: ["Bearer a"], query: "b", protocols: protocols) == .bearer("a"))
        #expect(Credential.find(authorization: ["bearer  a"], query: nil) == .bearer("a"))
        #expect(Credential.find(authorization: ["Basic a"], query: "b", protocols: protocols) == .bearer("b"))
        #expect(Credential.find(authorization: [], query: nil, protocols: protocols) == .bearer("c"))
        #expect(Credential.find(authorization: [], query: nil, protocols: ["roost.v1"]) == .none)
        #expect(Credential.find(authorization: ["Bearer"], query: "b") == .bearer(""))
        #expect(Credential.find(authorization: ["Bearer a", "Bearer b"], query: nil) == .unclear)
        #expect(Credential.find(authorization: [], query: nil, protocols: ["bearer.a", "bearer.b"]) == .unclear)
    }

    @Test("API keys are known by their hashes")
    func apiKeys() throws {
        // printf %s key | sha256sum
        let hash = "2c70e12b7a0646f92279f427c7b38e7334d8e5389cff167a1dc30e73f826b683"
        let keys = try #require(APIKeys(hashes: [String(repeating: "0", count: 64), hash.uppercased()]))
        #expect(keys.contains("key"))
        #expect(!keys.contains("Key"))
        #expect(!keys.contains(hash))
        #expect(!keys.contains(""))
        #expect(APIKeys(hashes: ["key"]) == nil)
        #expect(APIKeys(hashes: [String(repeating: "g", count: 64)]) == nil)
    }

    @Test("Base64 for URLs has one spelling for each value")
    func base64() {
        for length in 0...20 {
            let bytes = (0..<length).map { UInt8(truncatingIfNeeded: $0 &* 37 &+ 200) }
            #expect(Base64URL.decode(Array(Base64URL.encode(bytes).utf8)) == bytes)
        }
        #expect(Base64URL.encode([0xFB, 0xFF]) == "-_8")
        for text in ["a", "-_9", "-_8=", "+/8", "a b", "aaaaa"] { #expect(Base64URL.decode(Array(text.utf8)) == nil) }
    }

    private func tokenLife(expires: UInt64, now: UInt64) -> TokenLife? {
        TokenLife(of: Identity(user: .of("alice"), expires: expires, endsAt: (expires + 5) * 1000), now: now)
    }

    @Test("A session is warned a minute before its token's end, and ends when the leeway is over")
    func warning() throws {
        var life = try #require(tokenLife(expires: 1000, now: 100_000))
        #expect(life.next(now: 100_000) == .wait(840_000))
        #expect(life.next(now: 939_999) == .wait(1))
        #expect(life.next(now: 940_000) == .warn(expires: 1000))
        #expect(life.next(now: 940_000) == .wait(65_000))
        #expect(life.next(now: 1_004_999) == .wait(1))
        #expect(life.next(now: 1_005_000) == .end)
    }

    @Test("A short token is warned of in its last quarter; one that is over already in its leeway at once")
    func shortTokens() throws {
        var short = try #require(tokenLife(expires: 108, now: 100_000))
        #expect(short.next(now: 100_000) == .wait(6000))
        var over = try #require(tokenLife(expires: 99, now: 100_000))
        #expect(over.next(now: 100_000) == .warn(expires: 99))
        #expect(over.next(now: 100_000) == .wait(4000))
    }

    @Test("A far end is looked at again every hour; no end is never looked at")
    func farEnds() throws {
        var far = try #require(tokenLife(expires: 1 << 39, now: 0))
        #expect(far.next(now: 0) == .wait(3_600_000))
        #expect(TokenLife(of: Identity(user: .of("alice")), now: 0) == nil)
    }
}

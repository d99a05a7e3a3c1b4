import ChatProtocol
import CryptoExtras
import JWTKit
import TestSupport
import Testing

@testable import ChatGateway

@Suite("Tokens")
struct TokenVerifierTests {
    private static let secret = Array("a secret of more than thirty-two bytes".utf8)
    /// Seconds since 1970.
    private static let now: UInt64 = 1_800_000_000
    private static let good = #"{"sub":"alice","exp":1800000100}"#

    private func verifier(
        _ keys: TokenKey..., rules: TokenVerifier.Rules = .init()
    ) -> TokenVerifier {
        TokenVerifier(keys: TokenKeys(keys), rules: rules)
    }

    private func failure(_ token: String, _ verifier: TokenVerifier) -> TokenFailure? {
        do throws(TokenFailure) {
            _ = try verifier.verify(token, now: Self.now * 1000)
            return nil
        } catch {
            return error
        }
    }

    private func hmac(_ algorithm: TokenAlgorithm = .hs256, id: String? = nil) async throws -> TokenKey {
        let length = algorithm.secretLength ?? 0
        return try await .secret(
            Array(repeating: Self.secret, count: 1 + length / Self.secret.count).flatMap { $0 }, algorithm: algorithm,
            id: id)
    }

    private func hand(_ header: String, _ payload: String, _ signature: [UInt8] = [1, 2, 3]) -> String {
        Base64URL.encode(header.utf8) + "." + Base64URL.encode(payload.utf8) + "." + Base64URL.encode(signature)
    }

    @Test("Each algorithm that is taken signs and checks", arguments: [TokenAlgorithm.hs256, .hs384, .hs512])
    func secrets(algorithm: TokenAlgorithm) async throws {
        let key = try await hmac(algorithm)
        let token = try TokenSigner(key: key).sign(claims: Self.good)
        #expect(try verifier(key).verify(token, now: Self.now * 1000).user == .of("alice"))
        #expect(failure(String(token.dropLast(2)) + "AA", verifier(key)) == .signature)
    }

    @Test("The public half of a key pair checks what the private half signed")
    func pairs() async throws {
        let ec = ES256PrivateKey()
        let ed = try EdDSA.PrivateKey()
        let rsa = try _RSA.Signing.PrivateKey(keySize: .bits2048)
        for (secret, open, algorithm) in [
            (ec.pemRepresentation, ec.publicKey.pemRepresentation, TokenAlgorithm.es256),
            (ed.pemRepresentation, ed.publicKey.pemRepresentation, .eddsa),
            (rsa.pemRepresentation, rsa.publicKey.pemRepresentation, .rs256),
        ] {
            let publicKey = try await TokenKey.pem(open)
            #expect(publicKey.algorithm == algorithm)
            let token = try TokenSigner(key: try await .pem(secret)).sign(claims: Self.good)
            #expect(failure(token, verifier(publicKey)) == nil)
            #expect(failure(token, verifier(try await hmac())) == .unknownKey)
            #expect(throws: TokenKeyError.self) { try TokenSigner(key: publicKey).sign(claims: Self.good) }
        }
    }

    @Test("A public key is no secret: HS256 with its text as the key is refused")
    func confusion() async throws {
        let pem = try _RSA.Signing.PrivateKey(keySize: .bits2048).publicKey.pemRepresentation
        let forged = try TokenSigner(key: try await .secret(Array(pem.utf8), algorithm: .hs256)).sign(claims: Self.good)
        #expect(failure(forged, verifier(try await .pem(pem))) == .unknownKey)
    }

    @Test(
        "Unsigned tokens are refused, however none is spelt",
        arguments: ["none", "None", "NONE", "nOnE", "", "HS256 ", "hs256"])
    func unsigned(algorithm: String) async throws {
        let verifier = verifier(try await hmac())
        for signature in [[UInt8](), [0]] {
            let token = hand(#"{"alg":"\#(algorithm)"}"#, Self.good, signature)
            #expect(failure(token, verifier) == (signature.isEmpty ? .malformed : .unknownKey))
        }
    }

    @Test(
        "A kid is looked up among the keys and nowhere else",
        arguments: ["", "../../etc/passwd", "' OR 1=1 --", "a\\u0000", "B", String(repeating: "k", count: 5000)])
    func strangeKeyNames(id: String) async throws {
        let keys = verifier(try await hmac(id: "a"), try await hmac(.hs384, id: "b"))
        #expect(failure(hand(#"{"alg":"HS256","kid":"\#(id)"}"#, Self.good), keys) == .unknownKey)
    }

    @Test("Several keys: each token is checked with the one that it names, and only with the algorithm of that")
    func severalKeys() async throws {
        let (a, b) = (try await hmac(id: "a"), try await hmac(.hs384, id: "b"))
        let keys = verifier(a, b)
        #expect(failure(try TokenSigner(key: a).sign(claims: Self.good), keys) == nil)
        #expect(failure(try TokenSigner(key: b).sign(claims: Self.good), keys) == nil)
        #expect(failure(hand(#"{"alg":"HS256","kid":"b"}"#, Self.good), keys) == .unknownKey)
        // Which of the two would it be?
        #expect(failure(try TokenSigner(key: try await hmac()).sign(claims: Self.good), keys) == .unknownKey)
    }

    @Test("What a header points to is not looked at; what must be understood and is not is refused")
    func pointers() async throws {
        let key = try await hmac()
        let keys = verifier(key)
        func signed(_ header: String) throws -> String {
            let text = Base64URL.encode(header.utf8) + "." + Base64URL.encode(Self.good.utf8)
            return text + "." + Base64URL.encode(try key.sign(Array(text.utf8)))
        }
        #expect(failure(try signed(#"{"alg":"HS256","jku":"http://127.0.0.1:1/","x5u":"x","jwk":{}}"#), keys) == nil)
        #expect(failure(try signed(#"{"alg":"HS256","crit":["b64"],"b64":false}"#), keys) == .malformed)
        #expect(failure(try signed(#"{"alg":"HS256","typ":"dpop+jwt"}"#), keys) == .malformed)
        #expect(failure(try signed(#"{"alg":"HS256","alg":"HS256"}"#), keys) == .malformed)
    }

    @Test(
        "Claims",
        arguments: [
            (#"{"sub":"alice","exp":1800000001}"#, nil),
            (#"{"sub":"alice","exp":1800000001.5}"#, nil),
            (#"{"sub":"alice","exp":1799999996}"#, nil),  // within the leeway of 5 s
            (#"{"sub":"alice","exp":1799999995}"#, .expired),
            (#"{"sub":"alice","exp":0}"#, .expired),
            (#"{"sub":"alice"}"#, .claims),
            (#"{"sub":"alice","exp":"1800000001"}"#, .claims),
            (#"{"sub":"alice","exp":1e400}"#, .claims),
            (#"{"sub":"alice","exp":1e19}"#, .claims),
            (#"{"sub":"alice","exp":-1}"#, .claims),
            (#"{"sub":"alice","exp":null}"#, .claims),
            (#"{"sub":"alice","exp":1800000001,"nbf":1800000005}"#, nil),
            (#"{"sub":"alice","exp":1800000001,"nbf":1800000006}"#, .notYetValid),
            (#"{"sub":"alice","exp":1800000001,"iat":1900000000}"#, .notYetValid),
            (#"{"exp":1800000001}"#, .claims),
            (#"{"sub":7,"exp":1800000001}"#, .claims),
            (#"{"sub":"not a name","exp":1800000001}"#, .claims),
            (#"{"sub":"@alice","exp":1800000001}"#, .claims),
            (#"{"sub":"alice","sub":"bob","exp":1800000001}"#, .claims),
            (#"{"sub":"alice","exp":1800000001,"aud":"elsewhere"}"#, .audience),
            (#"{"sub":"alice","exp":1800000001,"rooms":"general"}"#, .claims),
            (#"{"sub":"alice","exp":1800000001,"rooms":["a b"]}"#, .claims),
            (#"{"sub":"alice","exp":1800000001,"admin":"yes"}"#, .claims),
            ("[]", .claims), ("", .claims),
        ] as [(String, TokenFailure?)])
    func claims(json: String, expected: TokenFailure?) async throws {
        let key = try await hmac()
        #expect(failure(try TokenSigner(key: key).sign(claims: json), verifier(key)) == expected)
    }

    @Test("What would be refused anyway costs no look at its signature")
    func order() async throws {
        let keys = verifier(try await hmac())
        #expect(failure(hand(#"{"alg":"HS256"}"#, #"{"sub":"alice","exp":1}"#), keys) == .expired)
        #expect(failure(hand(#"{"alg":"HS256"}"#, Self.good), keys) == .signature)
    }

    @Test("Issuer and audience must be those that are wanted")
    func issuerAndAudience() async throws {
        let key = try await hmac()
        let keys = verifier(key, rules: .init(issuer: "us", audience: "chat"))
        for (more, expected) in [
            (#""iss":"us","aud":"chat""#, nil), (#""iss":"us","aud":["x","chat"]"#, nil),
            (#""aud":"chat""#, .issuer), (#""iss":"US","aud":"chat""#, .issuer), (#""iss":"us""#, .audience),
            (#""iss":"us","aud":[]"#, .audience), (#""iss":"us","aud":["chatter"]"#, .audience),
            (#""iss":"us","aud":{"chat":1}"#, .claims),
        ] as [(String, TokenFailure?)] {
            let token = try TokenSigner(key: key).sign(claims: #"{"sub":"alice","exp":1800000001,\#(more)}"#)
            #expect(failure(token, keys) == expected, "\(more)")
        }
    }

    @Test("A token says who it is for, and what that one may do")
    func identity() async throws {
        let key = try await hmac()
        var request = TokenSigner.Request(user: "alice", issuedAt: Self.now, expires: Self.now + 60)
        request.name = "Alice \"the\" Ä"
        request.rooms = ["team-*"]
        request.post = []
        request.isAdmin = true
        let identity = try verifier(key).verify(try TokenSigner(key: key).sign(request), now: Self.now * 1000)
        #expect(identity.displayName == "Alice \"the\" Ä")
        #expect(identity.rights == Rights(join: [try #require(RoomPattern("team-*"))], post: [], isAdmin: true))
        #expect(identity.expires == Self.now + 60)
        #expect(identity.endsAt == (Self.now + 65) * 1000)
    }

    @Test(
        "What is no token is refused",
        arguments: [
            "", ".", "..", "a.b", "a.b.c.d", "a.b.c", "eyJhbGciOiJIUzI1NiJ9..", "=.=.=", "ä.ö.ü", "a b.c d.e f",
        ])
    func malformed(text: String) async throws {
        #expect(failure(text, verifier(try await hmac())) == .malformed)
    }

    @Test("A token that is too long is not even looked at")
    func tooLong() async throws {
        #expect(failure(String(repeating: "a", count: 8193), verifier(try await hmac())) == .tooLong)
    }

    @Test("A short secret is refused", arguments: [TokenAlgorithm.hs256, .hs384, .hs512])
    func shortSecrets(algorithm: TokenAlgorithm) async throws {
        let length = try #require(algorithm.secretLength)
        await #expect(throws: TokenKeyError.self) {
            try await TokenKey.secret(Array(repeating: 7, count: length - 1), algorithm: algorithm)
        }
    }
}

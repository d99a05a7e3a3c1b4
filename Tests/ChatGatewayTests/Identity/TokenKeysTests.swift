import ChatProtocol
import Foundation
import JWTKit
import Logging
import TestSupport
import Testing

@testable import ChatGateway

@Suite("Keys for tokens")
struct TokenKeysTests {
    private static let now: UInt64 = 1_800_000_000

    private func set(_ keys: String...) -> String { #"{"keys":[\#(keys.joined(separator: ","))]}"# }

    private func secret(_ id: String, _ byte: UInt8 = 7) -> String {
        let bytes = Base64URL.encode(Array(repeating: byte, count: 32))
        return #"{"kty":"oct","kid":"\#(id)","alg":"HS256","k":"\#(bytes)"}"#
    }

    @Test("A set may hold keys of every kind; what is not for signing, or not known, is passed over")
    func everyKind() async throws {
        let ec = ES256PrivateKey()
        let point = try #require(ec.publicKey.parameters)
        let ed = try EdDSA.PrivateKey()
        let keys = try await TokenKeys.read(
            set(
                secret("s"),
                #"{"kty":"EC","crv":"P-256","kid":"ec","x":"\#(url(point.x))","y":"\#(url(point.y))"}"#,
                #"{"kty":"OKP","crv":"Ed25519","kid":"ed","x":"\#(Base64URL.encode(ed.publicKey.rawRepresentation))"}"#,
                #"{"kty":"RSA","kid":"rsa","alg":"RS256","n":"\#(Self.modulus)","e":"AQAB"}"#,
                #"{"kty":"RSA","use":"enc","kid":"no","n":"x","e":"AQAB"}"#,
                #"{"kty":"EC","crv":"P-521","kid":"no"}"#, #"{"kty":"RSA","alg":"HS256","kid":"no"}"#,
                #"{"kty":"oct","kid":"no","k":"x"}"#, #"{"kty":"new","kid":"no"}"#))
        #expect(keys.count == 4)
        #expect(keys.signing(id: "s")?.algorithm == .hs256)
        #expect(keys.signing(id: "ec")?.algorithm == .es256)
        #expect(keys.signing(id: "ed")?.algorithm == .eddsa)
        #expect(keys.signing(id: "rsa")?.algorithm == .rs256)
        #expect(keys.signing(id: "no") == nil)

        let token = try TokenSigner(key: try await .pem(ec.pemRepresentation, id: "ec"))
            .sign(claims: #"{"sub":"alice","exp":1800000100}"#)
        #expect(try TokenVerifier(keys: keys, rules: .init()).verify(token, now: Self.now * 1000).user.text == "alice")
    }

    @Test(
        "What is no key is refused, without being repeated",
        arguments: [
            "", "{}", "[]", #"{"keys":{}}"#, #"{"keys":[]}"#, #"{"keys":[{"kty":"oct","alg":"HS256","k":"c2hvcnQ"}]}"#,
            #"{"keys":[{"kty":"EC","crv":"P-256","x":"c2hvcnQ","y":"c2hvcnQ"}]}"#, #"{"keys":["c2hvcnQ"]}"#,
            "-----BEGIN PUBLIC KEY-----\nc2hvcnQ\n-----END PUBLIC KEY-----",
        ])
    func broken(text: String) async {
        await #expect {
            _ = try await TokenKeys.read(text)
        } throws: { error in
            error is TokenKeyError && !"\(error)".contains("c2hvcnQ")
        }
    }

    @Test("When the file changes the new keys count, and those of before if it cannot be read")
    func reload() async throws {
        let folder = try ScratchFolder("keys")
        defer { folder.remove() }
        let file = folder.url.appending(path: "keys.json")
        func write(_ text: String) throws { try Data(text.utf8).write(to: file, options: .atomic) }
        try write(set(secret("old", 1)))
        var configuration = AuthenticationConfiguration()
        configuration.keysFile = file.path()
        let authenticator = try await Authenticator(
            configuration, logger: Logger(label: "test", factory: { _ in SwiftLogNoOpLogHandler() }))
        let watch = Task {
            await FileWatch(paths: [file.path()], interval: .milliseconds(10)).run { await authenticator.reload() }
        }
        defer { watch.cancel() }
        func isTaken(_ id: String, _ byte: UInt8) async throws -> Bool {
            let key = try await TokenKey.secret(Array(repeating: byte, count: 32), algorithm: .hs256, id: id)
            let token = try TokenSigner(key: key).sign(claims: #"{"sub":"alice","exp":1800000100}"#)
            if case .success = authenticator.identify(token, now: Self.now * 1000) { return true }
            return false
        }
        #expect(try await isTaken("old", 1))
        // Whether the watch has begun cannot be seen, so it is given more than one change to notice.
        try await eventually("a new key is taken") {
            try write(set(secret("new", 2)))
            return try await isTaken("new", 2) ? true : nil
        }
        #expect(try await isTaken("old", 1) == false)
        try write("broken")
        await authenticator.reload()
        #expect(try await isTaken("new", 2))
    }

    private func url(_ base64: String) -> String {
        base64.replacing("+", with: "-").replacing("/", with: "_").replacing("=", with: "")
    }

    /// Of a key of 2048 bits; nobody has its private half.
    private static let modulus = Base64URL.encode([0xC1] + Array(repeating: 0x5B as UInt8, count: 254) + [0x2D])
}

import ChatGateway
import ChatProtocol

/// Tokens. With an even first byte the rest is a token; with an odd one it is a header and, after a zero byte, claims,
/// which are signed with the right key: strangers cannot do that, but what is behind the signature must stand as well.
struct TokensTarget: FuzzTarget {
    /// 2030.
    private static let now: UInt64 = 1_893_456_000_000

    private let key: TokenKey
    private let verifier: TokenVerifier

    init() async throws {
        key = try await .secret(Array("a secret of more than thirty-two bytes".utf8), algorithm: .hs256)
        verifier = TokenVerifier(keys: TokenKeys([key]), rules: .init(issuer: "issuer", audience: "audience"))
    }

    func check(_ input: [UInt8]) {
        guard let first = input.first else { return }
        let rest = input.dropFirst()
        guard first & 1 == 1 else {
            let token = String(decoding: rest, as: UTF8.self)
            precondition((try? verifier.verify(token, now: Self.now)) == nil, "a signature was guessed")
            return
        }
        let parts = rest.split(separator: 0, maxSplits: 1, omittingEmptySubsequences: false)
        let text = parts.map { Base64URL.encode($0) }.joined(separator: ".")
        guard let signature = try? key.sign(Array(text.utf8)),
            let identity = try? verifier.verify(text + "." + Base64URL.encode(signature), now: Self.now)
        else { return }
        precondition(parts.count == 2)
        precondition(identity.endsAt.map { $0 > Self.now } ?? false, "it has ended already, or never ends")
        precondition(UserName(identity.user.text) == identity.user)
        if let room = RoomName("general") { _ = identity.rights.mayRead(room, as: identity.user) }
    }
}

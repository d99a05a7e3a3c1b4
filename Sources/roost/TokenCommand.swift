import ArgumentParser
import ChatGateway
import Foundation

/// `roost token`: signs tokens, to try things out and for tests.
struct TokenCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "token",
        abstract: "Sign a token.",
        discussion: """
            The token goes to standard output. It is signed with ROOST_AUTH_SECRET, or with the private key of --key-file. \
            A product's own sign-in makes tokens with any JWT library.
            """)

    @OptionGroup var key: TokenKeyOptions

    @Option(name: .shortAndLong, help: "The user whom the token is for.")
    var user: String

    @Option(help: "The token's `jti`, by which it can be revoked.")
    var id: String?

    @Option(help: "What the user is called.")
    var name: String?

    @Option(help: "Rooms to join, * for any characters; may be repeated. Without it any room.")
    var room: [String] = []

    @Option(help: "Rooms and inboxes (@user) to post to, * for any characters; may be repeated. Without it all.")
    var post: [String] = []

    @Flag(help: "The user may moderate: end sessions, revoke tokens, ban.")
    var admin = false

    @Option(help: "For how many seconds the token is valid.")
    var expiresIn: UInt64 = 3600

    @Option(help: "The token's `iss`.")
    var issuer: String?

    @Option(help: "The token's `aud`.")
    var audience: String?

    func validate() throws {
        guard expiresIn > 0, expiresIn <= 315_360_000 else {
            throw ValidationError("--expires-in: \(expiresIn) is not within 1 to 315360000")
        }
    }

    func run() async throws {
        let now = UInt64(Date().timeIntervalSince1970)
        var request = TokenSigner.Request(user: user, issuedAt: now, expires: now + expiresIn)
        request.id = id
        request.name = name
        request.rooms = room.isEmpty ? nil : room
        request.post = post.isEmpty ? nil : post
        request.isAdmin = admin
        request.issuer = issuer
        request.audience = audience
        do {
            print(try await key.signer().sign(request))
        } catch let error as TokenKeyError {
            throw ValidationError("\(error)")
        }
    }
}

/// With what a command signs tokens.
struct TokenKeyOptions: ParsableArguments {
    @Option(help: ArgumentHelp("A private key in PEM form, or a JSON Web Key Set with one.", valueName: "file"))
    var keyFile: String?

    @Option(help: "Which key of the set: its `kid`.")
    var kid: String?

    /// - Throws: `ValidationError` or ``TokenKeyError``.
    func signer(environment: [String: String] = ProcessInfo.processInfo.environment) async throws -> TokenSigner {
        if let keyFile {
            guard let text = try? String(contentsOf: URL(filePath: keyFile), encoding: .utf8) else {
                throw ValidationError("--key-file: \(keyFile) cannot be read")
            }
            guard let key = try await TokenKeys.read(text).signing(id: kid) else {
                throw ValidationError("--kid: there is no such key in \(keyFile)")
            }
            return TokenSigner(key: key)
        }
        guard let secret = environment["ROOST_AUTH_SECRET"], !secret.isEmpty else {
            throw ValidationError("give --key-file, or the secret in the environment as ROOST_AUTH_SECRET")
        }
        let name = environment["ROOST_AUTH_SECRET_ALGORITHM"] ?? SecretAlgorithm.hs256.rawValue
        guard let algorithm = SecretAlgorithm(rawValue: name) else {
            throw ValidationError("ROOST_AUTH_SECRET_ALGORITHM must be one of HS256, HS384, HS512")
        }
        return TokenSigner(key: try await .secret(Array(secret.utf8), algorithm: algorithm.token, id: kid))
    }
}

extension SecretAlgorithm {
    var token: TokenAlgorithm {
        switch self {
        case .hs256: .hs256
        case .hs384: .hs384
        case .hs512: .hs512
        }
    }
}

package import ChatHub
import ChatProtocol
import Foundation
package import Logging
import NIOConcurrencyHelpers

/// How a gateway knows who comes.
package struct AuthenticationConfiguration: Sendable, Equatable {
    /// A secret for HMAC; nil for none.
    package var secret: String?
    package var secretAlgorithm = TokenAlgorithm.hs256
    /// A JSON Web Key Set, or a key in PEM form; read again when it changes.
    package var keysFile: String?
    package var rules = TokenVerifier.Rules()
    /// SHA-256 of each API key, in hexadecimal.
    package var apiKeyHashes: [String] = []

    package init() {}

    /// Nobody could come in by it.
    package var isEmpty: Bool { secret == nil && keysFile == nil && apiKeyHashes.isEmpty }
}

/// Checks tokens and API keys with the keys of the moment. May be asked on any thread.
package final class Authenticator: Sendable {
    private struct State {
        var verifier: TokenVerifier
        var failures: [TokenFailure: Int] = [:]
        var wrongAPIKeys = 0
    }

    private let configuration: AuthenticationConfiguration
    private let apiKeys: APIKeys
    private let sanctions: Sanctions
    private let state: NIOLockedValueBox<State>
    private let logger: Logger

    /// - Parameter sanctions: tell which tokens are revoked.
    /// - Throws: ``TokenKeyError``.
    package init(
        _ configuration: AuthenticationConfiguration, sanctions: Sanctions = Sanctions(), logger: Logger
    ) async throws {
        guard let apiKeys = APIKeys(hashes: configuration.apiKeyHashes) else {
            throw TokenKeyError("an API key's hash is not 64 hexadecimal digits")
        }
        self.configuration = configuration
        self.apiKeys = apiKeys
        self.sanctions = sanctions
        self.logger = logger
        let keys = try await Self.load(configuration)
        state = NIOLockedValueBox(State(verifier: TokenVerifier(keys: keys, rules: configuration.rules)))
    }

    /// - Parameter now: milliseconds since 1970.
    func identify(_ token: String, now: UInt64) -> Result<Identity, TokenFailure> {
        let verifier = state.withLockedValue { $0.verifier }
        do throws(TokenFailure) {
            let identity = try verifier.verify(token, now: now)
            if sanctions.verdict(on: identity.user, with: identity.token) == .revoked { throw .revoked }
            return .success(identity)
        } catch {
            state.withLockedValue { $0.failures[error, default: 0] += 1 }
            // Who it was is for the caller to log; the token is for nobody.
            logger.debug("A token was refused", metadata: ["reason": "\(error.rawValue)"])
            return .failure(error)
        }
    }

    func isAPIKey(_ key: String) -> Bool { apiKeys.contains(key) }

    /// Tokens that were refused, by reason.
    var failures: [TokenFailure: Int] { state.withLockedValue { $0.failures } }

    // MARK: - Keys

    private static func load(_ configuration: AuthenticationConfiguration) async throws -> TokenKeys {
        var keys = TokenKeys()
        if let secret = configuration.secret {
            keys.add(
                TokenKeys([try await .secret(Array(secret.utf8), algorithm: configuration.secretAlgorithm)]))
        }
        if let path = configuration.keysFile {
            do {
                keys.add(try await .read(try String(contentsOf: URL(filePath: path), encoding: .utf8)))
            } catch let error as TokenKeyError {
                throw TokenKeyError("the keys in \(path) cannot be used: \(error)")
            } catch {
                throw TokenKeyError("the keys file \(path) cannot be read")
            }
        }
        return keys
    }

    /// The file to watch.
    var keysFile: String? { configuration.keysFile }

    /// Reads the keys again. What cannot be used leaves those of before in force.
    func reload() async {
        do {
            let keys = try await Self.load(configuration)
            let rules = configuration.rules
            state.withLockedValue { $0.verifier = TokenVerifier(keys: keys, rules: rules) }
            logger.notice("The keys for tokens were read again", metadata: ["keys": "\(keys.count)"])
        } catch {
            logger.error("The keys for tokens stay as they were", metadata: ["error": "\(error)"])
        }
    }
}

import ChatProtocol
import Crypto
import JWTKit

/// A key for tokens, bound to one algorithm.
package struct TokenKey: Sendable {
    /// `kid` of the tokens that it is for.
    package let id: String?
    package let algorithm: TokenAlgorithm
    /// Its `name` is that of ``algorithm``.
    private let method: any JWTAlgorithm

    func isValid(_ signature: [UInt8], of signed: [UInt8]) -> Bool {
        (try? method.verify(signature, signs: signed)) ?? false
    }

    /// - Throws: ``TokenKeyError`` when only the public half of the key is here.
    package func sign(_ text: [UInt8]) throws(TokenKeyError) -> [UInt8] {
        do {
            return try method.sign(text)
        } catch {
            throw TokenKeyError("the key cannot sign: its private half is needed")
        }
    }

    // MARK: - Where keys come from

    /// A secret that who signs and who checks share.
    package static func secret(
        _ bytes: [UInt8], algorithm: TokenAlgorithm, id: String? = nil
    ) async throws(TokenKeyError) -> TokenKey {
        guard let least = algorithm.secretLength else {
            throw TokenKeyError("\(algorithm.rawValue) needs a key pair, not a secret")
        }
        guard bytes.count >= least else {
            throw TokenKeyError(
                "a secret for \(algorithm.rawValue) needs at least \(least) bytes, it has \(bytes.count)")
        }
        let digest: DigestAlgorithm =
            switch algorithm {
            case .hs384: .sha384
            case .hs512: .sha512
            case .hs256, .rs256, .es256, .eddsa: .sha256
            }
        return try await make(id, algorithm) { await $0.add(hmac: HMACKey(from: bytes), digestAlgorithm: digest) }
    }

    /// A key, public or private, or a certificate in PEM form. Its kind tells the algorithm.
    package static func pem(_ text: String, id: String? = nil) async throws(TokenKeyError) -> TokenKey {
        if let key = try? ECDSA.PrivateKey<P256>(pem: text) {
            return try await make(id, .es256) { await $0.add(ecdsa: key) }
        }
        if let key = try? ECDSA.PublicKey<P256>(pem: text) {
            return try await make(id, .es256) { await $0.add(ecdsa: key) }
        }
        if let key = try? ECDSA.PublicKey<P256>(certificate: text) {
            return try await make(id, .es256) { await $0.add(ecdsa: key) }
        }
        if let key = try? EdDSA.PrivateKey(pem: text) {
            return try await make(id, .eddsa) { await $0.add(eddsa: key) }
        }
        if let key = try? EdDSA.PublicKey(pem: text) {
            return try await make(id, .eddsa) { await $0.add(eddsa: key) }
        }
        if let key = try? Insecure.RSA.PrivateKey(pem: text) {
            return try await make(id, .rs256) { await $0.add(rsa: key, digestAlgorithm: .sha256) }
        }
        if let key = try? Insecure.RSA.PublicKey(pem: text) {
            return try await make(id, .rs256) { await $0.add(rsa: key, digestAlgorithm: .sha256) }
        }
        if let key = try? Insecure.RSA.PublicKey(certificatePEM: text) {
            return try await make(id, .rs256) { await $0.add(rsa: key, digestAlgorithm: .sha256) }
        }
        throw TokenKeyError("it is no RSA key of at least 2048 bits, no P-256 key and no Ed25519 key in PEM form")
    }

    /// One key of a JSON Web Key Set (RFC 7517).
    ///
    /// - Returns: nil for a key that is not for signing, or for an algorithm that is not taken.
    package static func jwk(_ json: String) async throws(TokenKeyError) -> TokenKey? {
        let fields = try JWKFields(json)
        guard fields.isForSigning, let algorithm = fields.algorithm else { return nil }
        if let secret = fields.secret {
            guard let bytes = Base64URL.decode(Array(secret.utf8)) else {
                throw TokenKeyError("the `k` of a key is not base64url")
            }
            return try await .secret(bytes, algorithm: algorithm, id: fields.id)
        }
        guard var key = try? JWK(json: json) else { throw TokenKeyError("a key lacks what its `kty` needs") }
        let name = JWK.Algorithm(rawValue: algorithm.rawValue)
        key.algorithm = name
        key.keyIdentifier = JWKIdentifier(string: fields.id ?? "")
        let complete = key
        return try await make(fields.id, algorithm, named: fields.id ?? "") { try await $0.add(jwk: complete) }
    }

    /// jwt-kit gives the means to check a signature only by way of a collection.
    private static func make(
        _ id: String?, _ algorithm: TokenAlgorithm, named name: String? = nil,
        adding add: (JWTKeyCollection) async throws -> JWTKeyCollection
    ) async throws(TokenKeyError) -> TokenKey {
        do {
            let collection = try await add(JWTKeyCollection())
            let method = try await collection.getKey(
                for: name.map { JWKIdentifier(string: $0) }, alg: algorithm.rawValue)
            guard method.name == algorithm.rawValue else {
                throw TokenKeyError("the key is not for \(algorithm.rawValue)")
            }
            return TokenKey(id: id, algorithm: algorithm, method: method)
        } catch let error as TokenKeyError {
            throw error
        } catch {
            // The underlying error could repeat the key.
            throw TokenKeyError("a key for \(algorithm.rawValue) is not well-formed")
        }
    }
}

/// A key cannot be used; says why, never the key.
package struct TokenKeyError: Error, Sendable, Equatable, CustomStringConvertible {
    package var description: String

    package init(_ description: String) { self.description = description }
}

/// What of a JSON Web Key decides how it is read.
private struct JWKFields {
    var id: String?
    var isForSigning: Bool
    /// Nil for one that is not taken.
    var algorithm: TokenAlgorithm?
    /// Of `kty` `oct`.
    var secret: String?

    init(_ json: String) throws(TokenKeyError) {
        do {
            self = try Array(json.utf8).withUnsafeBytes { bytes in
                let object = try JSONScanner.object(in: bytes)
                return JWKFields(
                    id: try object.text("kid"), use: try object.text("use"), type: try object.text("kty") ?? "",
                    curve: try object.text("crv"), algorithm: try object.text("alg"), secret: try object.text("k"))
            }
        } catch {
            throw TokenKeyError("a key is not a JSON object with the fields of RFC 7517")
        }
    }

    private init(id: String?, use: String?, type: String, curve: String?, algorithm: String?, secret: String?) {
        self.id = id
        isForSigning = use == nil || use == "sig"
        let fitting: [TokenAlgorithm] =
            switch (type, curve) {
            case ("oct", _): [.hs256, .hs384, .hs512]
            case ("RSA", _): [.rs256]
            case ("EC", "P-256"): [.es256]
            case ("OKP", "Ed25519"): [.eddsa]
            default: []
            }
        // A secret must say what it is for; the other kinds are for one algorithm only.
        let named = algorithm.map { TokenAlgorithm(rawValue: $0) } ?? (type == "oct" ? nil : fitting.first)
        self.algorithm = named.flatMap { fitting.contains($0) ? $0 : nil }
        self.secret = type == "oct" ? secret ?? "" : nil
    }
}

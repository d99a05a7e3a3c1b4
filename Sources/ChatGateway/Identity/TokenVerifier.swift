import ChatProtocol

/// Why a token is not taken. For logs and metrics; clients are told no more than that it is not.
package enum TokenFailure: String, Error, Sendable, CaseIterable {
    case tooLong = "too_long"
    case malformed
    case unknownKey = "unknown_key"
    case signature
    case expired
    case notYetValid = "not_yet_valid"
    case issuer
    case audience
    case claims
    case revoked
}

/// Checks signed tokens (RFC 7519) as RFC 8725 advises: the key decides the algorithm, `kid` is only looked up, nothing
/// that a header points to is fetched. Pure: time is an argument.
package struct TokenVerifier: Sendable {
    /// What tokens must say beside who they are for.
    package struct Rules: Sendable, Equatable {
        /// Nil: any.
        package var issuer: String?
        /// Nil: tokens for an audience are not for this node.
        package var audience: String?
        /// Seconds that clocks may differ.
        package var leeway: UInt64 = 5

        package init(issuer: String? = nil, audience: String? = nil, leeway: UInt64 = 5) {
            self.issuer = issuer
            self.audience = audience
            self.leeway = leeway
        }
    }

    /// Looked at before anything is decoded.
    package static let maximumLength = 8192

    private let keys: TokenKeys
    private let rules: Rules

    package init(keys: TokenKeys, rules: Rules) {
        self.keys = keys
        self.rules = rules
    }

    /// - Parameter now: milliseconds since 1970.
    package func verify(_ token: String, now: UInt64) throws(TokenFailure) -> Identity {
        let bytes = Array(token.utf8)
        guard bytes.count <= Self.maximumLength else { throw .tooLong }
        let parts = bytes.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
        guard parts.count == 3, let header = Base64URL.decode(parts[0]), let payload = Base64URL.decode(parts[1]),
            let signature = Base64URL.decode(parts[2]), !signature.isEmpty
        else { throw .malformed }
        let candidates = try self.candidates(for: header)
        guard !candidates.isEmpty else { throw .unknownKey }
        // Nothing is believed yet, but what would be refused anyway need not be checked: a signature costs more than
        // all the rest.
        let identity = try identity(of: payload, now: now)
        let signed = Array(bytes[..<(parts[1].endIndex)])
        guard candidates.contains(where: { $0.isValid(signature, of: signed) }) else { throw .signature }
        return identity
    }

    private func candidates(for header: [UInt8]) throws(TokenFailure) -> [TokenKey] {
        let (algorithm, id) = try Self.read(header) { object throws(JSONFieldMismatch) in
            // An extension that must be understood is not (RFC 7515, section 4.1.11). `jku`, `jwk`, `x5u` and the like
            // are not looked at.
            guard object["crit"] == nil else { throw JSONFieldMismatch(field: "crit") }
            let type = try object.text("typ")?.lowercased()
            guard type == nil || type == "jwt" || type == "at+jwt" else { throw JSONFieldMismatch(field: "typ") }
            return (try object.text("alg") ?? "", try object.text("kid"))
        }
        return keys.candidates(id: id, algorithm: algorithm)
    }

    private func identity(of payload: [UInt8], now: UInt64) throws(TokenFailure) -> Identity {
        do {
            return try Self.read(payload) { object throws(JSONFieldMismatch) in
                try TokenClaims(object)
            }.identity(rules: rules, now: now)
        } catch .malformed {
            throw .claims
        }
    }

    /// Valid UTF-8, and one object in which no key stands twice.
    private static func read<Value>(
        _ bytes: [UInt8], _ body: (JSONObject) throws(JSONFieldMismatch) -> Value
    ) throws(TokenFailure) -> Value {
        guard String(validating: bytes, as: UTF8.self) != nil else { throw .malformed }
        let value: Value? = bytes.withUnsafeBytes { bytes in
            guard let object = try? JSONScanner.object(in: bytes) else { return nil }
            return try? body(object)
        }
        guard let value else { throw .malformed }
        return value
    }
}

import ChatProtocol

/// The keys that tokens are checked with. A token's `kid` is looked up here and nowhere else.
package struct TokenKeys: Sendable {
    private var keys: [TokenKey] = []

    package init(_ keys: [TokenKey] = []) { self.keys = keys }

    package var isEmpty: Bool { keys.isEmpty }
    package var count: Int { keys.count }
    package var first: TokenKey? { keys.first }

    package mutating func add(_ others: TokenKeys) { keys += others.keys }

    /// The keys that a token may be signed with: those with its `kid`; without `kid` those without one, or the only key
    /// that there is. Only keys of the token's own algorithm.
    func candidates(id: String?, algorithm: String) -> [TokenKey] {
        keys.filter { key in
            guard key.algorithm.rawValue == algorithm else { return false }
            return key.id == id || (id == nil && keys.count == 1)
        }
    }

    /// The key to sign with: the one with this `kid`, or the first.
    package func signing(id: String?) -> TokenKey? {
        id == nil ? keys.first : keys.first { $0.id == id }
    }

    /// Reads a JSON Web Key Set, or one key or certificate in PEM form.
    package static func read(_ text: String) async throws(TokenKeyError) -> TokenKeys {
        guard text.contains("-----BEGIN") else { return try await readSet(text) }
        return TokenKeys([try await TokenKey.pem(text)])
    }

    private static func readSet(_ text: String) async throws(TokenKeyError) -> TokenKeys {
        let list: [String]
        do {
            list =
                try Array(text.utf8).withUnsafeBytes { bytes in
                    try JSONScanner.object(in: bytes).elements("keys")
                } ?? []
        } catch {
            throw TokenKeyError("it is neither a JSON Web Key Set, {\"keys\":[…]}, nor a key in PEM form")
        }
        var keys: [TokenKey] = []
        for json in list {
            if let key = try await TokenKey.jwk(json) { keys.append(key) }
        }
        guard !keys.isEmpty else {
            let names = TokenAlgorithm.allCases.map(\.rawValue).joined(separator: ", ")
            throw TokenKeyError("it has no key for signing with one of \(names)")
        }
        return TokenKeys(keys)
    }
}

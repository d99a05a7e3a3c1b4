import Crypto

/// Keys of other servers, known only by their hashes.
package struct APIKeys: Sendable, Equatable {
    private let hashes: [[UInt8]]

    /// - Parameter hashes: SHA-256 of each key, in hexadecimal.
    /// - Returns: nil when one of them is none.
    package init?(hashes: [String]) {
        var parsed: [[UInt8]] = []
        for hash in hashes {
            guard let bytes = Self.bytes(hex: hash), bytes.count == SHA256.byteCount else { return nil }
            parsed.append(bytes)
        }
        self.hashes = parsed
    }

    package var isEmpty: Bool { hashes.isEmpty }

    /// Takes the same time whichever key it is, or none: every hash is compared to its end.
    package func contains(_ key: String) -> Bool {
        guard !hashes.isEmpty, key.utf8.count <= TokenVerifier.maximumLength else { return false }
        let digest = Array(SHA256.hash(data: Array(key.utf8)))
        var found: UInt8 = 0
        for hash in hashes {
            var difference: UInt8 = 0
            for (one, other) in zip(hash, digest) { difference |= one ^ other }
            found |= difference == 0 ? 1 : 0
        }
        return found == 1
    }

    private static func bytes(hex: String) -> [UInt8]? {
        let digits = hex.utf8.map { Character(Unicode.Scalar($0)).hexDigitValue }
        guard digits.count % 2 == 0 else { return nil }
        return try? stride(from: 0, to: digits.count, by: 2).map { index throws(TokenKeyError) in
            guard let high = digits[index], let low = digits[index + 1] else { throw TokenKeyError("not hexadecimal") }
            return UInt8(high << 4 | low)
        }
    }
}

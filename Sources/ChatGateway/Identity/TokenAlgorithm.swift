/// The ways to sign a token that are taken. A key belongs to one of them, whatever a token says of itself.
package enum TokenAlgorithm: String, Sendable, CaseIterable {
    case hs256 = "HS256"
    case hs384 = "HS384"
    case hs512 = "HS512"
    case rs256 = "RS256"
    case es256 = "ES256"
    case eddsa = "EdDSA"

    /// The least bytes of a shared secret: as many as the hash has (RFC 7518, section 3.2); nil for other keys.
    package var secretLength: Int? {
        switch self {
        case .hs256: 32
        case .hs384: 48
        case .hs512: 64
        case .rs256, .es256, .eddsa: nil
        }
    }
}

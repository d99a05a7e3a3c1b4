import ChatHub
import ChatProtocol

/// What a token says (RFC 7519, section 4, and the claims of this product).
struct TokenClaims: Equatable {
    var subject: String
    var id: String?
    var name: String?
    var issuer: String?
    /// Nil when absent.
    var audience: [String]?
    /// Seconds since 1970, as the next three.
    var expires: Double
    var notBefore: Double?
    var issuedAt: Double?
    var rooms: [String]?
    var post: [String]?
    var isAdmin: Bool

    init(_ object: JSONObject) throws(JSONFieldMismatch) {
        guard let subject = try object.text("sub") else { throw JSONFieldMismatch(field: "sub") }
        // A token for ever is a password.
        guard let expires = try object.number("exp") else { throw JSONFieldMismatch(field: "exp") }
        self.subject = subject
        self.expires = expires
        id = try object.text("jti")
        name = try object.text("name")
        issuer = try object.text("iss")
        audience = try Self.audience(of: object)
        notBefore = try object.number("nbf")
        issuedAt = try object.number("iat")
        rooms = try object.texts("rooms")
        post = try object.texts("post")
        isAdmin = try object.flag("admin") ?? false
    }

    /// One, or an array of them.
    private static func audience(of object: JSONObject) throws(JSONFieldMismatch) -> [String]? {
        if object["aud"]?.kind == .array { return try object.texts("aud") }
        return try object.text("aud").map { [$0] }
    }

    /// - Parameter now: milliseconds since 1970.
    func identity(rules: TokenVerifier.Rules, now: UInt64) throws(TokenFailure) -> Identity {
        let seconds = Double(now) / 1000
        let leeway = Double(rules.leeway)
        // Within what a clock can say, so that none of it overflows later.
        guard let expires = UInt64(exactly: expires.rounded(.down)), expires < 1 << 40 else { throw .claims }
        guard Double(expires) + leeway > seconds else { throw .expired }
        guard (notBefore ?? 0) <= seconds + leeway, (issuedAt ?? 0) <= seconds + leeway else { throw .notYetValid }
        if let issuer = rules.issuer, self.issuer != issuer { throw .issuer }
        switch (rules.audience, audience) {
        case (nil, nil): break
        case (let wanted?, let given?) where given.contains(wanted): break
        case (_?, _), (nil, _?): throw .audience
        }
        guard let user = UserName(subject), (name?.utf8.count ?? 0) <= Self.nameLimit else { throw .claims }
        return Identity(
            user: user, displayName: name,
            rights: Rights(join: try patterns(rooms), post: try patterns(post), isAdmin: isAdmin),
            expires: expires, endsAt: (expires + rules.leeway) * 1000,
            token: TokenMark(id: id, issuedAt: issuedAt.map { UInt64(max(0, $0)) }))
    }

    /// A pattern that cannot match is somebody's mistake: to pass over it would leave them wondering.
    private func patterns(_ texts: [String]?) throws(TokenFailure) -> [RoomPattern]? {
        try texts?.map { text throws(TokenFailure) in
            guard let pattern = RoomPattern(text) else { throw .claims }
            return pattern
        }
    }

    private static let nameLimit = 128
}

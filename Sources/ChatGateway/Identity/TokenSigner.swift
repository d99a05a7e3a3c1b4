/// Makes tokens: for `roost token`, and for tests. A product's own sign-in makes them with any JWT library.
package struct TokenSigner: Sendable {
    private let key: TokenKey

    package init(key: TokenKey) { self.key = key }

    /// What a token is to say. The texts may be anything that JSON can hold.
    package struct Request: Sendable {
        package var user: String
        /// By which it can be revoked.
        package var id: String?
        package var name: String?
        package var rooms: [String]?
        package var post: [String]?
        package var isAdmin = false
        package var issuer: String?
        package var audience: String?
        /// Seconds since 1970, as the next.
        package var issuedAt: UInt64
        package var expires: UInt64

        package init(user: String, issuedAt: UInt64, expires: UInt64) {
            self.user = user
            self.issuedAt = issuedAt
            self.expires = expires
        }
    }

    /// - Throws: ``TokenKeyError`` when only the public half of the key is here.
    package func sign(_ request: Request) throws(TokenKeyError) -> String {
        var claims: [String] = ["\"sub\":\(Self.quoted(request.user))"]
        func add(_ name: String, _ value: String?) {
            if let value { claims.append("\"\(name)\":\(value)") }
        }
        add("jti", request.id.map(Self.quoted))
        add("name", request.name.map(Self.quoted))
        add("rooms", request.rooms.map(Self.list))
        add("post", request.post.map(Self.list))
        add("admin", request.isAdmin ? "true" : nil)
        add("iss", request.issuer.map(Self.quoted))
        add("aud", request.audience.map(Self.quoted))
        add("iat", "\(request.issuedAt)")
        add("exp", "\(request.expires)")
        return try sign(claims: "{" + claims.joined(separator: ",") + "}")
    }

    /// Signs claims as they are.
    package func sign(claims json: String) throws(TokenKeyError) -> String {
        let id = key.id.map { ",\"kid\":\(Self.quoted($0))" } ?? ""
        let header = "{\"alg\":\"\(key.algorithm.rawValue)\",\"typ\":\"JWT\"\(id)}"
        let signed = Base64URL.encode(header.utf8) + "." + Base64URL.encode(json.utf8)
        return signed + "." + Base64URL.encode(try key.sign(Array(signed.utf8)))
    }

    private static func list(_ texts: [String]) -> String {
        "[" + texts.map(quoted).joined(separator: ",") + "]"
    }

    private static func quoted(_ text: String) -> String {
        var json = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": json += "\\\""
            case "\\": json += "\\\\"
            case "\u{0}"..."\u{1F}":
                let digits = String(scalar.value, radix: 16)
                json += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
            default: json.unicodeScalars.append(scalar)
            }
        }
        return json + "\""
    }
}

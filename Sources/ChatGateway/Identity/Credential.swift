/// What a request says to be allowed in.
enum Credential: Equatable {
    case none
    case bearer(String)
    /// Given in a way that leaves open what is meant.
    case unclear

    /// The first place that has one decides.
    ///
    /// - Parameters:
    ///   - authorization: the `Authorization` fields. Other schemes than Bearer are somebody else's, such as a proxy's.
    ///   - query: the item `token`.
    ///   - protocols: the items of `Sec-WebSocket-Protocol`.
    static func find(authorization: [String], query: String?, protocols: [String] = []) -> Credential {
        let bearers = authorization.compactMap(bearer)
        if bearers.count > 1 { return .unclear }
        if let token = bearers.first ?? query { return .bearer(token) }
        let offered = protocols.filter { $0.hasPrefix(subprotocol) }
        if offered.count > 1 { return .unclear }
        return offered.first.map { .bearer(String($0.dropFirst(subprotocol.count))) } ?? .none
    }

    private static let subprotocol = "bearer."

    private static func bearer(_ field: String) -> String? {
        let parts = field.split(separator: " ", maxSplits: 1, omittingEmptySubsequences: true)
        guard parts.first?.lowercased() == "bearer" else { return nil }
        return parts.count == 2 ? String(parts[1].trimmingPrefix { $0 == " " }) : ""
    }
}

/// Which web pages may use a node (RFC 6455, section 10.2; RFC 6454).
struct OriginPolicy: Sendable {
    /// As browsers write them, in lower case; none: only pages of the node's own host and port.
    var allowed: Set<String> = []

    /// - Parameters:
    ///   - origins: the request's `Origin` fields. Browsers always send one, other clients rarely do.
    ///   - host: its `Host`.
    func allows(_ origins: [String], host: String) -> Bool {
        guard let origin = origins.first?.lowercased() else { return true }
        guard origins.count == 1 else { return false }
        if !allowed.isEmpty { return allowed.contains(origin) }
        let host = host.lowercased()
        return [("http://", ":80"), ("https://", ":443")].contains { scheme, port in
            origin == scheme + host || origin + port == scheme + host
        }
    }
}

package import ChatProtocol

/// Where a node, or a load balancer before nodes, listens: `ws://HOST[:PORT][/PATH]`, `wss://…`.
package struct ServerAddress: Sendable, Hashable, CustomStringConvertible {
    package var isSecure: Bool
    /// Without the brackets of an IPv6 address.
    package var host: String
    package var port: Int
    /// Path and query, beginning with `/`.
    package var target: String

    /// - Throws: what is wrong with the text, in words for the one who typed it.
    package init(_ text: String) throws(ChatClientError) {
        func wrong(_ what: String) -> ChatClientError {
            ChatClientError(
                code: .invalidAddress, message: "\"\(text)\" \(what); expected ws://HOST:PORT/ws or wss://HOST/ws")
        }
        guard let scheme = text.range(of: "://") else { throw wrong("has no scheme") }
        switch text[..<scheme.lowerBound].lowercased() {
        case "ws": isSecure = false
        case "wss": isSecure = true
        default: throw wrong("has a scheme other than ws and wss")
        }
        let rest = text[scheme.upperBound...]
        guard !rest.contains("#") else { throw wrong("has a fragment") }
        guard rest.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F }) else {
            throw wrong("has a character that a URL cannot have")
        }
        let end = rest.firstIndex { $0 == "/" || $0 == "?" } ?? rest.endIndex
        let authority = rest[..<end]
        let pathAndQuery = rest[end...]
        guard !authority.contains("@") else { throw wrong("holds a user or a password") }

        let portText: Substring?
        if authority.first == "[" {
            guard let close = authority.firstIndex(of: "]") else { throw wrong("has a [ without ]") }
            host = String(authority[authority.index(after: authority.startIndex)..<close])
            let tail = authority[authority.index(after: close)...]
            guard tail.isEmpty || tail.first == ":" else { throw wrong("has something other than a port after ]") }
            portText = tail.isEmpty ? nil : tail.dropFirst()
        } else {
            let parts = authority.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
            host = String(parts[0])
            portText = parts.count > 1 ? parts[1] : nil
        }
        guard !host.isEmpty else { throw wrong("has no host") }
        if let portText {
            guard let number = UInt16(portText), number > 0 else { throw wrong("has a wrong port") }
            port = Int(number)
        } else {
            port = isSecure ? 443 : 80
        }
        switch pathAndQuery.first {
        case nil: target = "/ws"
        case "?": target = "/ws" + pathAndQuery
        default: target = pathAndQuery == "/" ? "/ws" : String(pathAndQuery)
        }
    }

    /// Host and port as they stand in a URL and in the `Host` header.
    package var authority: String {
        let name = host.contains(":") ? "[\(host)]" : host
        return port == (isSecure ? 443 : 80) ? name : "\(name):\(port)"
    }

    /// Path and query with the items that say who connects, and how.
    package func target(user: UserName?, echo: Bool) -> String {
        // A user's name has no character that a query would have to escape.
        let items = [user.map { "user=\($0.text)" }, echo ? nil : "echo=false"].compactMap(\.self)
        guard !items.isEmpty else { return target }
        return target + (target.contains("?") ? "&" : "?") + items.joined(separator: "&")
    }

    /// For logs and people: without the query, which may hold a token.
    package var description: String {
        "\(isSecure ? "wss" : "ws")://\(authority)\(target.prefix { $0 != "?" })"
    }
}

extension String {
    fileprivate func range(of separator: String) -> Range<Index>? {
        ranges(of: separator).first
    }
}

import ChatProtocol
import NIOHTTP1

/// What has to be answered to a request to open a WebSocket.
struct Handshake: Equatable, Sendable {
    var request: SocketRequest
    /// `Sec-WebSocket-Key` as sent.
    var key: String
    /// The subprotocol to select.
    var selectedProtocol: String?
    /// What was offered and can be met; nil: no compression.
    var compression: CompressionAgreement?
}

extension HTTPRequestHead {
    /// HTTP/1.1, or what comes after it with the same major version.
    var isHTTP11: Bool { version.major == 1 && version.minor >= 1 }
}

/// Judges a request's head: a WebSocket handshake in good order (RFC 6455, section 4.2.1), an ordinary request, or
/// neither. The order of the checks is the protocol's.
struct HandshakeValidator: Sendable {
    enum Verdict: Equatable {
        /// A request for the HTTP routes.
        case plain
        case upgrade(Handshake)
        case refuse(HTTPRefusal)
    }

    static let subprotocol = "roost.v1"

    private let limits: WebSocketLimits
    private let isEchoEnabled: Bool
    private let isCompressionEnabled: Bool

    init(limits: WebSocketLimits, isEchoEnabled: Bool, isCompressionEnabled: Bool = false) {
        self.isCompressionEnabled = isCompressionEnabled
        self.limits = limits
        self.isEchoEnabled = isEchoEnabled
    }

    func judge(_ head: HTTPRequestHead, peerAddress: String) -> Verdict {
        let fields = HandshakeFields(head.headers)
        if let refusal = oversize(head, fields) { return .refuse(refusal) }
        let (path, query) = Self.split(head.uri)
        guard let socketPath = SocketRequest.Path(rawValue: path), socketPath != .echo || isEchoEnabled else {
            return plain(head, fields)
        }
        switch handshake(head, fields, path: socketPath, query: query, peerAddress: peerAddress) {
        case .success(let handshake): return .upgrade(handshake)
        case .failure(let refusal): return .refuse(refusal)
        }
    }

    /// The answer to a head that was too large to read.
    func overflow(withinTarget: Bool) -> HTTPRefusal {
        withinTarget
            ? HTTPRefusal(
                .uriTooLong, .badRequest, "the request target is longer than \(limits.requestTargetBytes) bytes")
            : HTTPRefusal(
                .requestHeaderFieldsTooLarge, .badRequest,
                "more than \(limits.headerFields) header fields or \(limits.headerBytes) bytes of them")
    }

    private func oversize(_ head: HTTPRequestHead, _ fields: HandshakeFields) -> HTTPRefusal? {
        if head.uri.utf8.count > limits.requestTargetBytes { return overflow(withinTarget: true) }
        if fields.bytes > limits.headerBytes || head.headers.count > limits.headerFields {
            return overflow(withinTarget: false)
        }
        return nil
    }

    private func plain(_ head: HTTPRequestHead, _ fields: HandshakeFields) -> Verdict {
        if fields.upgradesToWebSocket {
            return .refuse(HTTPRefusal(.notFound, .notFound, "there is no WebSocket here; it is at /ws"))
        }
        if head.isHTTP11, fields.host == nil {
            return .refuse(HTTPRefusal(.badRequest, .badRequest, "exactly one valid Host is needed"))
        }
        return .plain
    }

    private func handshake(
        _ head: HTTPRequestHead, _ fields: HandshakeFields, path: SocketRequest.Path, query: Substring,
        peerAddress: String
    ) -> Result<Handshake, HTTPRefusal> {
        guard head.method == .GET else {
            return .failure(
                HTTPRefusal(
                    .methodNotAllowed, .methodNotAllowed, "a WebSocket is opened with GET",
                    headers: ["Allow": "GET"]))
        }
        guard fields.hasUpgrade else {
            return .failure(Self.upgradeRequired("this is a WebSocket endpoint: send Upgrade: websocket"))
        }
        guard fields.versions == ["13"] else {
            return .failure(Self.upgradeRequired("only version 13 of the WebSocket protocol is spoken here"))
        }
        guard head.isHTTP11 else { return Self.bad("HTTP/1.1 is needed") }
        guard !fields.hasBody else { return Self.bad("a handshake has no body") }
        guard let host = fields.host else { return Self.bad("exactly one valid Host is needed") }
        guard fields.connectionUpgrades else {
            return Self.bad("Connection must contain Upgrade")
        }
        guard fields.upgradesToWebSocket else {
            return Self.bad("Upgrade must contain websocket")
        }
        guard fields.keys.count == 1, let key = fields.keys.first, Self.isKey(key) else {
            return Self.bad("exactly one Sec-WebSocket-Key of 16 bytes in base64 is needed")
        }
        guard let items = QueryItems.parse(query) else {
            return Self.bad("the query is not percent-encoded UTF-8")
        }
        let request = SocketRequest(
            path: path, query: items, headers: head.headers, host: host, peerAddress: peerAddress,
            offeredProtocols: fields.protocols)
        let selected = fields.protocols.contains(Self.subprotocol) ? Self.subprotocol : nil
        let compression =
            isCompressionEnabled ? CompressionAgreement(offers: head.headers["Sec-WebSocket-Extensions"]) : nil
        return .success(Handshake(request: request, key: key, selectedProtocol: selected, compression: compression))
    }

    private static func bad(_ message: String) -> Result<Handshake, HTTPRefusal> {
        .failure(HTTPRefusal(.badRequest, .badRequest, message))
    }

    private static func upgradeRequired(_ message: String) -> HTTPRefusal {
        HTTPRefusal(
            .upgradeRequired, .upgradeRequired, message,
            headers: ["Upgrade": "websocket", "Sec-WebSocket-Version": "13"])
    }

    /// Path and query of a request target in origin or absolute form (RFC 9112, section 3.2).
    static func split(_ target: String) -> (path: String, query: Substring) {
        var rest = target[...]
        if !target.utf8.starts(with: "/".utf8) {
            let lower = target.prefix(8).lowercased()
            for scheme in ["http://", "https://"] where lower.hasPrefix(scheme) {
                rest = rest.dropFirst(scheme.count).drop { $0 != "/" && $0 != "?" }
            }
        }
        let path = rest.utf8.prefix { $0 != UInt8(ascii: "?") }
        return (String(rest[..<path.endIndex]), rest[path.endIndex...].dropFirst())
    }

    /// 16 bytes in base64 are 22 digits and two of padding.
    private static func isKey(_ text: String) -> Bool {
        let bytes = Array(text.utf8)
        guard bytes.count == 24, bytes[22] == UInt8(ascii: "="), bytes[23] == UInt8(ascii: "=") else { return false }
        return bytes[..<22].allSatisfy { byte in
            switch byte {
            case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "+"), UInt8(ascii: "/"):
                true
            default: false
            }
        }
    }
}

import NIOHTTP1

/// What the fields of a request say that matter to a handshake, found in one walk over them.
struct HandshakeFields {
    /// Of all fields, names and values.
    private(set) var bytes = 0
    private(set) var hosts: [String] = []
    private(set) var keys: [String] = []
    private(set) var versions: [String] = []
    /// The items of `Sec-WebSocket-Protocol`, in order.
    private(set) var protocols: [String] = []
    private(set) var hasUpgrade = false
    private(set) var upgradesToWebSocket = false
    private(set) var connectionUpgrades = false
    /// The request announces a body.
    private(set) var hasBody = false

    init(_ headers: HTTPHeaders) {
        for (name, value) in headers {
            bytes += name.utf8.count + value.utf8.count
            // Most fields have another length than these, which tells them apart at no cost.
            switch name.utf8.count {
            case 4 where name.isField("host"): hosts.append(value)
            case 7 where name.isField("upgrade"):
                hasUpgrade = true
                upgradesToWebSocket = upgradesToWebSocket || Self.list(value, names: "websocket")
            case 10 where name.isField("connection"):
                connectionUpgrades = connectionUpgrades || Self.list(value, names: "upgrade")
            case 14 where name.isField("content-length"): hasBody = hasBody || value != "0"
            case 17 where name.isField("sec-websocket-key"): keys.append(value)
            case 17 where name.isField("transfer-encoding"): hasBody = true
            case 21 where name.isField("sec-websocket-version"): versions.append(value)
            case 22 where name.isField("sec-websocket-protocol"):
                protocols += Self.items(of: value).map(String.init)
            default: break
            }
        }
    }

    /// The one host, if it looks like one.
    var host: String? {
        guard hosts.count == 1, let host = hosts.first, !host.isEmpty else { return nil }
        let isHost = host.utf8.allSatisfy { byte in
            switch byte {
            case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "a")...UInt8(ascii: "z"):
                true
            default: ".-_~:%[]".utf8.contains(byte)
            }
        }
        return isHost ? host : nil
    }

    private static func list(_ value: String, names item: StaticString) -> Bool {
        value.isField(item) || items(of: value).contains { $0.isField(item) }
    }

    /// The items of a list (RFC 9110, section 5.6.1).
    private static func items(of value: String) -> [Substring] {
        value.utf8.split(separator: UInt8(ascii: ",")).compactMap { item in
            var item = item.drop { $0 == UInt8(ascii: " ") || $0 == UInt8(ascii: "\t") }
            while let last = item.last, last == UInt8(ascii: " ") || last == UInt8(ascii: "\t") { item.removeLast() }
            return item.isEmpty ? nil : Substring(item)
        }
    }
}

extension StringProtocol {
    /// Whether these are the same letters, whatever their case (ASCII).
    ///
    /// - Parameter lowercase: in lower case.
    fileprivate func isField(_ lowercase: StaticString) -> Bool {
        guard utf8.count == lowercase.utf8CodeUnitCount else { return false }
        return lowercase.withUTF8Buffer { expected in
            utf8.elementsEqual(expected) { byte, letter in
                byte == letter || (byte | 0x20 == letter && (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(letter))
            }
        }
    }
}

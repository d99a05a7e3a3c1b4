/// The items of a request target's query.
enum QueryItems {
    /// The items, percent-decoded once, or nil when one of them is not properly encoded UTF-8. `+` stands for itself;
    /// of a repeated item the first counts.
    static func parse(_ query: Substring) -> [String: String]? {
        var items: [String: String] = [:]
        for item in query.utf8.split(separator: UInt8(ascii: "&")) {
            let end = item.firstIndex(of: UInt8(ascii: "=")) ?? item.endIndex
            guard let name = decode(Substring(item[..<end])), let value = decode(Substring(item[end...].dropFirst()))
            else { return nil }
            if items[name] == nil { items[name] = value }
        }
        return items
    }

    /// Undoes percent-encoding (RFC 3986, section 2.1); nil for a `%` without two hexadecimal digits, and for what is
    /// not UTF-8.
    static func decode(_ text: Substring) -> String? {
        guard text.utf8.contains(UInt8(ascii: "%")) else { return String(text) }
        var bytes: [UInt8] = []
        bytes.reserveCapacity(text.utf8.count)
        var rest = text.utf8.makeIterator()
        while let byte = rest.next() {
            guard byte == UInt8(ascii: "%") else {
                bytes.append(byte)
                continue
            }
            guard let high = rest.next().flatMap(digit), let low = rest.next().flatMap(digit) else { return nil }
            bytes.append(high << 4 | low)
        }
        return String(validating: bytes, as: UTF8.self)
    }

    private static func digit(_ byte: UInt8) -> UInt8? {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): byte - UInt8(ascii: "0")
        case UInt8(ascii: "a")...UInt8(ascii: "f"): byte - UInt8(ascii: "a") + 10
        case UInt8(ascii: "A")...UInt8(ascii: "F"): byte - UInt8(ascii: "A") + 10
        default: nil
        }
    }
}

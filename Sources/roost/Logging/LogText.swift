/// Text from outside, harmless in a log: control characters, line and paragraph separators and characters that turn the
/// direction of writing are escaped, and what is longer than `limit` bytes is cut.
func escapedForLog(_ text: String, limit: Int) -> String {
    var out = ""
    out.reserveCapacity(min(text.utf8.count, limit) + 8)
    var length = 0
    for scalar in text.unicodeScalars {
        guard length < limit else { return out + "…" }
        if isHarmful(scalar) {
            let escape = "\\u{\(String(scalar.value, radix: 16))}"
            out += escape
            length += escape.utf8.count
        } else {
            out.unicodeScalars.append(scalar)
            length += UTF8.width(scalar)
        }
    }
    return out
}

private func isHarmful(_ scalar: Unicode.Scalar) -> Bool {
    switch scalar.value {
    case 0..<0x20, 0x7F..<0xA0, 0x2028, 0x2029, 0x200E, 0x200F, 0x202A...0x202E, 0x2066...0x2069: true
    default: false
    }
}

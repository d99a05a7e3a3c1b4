extension Duration {
    package var inSeconds: Double {
        let (seconds, attoseconds) = components
        return Double(seconds) + Double(attoseconds) / 1e18
    }
}

/// Numbers for people.
package enum Decimals {
    /// Without `.0`.
    package static func short(_ value: Double) -> String {
        let rounded = value.rounded()
        return value == rounded && abs(value) < 1e15 ? String(Int64(rounded)) : String(value)
    }

    /// So many digits after the point.
    package static func fixed(_ value: Double, digits: Int) -> String {
        guard value.isFinite, abs(value) < 1e12 else { return "-" }
        let scale = (0..<digits).reduce(1.0) { product, _ in product * 10 }
        let scaled = Int64((value * scale).rounded())
        let whole = scaled / Int64(scale)
        guard digits > 0 else { return String(whole) }
        let part = String((scaled % Int64(scale)).magnitude)
        let sign = scaled < 0 && whole == 0 ? "-" : ""
        return "\(sign)\(whole)." + String(repeating: "0", count: digits - part.count) + part
    }

    /// Thousands apart.
    package static func grouped(_ value: Int) -> String {
        var out = ""
        let digits = String(value.magnitude)
        for (index, digit) in digits.enumerated() {
            if index > 0, (digits.count - index) % 3 == 0 { out.append(",") }
            out.append(digit)
        }
        return value < 0 ? "-" + out : out
    }

    /// A number that came from elsewhere and may be anything, rounded, thousands apart.
    package static func grouped(_ value: Double) -> String {
        value.isFinite && abs(value) < 1e15 ? grouped(Int(value.rounded())) : "-"
    }

    /// Milliseconds with as many digits as say something.
    package static func milliseconds(_ value: Double) -> String {
        fixed(value, digits: value < 10 ? 2 : value < 100 ? 1 : 0)
    }

    /// 1.2 k, 3.4 M.
    package static func rounded(_ value: Double) -> String {
        switch abs(value) {
        case ..<1000: short(value.rounded())
        case ..<1_000_000: trimmed(value / 1000) + " k"
        default: trimmed(value / 1_000_000) + " M"
        }
    }

    /// 900 B, 1.2 MB.
    package static func bytes(_ value: Double) -> String {
        switch abs(value) {
        case ..<1000: "\(short(value.rounded())) B"
        case ..<1_000_000: trimmed(value / 1000) + " kB"
        case ..<1_000_000_000: trimmed(value / 1_000_000) + " MB"
        default: trimmed(value / 1_000_000_000) + " GB"
        }
    }

    private static func trimmed(_ value: Double) -> String {
        let text = fixed(value, digits: abs(value) < 100 ? 1 : 0)
        return text.hasSuffix(".0") ? String(text.dropLast(2)) : text
    }
}

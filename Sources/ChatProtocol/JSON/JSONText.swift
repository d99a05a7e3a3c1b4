/// The inside of JSON strings: finding its end, undoing its escapes.
enum JSONText {
    /// The first byte from `start` on that ends plain text: a quote, a backslash, a control character, or `end`.
    @inline(__always)
    static func endOfPlainText(in bytes: UnsafeRawBufferPointer, from start: Int, to end: Int) -> Int {
        var at = start
        while at + 8 <= end {
            let word = UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: at, as: UInt64.self))
            let stops = stopBits(word)
            if stops != 0 { return at + stops.trailingZeroBitCount >> 3 }
            at += 8
        }
        while at < end {
            switch bytes[at] {
            case UInt8(ascii: "\""), UInt8(ascii: "\\"), 0..<0x20: return at
            default: at += 1
            }
        }
        return at
    }

    /// The top bit of each of eight bytes that is a quote, a backslash or a control character. Borrows make bits above
    /// the first one unreliable; the first is exact.
    @inline(__always)
    private static func stopBits(_ word: UInt64) -> UInt64 {
        let ones: UInt64 = 0x0101_0101_0101_0101
        let quotes = word ^ (ones &* 0x22)
        let backslashes = word ^ (ones &* 0x5C)
        let below = (word &- ones &* 0x20) & ~word
        let found = below | ((quotes &- ones) & ~quotes) | ((backslashes &- ones) & ~backslashes)
        return found & (ones &* 0x80)
    }

    /// What a scanned string means; nil for any other value.
    static func decode(_ value: JSONValue, of bytes: UnsafeRawBufferPointer) -> String? {
        guard value.isString, value.range.count >= 2 else { return nil }
        let text = bytes[value.range.dropFirst().dropLast()]
        guard value.kind == .escapedString else {
            return String(decoding: UnsafeRawBufferPointer(rebasing: text), as: UTF8.self)
        }
        var unescaped: [UInt8] = []
        unescaped.reserveCapacity(text.count)
        unescape(text, into: &unescaped)
        return String(decoding: unescaped, as: UTF8.self)
    }

    /// Undoes the escapes of a string that was scanned, given without its quotes. What no scanner lets through comes
    /// out as U+FFFD.
    static func unescape(_ text: Slice<UnsafeRawBufferPointer>, into out: inout [UInt8]) {
        var rest = text
        while let backslash = rest.firstIndex(of: UInt8(ascii: "\\")) {
            out.append(contentsOf: rest[..<backslash])
            rest = rest[(backslash + 1)...]
            switch rest.popFirst() {
            case UInt8(ascii: "b"): out.append(0x08)
            case UInt8(ascii: "f"): out.append(0x0C)
            case UInt8(ascii: "n"): out.append(0x0A)
            case UInt8(ascii: "r"): out.append(0x0D)
            case UInt8(ascii: "t"): out.append(0x09)
            case UInt8(ascii: "u"): out.append(contentsOf: String(takeScalar(&rest)).utf8)
            case let byte?: out.append(byte)
            case nil: break
            }
        }
        out.append(contentsOf: rest)
    }

    /// The scalar that the digits after `\u` mean, with the second half of a surrogate pair.
    private static func takeScalar(_ rest: inout Slice<UnsafeRawBufferPointer>) -> Character {
        guard let high = codeUnit(rest.prefix(4)) else { return "\u{FFFD}" }
        rest = rest.dropFirst(4)
        guard 0xD800..<0xDC00 ~= high else { return Unicode.Scalar(high).map(Character.init) ?? "\u{FFFD}" }
        guard let low = codeUnit(rest.dropFirst(2).prefix(4)), 0xDC00..<0xE000 ~= low else { return "\u{FFFD}" }
        rest = rest.dropFirst(6)
        let value = 0x10000 + (UInt32(high) - 0xD800) << 10 + (UInt32(low) - 0xDC00)
        return Unicode.Scalar(value).map(Character.init) ?? "\u{FFFD}"
    }

    /// Four hexadecimal digits.
    static func codeUnit(_ digits: Slice<UnsafeRawBufferPointer>) -> UInt16? {
        guard digits.count == 4 else { return nil }
        var unit: UInt16 = 0
        for digit in digits {
            let value: UInt8
            switch digit {
            case UInt8(ascii: "0")...UInt8(ascii: "9"): value = digit - UInt8(ascii: "0")
            case UInt8(ascii: "a")...UInt8(ascii: "f"): value = digit - UInt8(ascii: "a") + 10
            case UInt8(ascii: "A")...UInt8(ascii: "F"): value = digit - UInt8(ascii: "A") + 10
            default: return nil
            }
            unit = unit << 4 | UInt16(value)
        }
        return unit
    }
}

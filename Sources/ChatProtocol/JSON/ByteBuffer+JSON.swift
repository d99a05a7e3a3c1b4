package import NIOCore

extension ByteBuffer {
    /// Appends a JSON string that means `text`. Quotes, backslashes and control characters are escaped, nothing else.
    package mutating func writeJSONString(_ text: String) {
        var text = text
        text.withUTF8 { writeJSONString(UnsafeRawBufferPointer($0)) }
    }

    private mutating func writeJSONString(_ text: UnsafeRawBufferPointer) {
        var plainEnd = JSONText.endOfPlainText(in: text, from: 0, to: text.count)
        if plainEnd == text.count { return writeQuoted(text) }
        reserveCapacity(minimumWritableBytes: text.count + 16)
        writeInteger(UInt8(ascii: "\""))
        var at = 0
        while true {
            writeBytes(UnsafeRawBufferPointer(rebasing: text[at..<plainEnd]))
            at = plainEnd
            guard at < text.count else { break }
            writeEscape(of: text[at])
            at += 1
            plainEnd = JSONText.endOfPlainText(in: text, from: at, to: text.count)
        }
        writeInteger(UInt8(ascii: "\""))
    }

    /// Appends text between quotes as it is: that of names, which need no escapes.
    mutating func writeQuoted(_ text: String) {
        var text = text
        text.withUTF8 { writeQuoted(UnsafeRawBufferPointer($0)) }
    }

    private mutating func writeQuoted(_ text: UnsafeRawBufferPointer) {
        writeWithUnsafeMutableBytes(minimumWritableBytes: text.count + 2) { target in
            target[0] = UInt8(ascii: "\"")
            UnsafeMutableRawBufferPointer(rebasing: target[1...]).copyMemory(from: text)
            target[text.count + 1] = UInt8(ascii: "\"")
            return text.count + 2
        }
    }

    private mutating func writeEscape(of byte: UInt8) {
        switch byte {
        case UInt8(ascii: "\""): writeStaticString("\\\"")
        case UInt8(ascii: "\\"): writeStaticString("\\\\")
        case 0x0A: writeStaticString("\\n")
        case 0x0D: writeStaticString("\\r")
        case 0x09: writeStaticString("\\t")
        default:
            let digits: StaticString = "0123456789abcdef"
            writeStaticString("\\u00")
            writeInteger(digits.utf8Start[Int(byte >> 4)])
            writeInteger(digits.utf8Start[Int(byte & 15)])
        }
    }

    /// Appends a number in decimal digits.
    package mutating func writeDecimal(_ value: UInt64) {
        let count = Decimal.length(of: value)
        writeWithUnsafeMutableBytes(minimumWritableBytes: count) { target in
            Decimal.write(value, length: count, to: target, at: 0)
            return count
        }
    }

    mutating func writeJSONPosition(_ position: Position) {
        writeInteger(UInt8(ascii: "\""))
        writeDecimal(position.epoch)
        writeInteger(UInt8(ascii: "-"))
        writeDecimal(position.seq)
        writeInteger(UInt8(ascii: "\""))
    }
}

/// Decimal digits of unsigned numbers.
package enum Decimal {
    /// The number that digits spell, with leading zeros or without; nil for what is none, or does not fit.
    ///
    /// Inlinable, as publications are full of short ones.
    @inlinable
    package static func value(of digits: UnsafeRawBufferPointer) -> UInt64? {
        guard digits.count > 0, digits.count <= longest else { return nil }
        var value: UInt64 = 0
        // All but the last of the longest fit in any case.
        for index in 0..<min(digits.count, longest - 1) {
            let digit = digits[index] &- UInt8(ascii: "0")
            guard digit <= 9 else { return nil }
            value = value &* 10 &+ UInt64(digit)
        }
        guard digits.count == longest else { return value }
        let last = digits[longest - 1] &- UInt8(ascii: "0")
        let (tens, overflowed) = value.multipliedReportingOverflow(by: 10)
        let (sum, carried) = tens.addingReportingOverflow(UInt64(last))
        return last <= 9 && !overflowed && !carried ? sum : nil
    }

    /// 00 to 99: half as many divisions.
    @inline(__always)
    private static var pairs: StaticString {
        """
        00010203040506070809101112131415161718192021222324252627282930313233343536373839\
        40414243444546474849505152535455565758596061626364656667686970717273747576777879\
        8081828384858687888990919293949596979899
        """
    }

    /// Digits of the greatest number.
    @inlinable static var longest: Int { 20 }

    /// How many digits there are, 1 to 20.
    @inline(__always)
    package static func length(of value: UInt64) -> Int {
        var length = 1
        var rest = value
        // Multiplications: the divisor is known.
        while rest >= 10_000 {
            rest /= 10_000
            length += 4
        }
        if rest >= 1_000 { return length + 3 }
        if rest >= 100 { return length + 2 }
        return rest >= 10 ? length + 1 : length
    }

    /// - Parameter length: of the digits, as ``length(of:)`` tells.
    @inline(__always)
    package static func write(
        _ value: UInt64, length: Int, to target: UnsafeMutableRawBufferPointer, at offset: Int
    ) {
        var value = value
        var index = offset + length
        while index > offset + 1 {
            index -= 2
            let pair = 2 * Int(truncatingIfNeeded: value % 100)
            target[index] = pairs.utf8Start[pair]
            target[index + 1] = pairs.utf8Start[pair + 1]
            value /= 100
        }
        if index > offset { target[offset] = UInt8(ascii: "0") + UInt8(truncatingIfNeeded: value % 10) }
    }
}

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

    /// Digits of the greatest number.
    @inlinable static var longest: Int { 20 }

    /// How many digits there are, 1 to 20.
    @inline(__always)
    static func length(of value: UInt64) -> Int {
        var length = 1
        var power: UInt64 = 10
        while value >= power {
            length += 1
            if length == longest { break }
            power &*= 10
        }
        return length
    }

    @inline(__always)
    static func write(_ value: UInt64, length: Int, to target: UnsafeMutableRawBufferPointer, at offset: Int) {
        var value = value
        var index = offset + length
        while index > offset {
            index -= 1
            target[index] = UInt8(ascii: "0") + UInt8(truncatingIfNeeded: value % 10)
            value /= 10
        }
    }
}

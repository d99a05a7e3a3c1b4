import NIOCore

/// The fields of frames, each written with the comma before it. Absent values write nothing.
extension ByteBuffer {
    mutating func beginEvent(_ type: StaticString) {
        writeStaticString(#"{"type":""#)
        writeStaticString(type)
        writeInteger(UInt8(ascii: "\""))
    }

    mutating func endEvent() {
        writeInteger(UInt8(ascii: "}"))
    }

    mutating func beginField(_ field: StaticString) {
        let field = UnsafeRawBufferPointer(staticString: field)
        writeWithUnsafeMutableBytes(minimumWritableBytes: field.count + 4) { target in
            target[0] = UInt8(ascii: ",")
            target[1] = UInt8(ascii: "\"")
            UnsafeMutableRawBufferPointer(rebasing: target[2...]).copyMemory(from: field)
            target[field.count + 2] = UInt8(ascii: "\"")
            target[field.count + 3] = UInt8(ascii: ":")
            return field.count + 4
        }
    }

    /// Text that needs no escapes: a room's or a user's name.
    mutating func writeField(_ field: StaticString, name: String?) {
        guard let name else { return }
        beginField(field)
        writeQuoted(name)
    }

    mutating func writeField(_ field: StaticString, string: String?) {
        guard let string else { return }
        beginField(field)
        writeJSONString(string)
    }

    mutating func writeField(_ field: StaticString, json: RawJSON?) {
        guard let json else { return }
        beginField(field)
        writeImmutableBuffer(json.bytes)
    }

    mutating func writeField(_ field: StaticString, number: Int?) {
        guard let number else { return }
        beginField(field)
        if number < 0 { writeInteger(UInt8(ascii: "-")) }
        writeDecimal(UInt64(number.magnitude))
    }

    mutating func writeField(_ field: StaticString, number: UInt64) {
        beginField(field)
        writeDecimal(number)
    }

    mutating func writeField(_ field: StaticString, flag: Bool?) {
        guard let flag else { return }
        beginField(field)
        writeStaticString(flag ? "true" : "false")
    }

    mutating func writeField(_ field: StaticString, position: Position?) {
        guard let position else { return }
        beginField(field)
        writeJSONPosition(position)
    }

    mutating func writeField(_ field: StaticString, users: [UserName]?) {
        guard let users else { return }
        beginField(field)
        writeInteger(UInt8(ascii: "["))
        var isFirst = true
        for user in users {
            if !isFirst { writeInteger(UInt8(ascii: ",")) }
            writeQuoted(user.text)
            isFirst = false
        }
        writeInteger(UInt8(ascii: "]"))
    }
}

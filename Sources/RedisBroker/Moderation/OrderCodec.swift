import ChatHub
import ChatProtocol
import NIOCore

/// Orders as Redis holds them: a subject such as `b alice`, and a value, `NUMBER TIME UNTIL LIFTED ISSUED_BEFORE\n REASON`.
/// Names have no spaces; a `jti`, which may have any bytes, stands at the end.
enum OrderCodec {
    static func subject(_ subject: Order.Subject) -> String {
        switch subject {
        case .sessions(let user): "e \(user)"
        case .membership(let user, let room): "k \(user) \(room)"
        case .exclusion(let user, let room): "x \(user) \(room)"
        case .place(let session, let room): "p \(session) \(room)"
        case .token(let id): "t \(id)"
        case .tokens(let user): "i \(user)"
        case .ban(let user): "b \(user)"
        case .mute(let user, let room): "m \(user) \(room)"
        }
    }

    static func subject(_ text: String) -> Order.Subject? {
        if text.hasPrefix("t ") { return .token(String(text.dropFirst(2))) }
        let words = text.split(separator: " ", omittingEmptySubsequences: false)
        guard words.count >= 2, let user = UserName(words[1]) else { return nil }
        let room = words.count == 3 ? RoomName(words[2]) : nil
        switch (words[0], words.count, room) {
        case ("e", 2, _): return .sessions(of: user)
        case ("i", 2, _): return .tokens(of: user)
        case ("b", 2, _): return .ban(of: user)
        case ("k", 3, let room?): return .membership(of: user, in: room)
        case ("x", 3, let room?): return .exclusion(of: user, from: room)
        case ("m", 3, let room?): return .mute(of: user, in: room)
        default: return nil
        }
    }

    /// - Parameter now: milliseconds since 1970, by Redis' clock.
    /// - Returns: nil for what is not ours.
    static func order(_ subject: ByteBuffer, _ value: ByteBuffer, now: UInt64) -> GivenOrder? {
        let text = String(buffer: value)
        guard let subject = Self.subject(String(buffer: subject)), let end = text.firstIndex(of: "\n") else {
            return nil
        }
        let words = text[..<end].split(separator: " ").map { UInt64($0) }
        guard words.count == 5, let number = words[0], let time = words[1], let until = words[2], let lifted = words[3],
            let issuedBefore = words[4]
        else { return nil }
        let reason = String(text[text.index(after: end)...])
        let order = Order(
            subject, isLifted: lifted == 1, issuedBefore: issuedBefore, reason: reason.isEmpty ? nil : reason,
            duration: until - min(until, time))
        return GivenOrder(order, number: number, age: now - min(now, time), left: until - min(until, now))
    }

    /// What stands on the control channel after `o `: `NOW LENGTH\n SUBJECT VALUE`.
    static func order(_ bytes: inout ByteBuffer) -> GivenOrder? {
        guard let line = line(&bytes), line.count == 2, let now = UInt64(line[0]), let length = Int(line[1]),
            length >= 0, let subject = bytes.readSlice(length: length)
        else { return nil }
        return order(subject, bytes, now: now)
    }

    static func answer(_ answer: OrderAnswer) -> ByteBuffer {
        ByteBuffer(string: "a \(answer.number) \(answer.affected) \(answer.node)\n")
    }

    /// What stands there after `a `.
    static func answer(_ bytes: inout ByteBuffer) -> OrderAnswer? {
        guard let line = line(&bytes), line.count == 3, let number = UInt64(line[0]), let affected = Int(line[1]),
            affected >= 0
        else { return nil }
        return OrderAnswer(number: number, node: String(line[2]), affected: affected)
    }

    private static func line(_ bytes: inout ByteBuffer) -> [Substring]? {
        guard let end = bytes.readableBytesView.prefix(512).firstIndex(of: UInt8(ascii: "\n")),
            let text = bytes.readString(length: end - bytes.readerIndex)
        else { return nil }
        bytes.moveReaderIndex(forwardBy: 1)
        return text.split(separator: " ")
    }
}

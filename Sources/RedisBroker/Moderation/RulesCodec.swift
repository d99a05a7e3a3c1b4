import ChatHub
import ChatProtocol
import Hiredis
import NIOCore

/// A room's rules as the rules script takes and tells them.
enum RulesCodec {
    static func arguments(_ change: RuleChange) -> [Argument] {
        func sentence(_ field: String, _ duration: UInt64, _ reason: String?) -> [Argument] {
            [.text(field), .text(String(duration)), .text(reason ?? "")]
        }
        func number(_ field: String, _ value: Int?, times factor: Int = 1) -> [Argument] {
            value.map { [.text(field), $0 > 0 ? -1 : 0, .integer($0 * factor)] } ?? []
        }
        return switch change {
        case .ban(let user, let duration, let reason): sentence("b \(user)", duration, reason)
        case .mute(let user, let duration, let reason): sentence("m \(user)", duration, reason)
        case .settings(let settings):
            number("slow", settings.slowMode, times: 1000) + number("limit", settings.memberLimit)
                + number("rate", settings.messagesPerSecond)
        }
    }

    /// - Returns: nil when the answer is not the script's. What is of a later version is passed over.
    static func rules(_ reply: Reply) -> RoomRules? {
        guard case .array(let parts) = reply, parts.count % 2 == 1, let now = parts[0].number else { return nil }
        var rules = RoomRules()
        for index in stride(from: 1, to: parts.count, by: 2) {
            guard let name = parts[index].bytes.map({ String(buffer: $0) }), let value = parts[index + 1].bytes else {
                return nil
            }
            switch name {
            case "slow": rules.settings.slowMode = PublicationCodec.number(value).map { Int($0 / 1000) }
            case "limit": rules.settings.memberLimit = PublicationCodec.number(value).map { Int($0) }
            case "rate": rules.settings.messagesPerSecond = PublicationCodec.number(value).map { Int($0) }
            case _ where name.hasPrefix("b "):
                if let user = UserName(name.dropFirst(2)) { rules.bans[user] = remainder(value, now) }
            case _ where name.hasPrefix("m "):
                if let user = UserName(name.dropFirst(2)) { rules.mutes[user] = remainder(value, now) }
            default: break
            }
        }
        return rules
    }

    /// `UNTIL REASON`.
    private static func remainder(_ value: ByteBuffer, _ now: UInt64) -> RoomRules.Remainder? {
        let words = String(buffer: value).split(separator: " ", maxSplits: 1, omittingEmptySubsequences: false)
        guard words.count == 2, let until = UInt64(words[0]), until > now else { return nil }
        return .init(left: until - now, reason: words[1].isEmpty ? nil : String(words[1]))
    }
}

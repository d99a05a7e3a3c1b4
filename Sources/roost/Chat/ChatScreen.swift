import ChatClient
import ChatProtocol

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#else
import Darwin
#endif

/// Turns what happens in a chat into lines of text, with colours on a terminal.
struct ChatScreen: Sendable {
    /// Whether colours and cursor movements are understood.
    var isTerminal: Bool
    /// The own name; messages of this user are marked.
    var user: String
    /// How a moment (milliseconds since 1970) is shown.
    var clock: @Sendable (UInt64) -> String = ChatScreen.localTime

    private enum Style: String {
        case dim = "2", bold = "1", green = "32", yellow = "33", cyan = "36"
    }

    /// The line for an event; nil where there is nothing to show.
    ///
    /// - Parameter room: the room that is talked in; of others the name stands before the text.
    func line(for event: ClientEvent, in room: String?) -> String? {
        switch event {
        case .connected(let node):
            return note("connected to \(node.node) as \(node.user)")
        case .disconnected(let reason, let retryIn?):
            return styled("— \(reason); trying again in \(Self.seconds(retryIn)) s", .yellow)
        case .disconnected(let reason, nil):
            return styled("— \(reason)", .yellow)
        case .joined(let joined):
            if joined.recovered == false {
                return styled("— \(joined.room): some messages that you missed are no longer there", .yellow)
            }
            return nil
        case .left(let room, let error):
            return note("left \(room)\(error.map { ": \($0.message)" } ?? "")")
        case .message(let message):
            return line(for: message, in: room)
        case .userJoined(let place, let user, let count):
            return note("\(user) came\(elsewhere(place, room)) (\(count) here)")
        case .userLeft(let place, let user, let count):
            return note("\(user) left\(elsewhere(place, room)) (\(count) here)")
        case .typing(let place, let user, let isActive):
            return isActive ? note("\(user) is typing…\(elsewhere(place, room))") : nil
        case .gap(let room, _, _), .rewind(let room, _):
            return styled("— \(room): messages were lost", .yellow)
        case .expiring:
            return styled("— the session expires soon", .yellow)
        case .error(let error):
            return styled("— \(error.message)", .yellow)
        case .count, .signal:
            return nil
        }
    }

    func line(for message: ChatMessage, in room: String?) -> String {
        let time = styled(clock(message.time), .dim)
        let isOwn = message.user == user
        let name = styled(message.user, isOwn ? .green : .cyan)
        let place: String
        if let to = message.to {
            place = styled(" → \(to)", .bold)
        } else if message.room.hasPrefix("@") {
            place = styled(" → you", .bold)
        } else {
            place = message.room == room ? "" : styled(" #\(message.room)", .dim)
        }
        let text = message.text ?? message.data.map { "\($0)" } ?? ""
        return "\(time) \(name)\(place): \(Self.harmless(text))"
    }

    func note(_ text: String) -> String {
        styled("— \(text)", .dim)
    }

    /// Takes back the line that was just typed, before the message itself comes.
    var eraseTypedLine: String { isTerminal ? "\u{1B}[1A\u{1B}[2K" : "" }

    private func elsewhere(_ place: String, _ room: String?) -> String {
        place == room ? "" : " in \(place)"
    }

    private func styled(_ text: String, _ style: Style) -> String {
        let text = Self.harmless(text)
        return isTerminal ? "\u{1B}[\(style.rawValue)m\(text)\u{1B}[0m" : text
    }

    /// Without the characters by which a text could command the terminal.
    static func harmless(_ text: String) -> String {
        var out = String.UnicodeScalarView()
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\n": out.append(contentsOf: " ⏎ ".unicodeScalars)
            case "\t": out.append(" ")
            default:
                // C0, DEL and C1; and what turns the direction of writing.
                let isControl = scalar.value < 0x20 || (0x7F...0x9F).contains(scalar.value)
                let isDirection = (0x202A...0x202E).contains(scalar.value) || (0x2066...0x2069).contains(scalar.value)
                out.append(isControl || isDirection ? "\u{FFFD}" : scalar)
            }
        }
        return String(out)
    }

    private static func seconds(_ duration: Duration) -> String {
        let (seconds, attoseconds) = duration.components
        return "\(seconds).\(attoseconds / 100_000_000_000_000_000)"
    }

    /// Hours and minutes where the user is.
    static func localTime(_ milliseconds: UInt64) -> String {
        var seconds = time_t(clamping: milliseconds / 1000)
        var parts = tm()
        localtime_r(&seconds, &parts)
        func two(_ number: Int32) -> String { number < 10 ? "0\(number)" : "\(number)" }
        return "\(two(parts.tm_hour)):\(two(parts.tm_min))"
    }
}

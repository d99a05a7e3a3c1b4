package import NIOCore

extension ServerMessage {
    /// Reads a node's frame, whose bytes must be valid UTF-8. Unknown fields are ignored, an event of unknown type is
    /// ``unknown(type:)``.
    package static func parse(_ frame: ByteBuffer) throws(MalformedServerMessage) -> ServerMessage {
        let result: Result<ServerMessage, MalformedServerMessage> = frame.withUnsafeReadableBytes { bytes in
            let object: JSONObject
            do throws(JSONError) {
                object = try JSONScanner.object(in: bytes, maximumDepth: JSONScanner.maximumServerDepth)
            } catch {
                return .failure(MalformedServerMessage(reason: "\(error)"))
            }
            do throws(FieldError) {
                return .success(try read(FieldReader(object: object, frame: frame)))
            } catch {
                return .failure(MalformedServerMessage(reason: error.text))
            }
        }
        return try result.get()
    }

    private static let counts = 0...Int.max

    private static func read(_ fields: FieldReader) throws(FieldError) -> ServerMessage {
        let type = try fields.need("type", fields.string)
        switch type {
        case "message": return .message(try readMessage(fields))
        case "ack": return .ack(try readAck(fields))
        case "welcome": return .welcome(try readWelcome(fields))
        case "joined": return .joined(try readJoined(fields))
        case "left": return .left(id: try fields.requestID("id"), room: try fields.room())
        case "user_joined":
            return .userJoined(room: try fields.room(), user: try fields.user(), count: try fields.count())
        case "user_left":
            return .userLeft(room: try fields.room(), user: try fields.user(), count: try fields.count())
        case "count": return .count(room: try fields.room(), count: try fields.count())
        case "typing":
            return .typing(
                room: try fields.room(), user: try fields.user(), active: try fields.need("active", fields.flag))
        case "signal":
            return .signal(
                room: try fields.room(), user: try fields.user(), data: try fields.need("data", fields.json))
        case "members": return .members(try readMembers(fields))
        case "history": return .history(try readHistory(fields))
        case "gap":
            return .gap(
                room: try fields.room(), after: try fields.need("after", fields.position),
                before: try fields.position("before"))
        case "rewind": return .rewind(room: try fields.room(), to: try fields.need("to", fields.position))
        case "authenticated":
            return .authenticated(
                id: try fields.need("id", fields.requestID), user: try fields.user(),
                expires: try fields.need("expires", fields.unsigned))
        case "expiring": return .expiring(expires: try fields.need("expires", fields.unsigned))
        case "pong":
            return .pong(
                id: try fields.need("id", fields.requestID), time: try fields.need("time", fields.unsigned))
        case "reconnect":
            return .reconnect(
                after: try fields.number("after"), deadline: try fields.number("deadline"),
                reason: try fields.need("reason", fields.string))
        case "moderated":
            return .moderated(id: try fields.need("id", fields.requestID), closed: try fields.number("closed"))
        case "error": return .error(try readError(fields))
        default: return .unknown(type: type)
        }
    }

    private static func readMessage(_ fields: FieldReader) throws(FieldError) -> Message {
        Message(
            room: try fields.room(), position: try fields.need("position", fields.position),
            time: try fields.need("time", fields.unsigned), user: try fields.user(),
            id: try fields.requestID("id"), to: try fields.user("to"), text: try fields.string("text"),
            data: try fields.json("data"))
    }

    private static func readAck(_ fields: FieldReader) throws(FieldError) -> Ack {
        Ack(
            id: try fields.need("id", fields.requestID), room: try fields.room(),
            position: try fields.need("position", fields.position), time: try fields.need("time", fields.unsigned),
            isDuplicate: try fields.flag("duplicate") ?? false)
    }

    private static func readWelcome(_ fields: FieldReader) throws(FieldError) -> Welcome {
        let limits = try fields.need("limits", fields.nested)
        return Welcome(
            version: try fields.number("protocol"), session: try fields.need("session", fields.string),
            user: try fields.user(), node: try fields.need("node", fields.string),
            heartbeat: try fields.number("heartbeat"), maxMessageBytes: try fields.number("max_message_bytes"),
            limits: Welcome.Limits(
                rooms: try limits.number("rooms"), messagesPerSecond: try limits.number("messages_per_second"),
                history: try limits.number("history")))
    }

    private static func readJoined(_ fields: FieldReader) throws(FieldError) -> Joined {
        Joined(
            id: try fields.requestID("id"), room: try fields.room(),
            position: try fields.need("position", fields.position), recovered: try fields.flag("recovered"),
            members: try fields.users("members"), count: try fields.number("count", in: counts))
    }

    private static func readMembers(_ fields: FieldReader) throws(FieldError) -> MembersPage {
        MembersPage(
            id: try fields.requestID("id"), room: try fields.room(),
            members: try fields.need("members", fields.users), count: try fields.count(),
            hasMore: try fields.need("more", fields.flag))
    }

    private static func readHistory(_ fields: FieldReader) throws(FieldError) -> HistoryPage {
        HistoryPage(
            id: try fields.requestID("id"), room: try fields.room(),
            messages: try fields.need("messages", fields.objects).map { element throws(FieldError) in
                try readMessage(element)
            },
            hasMore: try fields.need("more", fields.flag), recovered: try fields.flag("recovered"))
    }

    /// A code that a later version added stands for ``ErrorCode/internal``, and in the text.
    private static func readError(_ fields: FieldReader) throws(FieldError) -> Refusal {
        let name = try fields.need("code", fields.string)
        let text = try fields.string("message") ?? ""
        let code = ErrorCode(rawValue: name)
        return Refusal(
            code: code ?? .internal, message: code == nil ? "\(name): \(text)" : text,
            id: try fields.requestID("id"), room: try fields.string("room"),
            retryAfter: try fields.number("retry_after", in: counts))
    }
}

extension FieldReader {
    fileprivate func room() throws(FieldError) -> RoomName { try need("room", room) }

    fileprivate func user() throws(FieldError) -> UserName { try need("user", user) }

    fileprivate func count() throws(FieldError) -> Int { try number("count") }

    fileprivate func number(_ field: StaticString) throws(FieldError) -> Int {
        guard let number = try number(field, in: 0...Int.max) else { throw .missing(field) }
        return number
    }
}

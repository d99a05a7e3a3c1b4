package import NIOCore

/// The bodies of HTTP requests that moderate. An empty body is an empty object.
extension Sentence {
    package static func parse(_ body: ByteBuffer) -> Result<Sentence, Refusal> {
        FieldReader.read(body, mayBeEmpty: true) { fields throws(FieldError) in try Sentence(fields) }
    }

    init(_ fields: FieldReader) throws(FieldError) {
        self.init(
            seconds: try fields.number("seconds", in: Self.allowedSeconds),
            reason: try fields.text("reason", "a string of 1 to \(Self.reasonLimit) bytes", in: 1...Self.reasonLimit))
    }
}

extension RoomSettings {
    package static func parse(_ body: ByteBuffer) -> Result<RoomSettings, Refusal> {
        FieldReader.read(body) { fields throws(FieldError) in try RoomSettings(fields) }
    }

    init(_ fields: FieldReader) throws(FieldError) {
        self.init(
            slowMode: try fields.number("slow_mode", in: Self.slowModes),
            memberLimit: try fields.number("member_limit", in: Self.memberLimits),
            messagesPerSecond: try fields.number("messages_per_second", in: Self.messageRates))
        guard slowMode != nil || memberLimit != nil || messagesPerSecond != nil else {
            throw FieldError(
                kind: .missing, text: "`slow_mode`, `member_limit` or `messages_per_second` is missing: give one")
        }
    }
}

extension Revocation {
    package static func parse(_ body: ByteBuffer) -> Result<Revocation, Refusal> {
        FieldReader.read(body) { fields throws(FieldError) in try Revocation(fields) }
    }

    init(_ fields: FieldReader) throws(FieldError) {
        let id = try fields.text("jti", "a string of 1 to \(Self.lengths.upperBound) bytes", in: Self.lengths)
        switch (id, try fields.user("user")) {
        case (let id?, nil): self = .token(id, expires: try fields.unsigned("expires"))
        case (nil, let user?): self = .tokens(of: user, issuedBefore: try fields.unsigned("issued_before"))
        case (nil, nil), (_?, _?):
            throw FieldError(kind: .missing, text: "give `jti`, of one token, or `user`, for all of that user's tokens")
        }
    }
}

/// What an administrator sends by a socket: `action`, and the fields of what it does.
extension Moderation {
    init(_ fields: FieldReader) throws(FieldError) {
        let action = try fields.need("action", fields.string)
        switch action {
        case "end_sessions": self = .endSessions(try fields.need("user", fields.user))
        case "revoke": self = .revoke(try Revocation(fields))
        case "ban":
            self = .ban(try fields.need("user", fields.user), from: try fields.rulableRoom(), try Sentence(fields))
        case "unban": self = .liftBan(try fields.need("user", fields.user), from: try fields.rulableRoom())
        case "kick":
            self = .kick(
                try fields.need("user", fields.user), from: try fields.needRulableRoom(),
                reason: try Sentence(fields).reason)
        case "mute":
            self = .mute(try fields.need("user", fields.user), in: try fields.needRulableRoom(), try Sentence(fields))
        case "unmute":
            self = .liftMute(try fields.need("user", fields.user), in: try fields.needRulableRoom())
        case "settings": self = .configure(try fields.needRulableRoom(), try RoomSettings(fields))
        default:
            throw .wrong("action", "end_sessions, revoke, ban, unban, kick, mute, unmute or settings")
        }
    }
}

extension FieldReader {
    fileprivate func needRulableRoom() throws(FieldError) -> RoomName {
        guard let room = try rulableRoom() else { throw .missing("room") }
        return room
    }

    /// Inboxes have no rules.
    fileprivate func rulableRoom() throws(FieldError) -> RoomName? {
        guard let room = try room("room") else { return nil }
        guard !room.isInbox else { throw FieldError(kind: .invalidRoom, text: "`room`: an inbox has no rules") }
        return room
    }

    /// A string of so many bytes.
    func text(_ field: StaticString, _ rule: String, in lengths: ClosedRange<Int>) throws(FieldError) -> String? {
        guard let text = try string(field) else { return nil }
        guard lengths.contains(text.utf8.count) else { throw .wrong(field, rule) }
        return text
    }

    /// Reads a body that is one object.
    static func read<Value>(
        _ body: ByteBuffer, mayBeEmpty: Bool = false, maximumDepth: Int = JSONScanner.maximumDepth,
        _ read: (FieldReader) throws(FieldError) -> Value
    ) -> Result<Value, Refusal> {
        let body = mayBeEmpty && body.readableBytes == 0 ? ByteBuffer(string: "{}") : body
        guard String(validating: body.readableBytesView, as: UTF8.self) != nil else {
            return .failure(Refusal(code: .invalidJSON, message: "not UTF-8"))
        }
        return body.withUnsafeReadableBytes { bytes in
            let fields: FieldReader
            do throws(JSONError) {
                fields = FieldReader(
                    object: try JSONScanner.object(in: bytes, maximumDepth: maximumDepth), frame: body)
            } catch {
                return .failure(Refusal(code: .invalidJSON, message: "\(error)"))
            }
            do throws(FieldError) {
                return .success(try read(fields))
            } catch {
                let code: ErrorCode = error.kind == .invalidRoom ? .invalidRoom : .invalidMessage
                return .failure(Refusal(code: code, message: error.text))
            }
        }
    }
}

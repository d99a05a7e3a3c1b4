package import NIOCore

extension ClientMessage {
    /// Appends the frame's JSON, as a client sends it. Fields with their default value are left out.
    package func write(into out: inout ByteBuffer) {
        switch self {
        case .join(let id, let room, let replay):
            out.beginRequest("join", id: id, room: room)
            switch replay {
            case .none: break
            case .since(let position, let limit):
                out.writeField("since", position: position)
                out.writeField("limit", number: limit)
            case .latest(let count):
                out.writeField("history", number: count)
            }
        case .resume(let id, let rooms, refused: _):
            out.beginRequest("resume", id: id, room: nil)
            out.writeField("rooms", rooms)
        case .leave(let id, let room):
            out.beginRequest("leave", id: id, room: room)
        case .message(let post):
            out.beginRequest("message", id: post.id, room: post.room)
            out.writeField("text", json: post.content.text)
            out.writeField("data", json: post.content.data)
            out.writeField("retry", flag: post.isRetry ? true : nil)
        case .typing(let id, let room, let active):
            out.beginRequest("typing", id: id, room: room)
            out.writeField("active", flag: active ? nil : false)
        case .signal(let id, let room, let data):
            out.beginRequest("signal", id: id, room: room)
            out.writeField("data", json: data)
        case .members(let id, let room, let limit, let after):
            out.beginRequest("members", id: id, room: room)
            out.writeField("limit", number: limit == Self.defaultMembersLimit ? nil : limit)
            out.writeField("after", name: after?.text)
        case .history(let id, let room, let before, let after, let limit):
            out.beginRequest("history", id: id, room: room)
            out.writeField("before", position: before)
            out.writeField("after", position: after)
            out.writeField("limit", number: limit == Self.defaultHistoryLimit ? nil : limit)
        case .auth(let id, let token):
            out.beginRequest("auth", id: id, room: nil)
            out.writeField("token", string: token)
        case .ping(let id):
            out.beginRequest("ping", id: id, room: nil)
        case .moderate(let id, let moderation):
            out.beginRequest("moderate", id: id, room: moderation.room)
            out.writeFields(of: moderation)
        }
        out.endEvent()
    }
}

extension Moderation {
    /// The room that it is about; nil where it is about all.
    package var room: RoomName? {
        switch self {
        case .endSessions, .revoke: nil
        case .ban(_, let room, _), .liftBan(_, let room): room
        case .kick(_, let room, _), .mute(_, let room, _), .liftMute(_, let room), .configure(let room, _): room
        }
    }
}

extension ByteBuffer {
    fileprivate mutating func writeFields(of moderation: Moderation) {
        func write(_ action: String, _ user: UserName?, _ sentence: Sentence = Sentence()) {
            writeField("action", string: action)
            writeField("user", name: user?.text)
            writeField("seconds", number: sentence.seconds)
            writeField("reason", string: sentence.reason)
        }
        switch moderation {
        case .endSessions(let user): write("end_sessions", user)
        case .revoke(.token(let id, let expires)):
            write("revoke", nil)
            writeField("jti", string: id)
            if let expires { writeField("expires", number: expires) }
        case .revoke(.tokens(let user, let time)):
            write("revoke", user)
            if let time { writeField("issued_before", number: time) }
        case .ban(let user, _, let sentence): write("ban", user, sentence)
        case .liftBan(let user, _): write("unban", user)
        case .kick(let user, _, let reason): write("kick", user, Sentence(reason: reason))
        case .mute(let user, _, let sentence): write("mute", user, sentence)
        case .liftMute(let user, _): write("unmute", user)
        case .configure(_, let settings):
            write("settings", nil)
            writeField("slow_mode", number: settings.slowMode)
            writeField("member_limit", number: settings.memberLimit)
            writeField("messages_per_second", number: settings.messagesPerSecond)
        }
    }

    fileprivate mutating func beginRequest(_ type: StaticString, id: RequestID?, room: RoomName?) {
        beginEvent(type)
        writeField("id", string: id?.text)
        writeField("room", name: room?.text)
    }

    fileprivate mutating func writeField(_ field: StaticString, _ rooms: [Resumption]) {
        beginField(field)
        writeInteger(UInt8(ascii: "{"))
        var isFirst = true
        for resumption in rooms {
            if !isFirst { writeInteger(UInt8(ascii: ",")) }
            writeQuoted(resumption.room.text)
            writeInteger(UInt8(ascii: ":"))
            writeJSONPosition(resumption.since)
            isFirst = false
        }
        writeInteger(UInt8(ascii: "}"))
    }
}

package import NIOCore

extension ServerMessage {
    /// Appends the event's JSON, without WebSocket framing. Absent values are absent fields.
    package func write(into out: inout ByteBuffer) {
        switch self {
        case .welcome(let welcome):
            out.beginEvent("welcome")
            out.writeField("protocol", number: welcome.version)
            out.writeField("session", string: welcome.session)
            out.writeField("user", name: welcome.user.text)
            out.writeField("node", string: welcome.node)
            out.writeField("heartbeat", number: welcome.heartbeat)
            out.writeField("max_message_bytes", number: welcome.maxMessageBytes)
            out.writeStaticString(#","limits":{"rooms":"#)
            out.writeDecimal(UInt64(max(0, welcome.limits.rooms)))
            out.writeField("messages_per_second", number: welcome.limits.messagesPerSecond)
            out.writeField("history", number: welcome.limits.history)
            out.endEvent()
        case .joined(let joined):
            out.beginEvent("joined", id: joined.id, room: joined.room)
            out.writeField("position", position: joined.position)
            out.writeField("recovered", flag: joined.recovered)
            out.writeField("members", users: joined.members)
            out.writeField("count", number: joined.count)
        case .left(let id, let room):
            out.beginEvent("left", id: id, room: room)
        case .message(let message):
            out.write(message)
            return
        case .ack(let ack):
            out.beginEvent("ack", id: ack.id, room: ack.room)
            out.writeField("position", position: ack.position)
            out.writeField("time", number: ack.time)
            out.writeField("duplicate", flag: ack.isDuplicate ? true : nil)
        case .userJoined(let room, let user, let count):
            out.beginEvent("user_joined", room: room, user: user)
            out.writeField("count", number: count)
        case .userLeft(let room, let user, let count):
            out.beginEvent("user_left", room: room, user: user)
            out.writeField("count", number: count)
        case .count(let room, let count):
            out.beginEvent("count", room: room)
            out.writeField("count", number: count)
        case .typing(let room, let user, let active):
            out.beginEvent("typing", room: room, user: user)
            out.writeField("active", flag: active)
        case .signal(let room, let user, let data):
            out.beginEvent("signal", room: room, user: user)
            out.writeField("data", json: data)
        case .members(let page):
            out.beginEvent("members", id: page.id, room: page.room)
            out.writeField("members", users: page.members)
            out.writeField("count", number: page.count)
            out.writeField("more", flag: page.hasMore)
        case .history(let page):
            out.beginEvent("history", id: page.id, room: page.room)
            out.writeStaticString(#","messages":["#)
            var isFirst = true
            for message in page.messages {
                if !isFirst { out.writeInteger(UInt8(ascii: ",")) }
                out.write(message)
                isFirst = false
            }
            out.writeInteger(UInt8(ascii: "]"))
            out.writeField("more", flag: page.hasMore)
            out.writeField("recovered", flag: page.recovered)
        case .gap(let room, let after, let before):
            out.beginEvent("gap", room: room)
            out.writeField("after", position: after)
            out.writeField("before", position: before)
        case .rewind(let room, let position):
            out.beginEvent("rewind", room: room)
            out.writeField("to", position: position)
        case .authenticated(let id, let user, let expires):
            out.beginEvent("authenticated", id: id, user: user)
            out.writeField("expires", number: expires)
        case .expiring(let expires):
            out.beginEvent("expiring")
            out.writeField("expires", number: expires)
        case .pong(let id, let time):
            out.beginEvent("pong", id: id)
            out.writeField("time", number: time)
        case .reconnect(let after, let deadline, let reason):
            out.beginEvent("reconnect")
            out.writeField("after", number: after)
            out.writeField("deadline", number: deadline)
            out.writeField("reason", string: reason)
        case .moderated(let id, let closed):
            out.beginEvent("moderated", id: id)
            out.writeField("closed", number: closed)
        case .error(let refusal):
            out.beginEvent("error", id: refusal.id)
            out.writeField("room", string: refusal.room)
            out.writeField("code", string: refusal.code.rawValue)
            out.writeField("message", string: refusal.message)
            out.writeField("retry_after", number: refusal.retryAfter)
        case .unknown(let type):
            // Nobody sends one; written as an event without fields so that what was read can be shown.
            out.writeStaticString(#"{"type":"#)
            out.writeJSONString(type)
        }
        out.endEvent()
    }
}

extension ByteBuffer {
    fileprivate mutating func beginEvent(
        _ type: StaticString, id: RequestID? = nil, room: RoomName? = nil, user: UserName? = nil
    ) {
        beginEvent(type)
        writeField("id", string: id?.text)
        writeField("room", name: room?.text)
        writeField("user", name: user?.text)
    }

    /// In the order of fields that a rendered ``StoredMessage`` has.
    fileprivate mutating func write(_ message: Message) {
        beginEvent("message")
        writeField("position", position: message.position)
        writeField("time", number: message.time)
        writeField("room", name: message.room.text)
        writeField("user", name: message.user.text)
        writeField("id", string: message.id?.text)
        writeField("to", name: message.to?.text)
        writeField("text", string: message.text)
        writeField("data", json: message.data)
        endEvent()
    }
}

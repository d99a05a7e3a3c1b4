package import NIOCore

extension ClientMessage {
    /// Reads a client's frame, in one pass over its bytes, which must be valid UTF-8.
    ///
    /// - Returns: the message, or the refusal to answer with: `invalid_json`, `unknown_type`, `invalid_room`, or
    ///   `invalid_message` naming the field. It carries the frame's `id` and `room` where they could be read.
    ///
    /// - Parameter maximumDepth: objects and arrays inside one another.
    package static func parse(
        _ frame: ByteBuffer, maximumDepth: Int = JSONScanner.maximumDepth
    ) -> Result<ClientMessage, Refusal> {
        frame.withUnsafeReadableBytes { bytes in
            do throws(JSONError) {
                let fields = FieldReader(
                    object: try JSONScanner.object(in: bytes, maximumDepth: maximumDepth), frame: frame)
                return parse(fields)
            } catch {
                return .failure(Refusal(code: .invalidJSON, message: "\(error)"))
            }
        }
    }

    /// Only the `id` of a frame that is not going to be parsed, as far as the frame is readable.
    package static func requestID(in frame: ByteBuffer) -> RequestID? {
        partialFields(of: frame) { $0.knownID }
    }

    /// The answer to a frame of more than `limit` bytes.
    package static func tooLarge(_ frame: ByteBuffer, limit: Int) -> Refusal {
        let (id, room) = partialFields(of: frame) { ($0.knownID, $0.knownRoom) } ?? (nil, nil)
        return Refusal(
            code: .messageTooLarge,
            message: "the frame has \(frame.readableBytes) bytes, at most \(limit) are taken", id: id, room: room)
    }

    private static func partialFields<Answer>(
        of frame: ByteBuffer, _ read: (FieldReader) -> Answer?
    ) -> Answer? {
        frame.withUnsafeReadableBytes { bytes in
            JSONScanner.partialObject(in: bytes).flatMap { read(FieldReader(object: $0, frame: frame)) }
        }
    }

    private static func parse(_ fields: FieldReader) -> Result<ClientMessage, Refusal> {
        do throws(FieldError) {
            // What nearly all are is not made a string first.
            if fields.holds("type", "message") { return .success(.message(try readPost(fields))) }
            guard let type = try fields.string("type") else { throw .missing("type") }
            guard let message = try read(type, fields) else {
                return .failure(
                    fields.refusal(
                        .unknownType,
                        "`type` must be join, resume, leave, message, typing, signal, members, history, auth, ping or moderate"
                    ))
            }
            return .success(message)
        } catch {
            let code: ErrorCode =
                switch error.kind {
                case .missing, .wrong: .invalidMessage
                case .invalidRoom: .invalidRoom
                }
            return .failure(fields.refusal(code, error.text))
        }
    }

    /// - Returns: nil for a type that there is not.
    private static func read(_ type: String, _ fields: FieldReader) throws(FieldError) -> ClientMessage? {
        switch type {
        case "message": .message(try readPost(fields))
        case "join": try readJoin(fields)
        case "resume": try readResume(fields)
        case "leave": .leave(id: try fields.requestID("id"), room: try fields.need("room", fields.room))
        case "typing":
            .typing(
                id: try fields.requestID("id"), room: try fields.need("room", fields.room),
                active: try fields.flag("active") ?? true)
        case "signal":
            .signal(
                id: try fields.requestID("id"), room: try fields.need("room", fields.room),
                data: try fields.need("data", fields.json))
        case "members":
            .members(
                id: try fields.requestID("id"), room: try fields.need("room", fields.room),
                limit: try fields.number("limit", in: limits) ?? defaultMembersLimit, after: try fields.user("after"))
        case "history": try readHistory(fields)
        case "auth": .auth(id: try fields.requestID("id"), token: try fields.need("token", fields.string))
        case "ping": .ping(id: try fields.requestID("id"))
        case "moderate": .moderate(id: try fields.requestID("id"), try Moderation(fields))
        default: nil
        }
    }

    /// Reads the body of an HTTP request that posts to a room: the fields of `message` without type and room.
    package static func parsePost(
        _ body: ByteBuffer, to room: RoomName, maximumDepth: Int = JSONScanner.maximumDepth
    ) -> Result<Post, Refusal> {
        FieldReader.read(body, maximumDepth: maximumDepth) { fields throws(FieldError) in try readPost(fields, to: room)
        }
    }

    private static func readPost(_ fields: FieldReader, to knownRoom: RoomName? = nil) throws(FieldError) -> Post {
        let id = try fields.requestID("id")
        // Not `need`, which would copy the reader for its closure: this is read for every message.
        var room = knownRoom
        if room == nil { room = try fields.room("room") }
        guard let room else { throw .missing("room") }
        let content = Content(text: try fields.jsonString("text"), data: try fields.json("data"))
        guard content.text != nil || content.data != nil else {
            throw FieldError(kind: .missing, text: "`text` or `data` is missing: a message needs at least one of them")
        }
        let isRetry = try fields.flag("retry") ?? false
        guard !isRetry || id != nil else {
            throw FieldError(kind: .missing, text: "`id` is missing: `retry` needs that of the first attempt")
        }
        return Post(id: id, room: room, content: content, isRetry: isRetry)
    }

    private static func readJoin(_ fields: FieldReader) throws(FieldError) -> ClientMessage {
        let id = try fields.requestID("id")
        let room = try fields.need("room", fields.room)
        let since = try fields.position("since")
        let latest = try fields.number("history", in: historyLimits)
        let limit = try fields.number("limit", in: limits)
        let replay: Replay
        switch (since, latest) {
        case (_?, _?):
            throw FieldError(kind: .wrong, text: "`since` and `history` exclude each other: give one of them")
        case (let since?, nil): replay = .since(since, limit: limit)
        case (nil, nil), (nil, 0): replay = .none
        case (nil, let latest?): replay = .latest(latest)
        }
        return .join(id: id, room: room, replay: replay)
    }

    private static func readResume(_ fields: FieldReader) throws(FieldError) -> ClientMessage {
        let id = try fields.requestID("id")
        let list = try fields.need("rooms", fields.nested)
        var rooms: [Resumption] = []
        rooms.reserveCapacity(list.object.fields.count)
        var refused: [Refusal] = []
        for field in list.object.fields {
            let name = list.object.key(of: field)
            guard let room = RoomName(name) else {
                let error = FieldError.invalidRoom("rooms")
                refused.append(Refusal(code: .invalidRoom, message: error.text, id: id, room: echo(name)))
                continue
            }
            guard let since = list.position(field.value) else {
                let error = FieldError.wrong("rooms", "rooms with " + FieldReader.positionRule)
                refused.append(Refusal(code: .invalidMessage, message: error.text, id: id, room: name))
                continue
            }
            rooms.append(Resumption(room: room, since: since))
        }
        return .resume(id: id, rooms: rooms, refused: refused)
    }

    private static func readHistory(_ fields: FieldReader) throws(FieldError) -> ClientMessage {
        let id = try fields.requestID("id")
        let room = try fields.need("room", fields.room)
        let before = try fields.position("before")
        let after = try fields.position("after")
        guard before == nil || after == nil else {
            throw FieldError(kind: .wrong, text: "`before` and `after` exclude each other: give one of them")
        }
        let limit = try fields.number("limit", in: limits) ?? defaultHistoryLimit
        return .history(id: id, room: room, before: before, after: after, limit: limit)
    }

    /// What an error repeats as its `room`: also what is no room's name, so that the client can tell which one it was,
    /// but not at any length.
    fileprivate static func echo(_ room: String) -> String? {
        room.utf8.count <= 256 ? room : nil
    }
}

extension FieldReader {
    fileprivate var knownID: RequestID? { try? requestID("id") }

    fileprivate var knownRoom: String? { (try? string("room")).flatMap { $0 }.flatMap(ClientMessage.echo) }

    fileprivate func refusal(_ code: ErrorCode, _ message: String) -> Refusal {
        Refusal(code: code, message: message, id: knownID, room: knownRoom)
    }
}

import ChatHub
import ChatProtocol
import HTTPTypes
import Hummingbird
import NIOCore
import NIOHTTP1

/// What moderators can do by HTTP. An answer comes when all nodes that live have done it.
struct ModerationRoutes: Sendable {
    private let moderator: Moderator
    private let authorize: @Sendable (Request, HTTPContext) throws -> Void

    /// - Parameter authorize: throws unless the request is a moderator's.
    init(moderator: Moderator, authorize: @escaping @Sendable (Request, HTTPContext) throws -> Void) {
        self.moderator = moderator
        self.authorize = authorize
    }

    func add(to group: RouterGroup<HTTPContext>) {
        group.serve("/users/:user/sessions", [(.delete, perform { .endSessions(try $1.user()) })])
        group.serve(
            "/users/:user/ban",
            [
                (.get, { try ban($0, $1) }),
                (.put, perform { .ban(try $1.user(), from: nil, try Sentence.parse($0).get()) }),
                (.delete, perform { _, context in .liftBan(try context.user(), from: nil) }),
            ])
        group.serve(
            "/rooms/:room/members/:user",
            [
                (
                    .delete,
                    perform {
                        .kick(try $1.user(), from: try $1.rulableRoom(), reason: try Sentence.parse($0).get().reason)
                    }
                )
            ])
        group.serve("/rooms/:room/bans", [(.get, tell { $0.writeRemainders($1.bans) })])
        group.serve(
            "/rooms/:room/bans/:user",
            [
                (.put, perform { .ban(try $1.user(), from: try $1.rulableRoom(), try Sentence.parse($0).get()) }),
                (.delete, perform { _, context in .liftBan(try context.user(), from: try context.rulableRoom()) }),
            ])
        group.serve("/rooms/:room/mutes", [(.get, tell { $0.writeRemainders($1.mutes) })])
        group.serve(
            "/rooms/:room/mutes/:user",
            [
                (.put, perform { .mute(try $1.user(), in: try $1.rulableRoom(), try Sentence.parse($0).get()) }),
                (.delete, perform { _, context in .liftMute(try context.user(), in: try context.rulableRoom()) }),
            ])
        group.serve(
            "/rooms/:room/settings",
            [(.get, tell { $0.writeSettings($1.settings) }), (.put, { try await configure($0, $1) })])
        group.serve("/tokens/revocations", [(.post, perform { body, _ in .revoke(try Revocation.parse(body).get()) })])
    }

    private func perform(
        _ read: @escaping @Sendable (ByteBuffer, HTTPContext) throws -> Moderation
    ) -> RouterGroup<HTTPContext>.Handler {
        { request, context in
            try authorize(request, context)
            let moderation = try await Self.body(of: request) { try read($0, context) }
            let outcome = try await Self.answer { moderator.perform(moderation, now: WallClock.milliseconds()) }
            return .json(outcome.json)
        }
    }

    /// Tells something of a room's rules.
    private func tell(
        _ write: @escaping @Sendable (inout ByteBuffer, RoomRules) -> Void
    ) -> RouterGroup<HTTPContext>.Handler {
        { request, context in
            try authorize(request, context)
            let room = try context.rulableRoom()
            let rules = try await Self.answer { moderator.change(nil, in: room) }
            var json = ByteBuffer()
            write(&json, rules)
            return .json(json)
        }
    }

    private func configure(_ request: Request, _ context: HTTPContext) async throws -> Response {
        try authorize(request, context)
        let room = try context.rulableRoom()
        let settings = try await Self.body(of: request) { try RoomSettings.parse($0).get() }
        let rules = try await Self.answer { moderator.change(.settings(settings), in: room) }
        var json = ByteBuffer()
        json.writeSettings(rules.settings)
        return .json(json)
    }

    private static func body<Value>(
        of request: Request, _ read: (ByteBuffer) throws -> Value
    ) async throws -> Value {
        let body = try await request.body.collect(upTo: bodyLimit)
        do {
            return try read(body)
        } catch let refusal as Refusal {
            throw HTTPRefusal(refusal)
        }
    }

    private static func answer<Value: Sendable>(_ ask: () -> EventLoopFuture<Value>) async throws -> Value {
        do {
            return try await ask().get()
        } catch {
            throw HTTPRefusal(
                .serviceUnavailable, .unavailable, "the store cannot be reached, try again",
                headers: ["Retry-After": "1"])
        }
    }

    private func ban(_ request: Request, _ context: HTTPContext) throws -> Response {
        try authorize(request, context)
        guard let ban = moderator.sanctions.ban(of: try context.user()) else {
            throw HTTPRefusal(.notFound, .notFound, "this user is not banned")
        }
        var json = ByteBuffer()
        json.writeSentence(millisecondsLeft: ban.left, reason: ban.reason)
        return .json(json)
    }

    private static let bodyLimit = 16_384
}

extension HTTPContext {
    /// The room in the path. Inboxes have no rules.
    fileprivate func rulableRoom() throws(HTTPRefusal) -> RoomName {
        let room = try room()
        guard !room.isInbox else { throw HTTPRefusal(.badRequest, .invalidRoom, "an inbox has no rules") }
        return room
    }
}

extension ByteBuffer {
    /// `{USER:{"seconds":N,"reason":TEXT},…}`, sorted by users.
    fileprivate mutating func writeRemainders(_ remainders: [UserName: RoomRules.Remainder]) {
        writeString("{")
        for (index, user) in remainders.keys.sorted().enumerated() {
            guard let remainder = remainders[user] else { continue }
            writeString("\(index > 0 ? "," : "")\"\(user)\":")
            writeSentence(millisecondsLeft: remainder.left, reason: remainder.reason)
        }
        writeString("}")
    }

    fileprivate mutating func writeSettings(_ settings: RoomSettings) {
        writeString("{\"slow_mode\":\(settings.slowMode ?? 0),\"member_limit\":\(settings.memberLimit ?? 0)")
        writeString(",\"messages_per_second\":\(settings.messagesPerSecond ?? 0)}")
    }
}

extension Moderator.Outcome {
    /// `{"closed":N}`, and the nodes that have not answered, if there are some.
    var json: ByteBuffer {
        // Nodes' names need no escapes.
        let names = silent.map { "\"\($0)\"" }.joined(separator: ",")
        return ByteBuffer(string: "{\"closed\":\(affected)" + (silent.isEmpty ? "}" : ",\"silent\":[\(names)]}"))
    }
}

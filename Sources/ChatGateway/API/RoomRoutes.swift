import ChatHub
import ChatProtocol
import HTTPTypes
import Hummingbird
import NIOCore
import NIOHTTP1

/// What clients without a socket, and other servers, can do with rooms.
struct RoomRoutes: Sendable {
    struct Settings: Sendable {
        var heartbeat: TimeAmount
        var maxMessageBytes: Int
        /// Of posts of one user; 0 for none.
        var messagesPerSecond: Int
        var presenceGrace: TimeAmount
    }

    let access: APIAccess
    let settings: Settings
    /// Each is used on its loop only.
    let environments: [ObjectIdentifier: NIOLoopBound<ChatSession.Environment>]
    /// Closes a user's sessions on this node.
    let endSessions: @Sendable (UserName) async -> Int
    private let rates: RequestRates

    init(
        access: APIAccess, settings: Settings, environments: [NIOLoopBound<ChatSession.Environment>],
        endSessions: @escaping @Sendable (UserName) async -> Int
    ) {
        self.access = access
        self.settings = settings
        self.environments = Dictionary(
            uniqueKeysWithValues: environments.map { (ObjectIdentifier($0.eventLoop), $0) })
        self.endSessions = endSessions
        rates = RequestRates(perSecond: settings.messagesPerSecond)
    }

    private typealias Handler = @Sendable (Request, HTTPContext) async throws -> Response

    func add(to router: Router<HTTPContext>) {
        let group = router.group().add(middleware: CrossOrigin(access: access)).add(middleware: JSONErrors())
        func on(_ path: RouterPath, _ handlers: [(HTTPRequest.Method, Handler)]) {
            let methods = handlers.map(\.0)
            for (method, handler) in handlers { group.on(path, method: method) { try await handler($0, $1) } }
            group.on(path, method: .options) { _, _ in CrossOrigin.preflight(methods: methods) }
            let others: [HTTPRequest.Method] = [.get, .head, .post, .put, .delete, .patch, .trace, .connect]
            for method in others where !methods.contains(method) && (method != .head || !methods.contains(.get)) {
                group.on(path, method: method) { _, _ -> Response in
                    throw HTTPRefusal(
                        .methodNotAllowed, .methodNotAllowed, "the method is not allowed here",
                        headers: ["Allow": methods.map(\.rawValue).joined(separator: ", ")])
                }
            }
        }
        on("/rooms/:room/events", [(.get, events)])
        on("/rooms/:room/messages", [(.get, messages), (.post, post)])
        on("/rooms/:room/members", [(.get, members)])
        on("/users/:user/sessions", [(.delete, { try await deleteSessions($0, $1) })])
    }

    // MARK: Events

    private func events(_ request: Request, _ context: HTTPContext) async throws -> Response {
        let query = try access.query(of: request)
        let caller = try access.caller(of: request, from: context.peerAddress, query: query)
        let room = try room(of: context)
        try checkReading(room, by: caller)
        let since = try position(
            request.headers.first { $0.name.canonicalName == "last-event-id" }?.value ?? query["since"],
            "Last-Event-ID or since")
        let environment = try environment(of: context)
        let place = try place(for: context)
        let lifetime = caller.identity.endsAt.map { TimeAmount.milliseconds(Int64($0) - Int64(access.clock())) }
        let settings = settings
        let stream = try await environment.eventLoop.flatSubmit {
            let environment = environment.value
            let stream = EventStream(
                user: caller.user, room: room, hub: environment.hub, grace: settings.presenceGrace
            ) { stream in
                environment.registry.remove(stream)
                place.leave()
            }
            environment.registry.add(stream)
            let bound = NIOLoopBound(stream, eventLoop: environment.hub.eventLoop)
            return stream.start(since: since, heartbeat: settings.heartbeat, lifetime: lifetime).map { bound }
        }.get()
        return Response(
            status: .ok,
            headers: [.contentType: "text/event-stream", .cacheControl: "no-store", .xContentTypeOptions: "nosniff"],
            body: ResponseBody { writer in
                let loop = environment.eventLoop
                defer { loop.execute { stream.value.end() } }
                try await withTaskCancellationHandler {
                    while let piece = try await loop.flatSubmit({ stream.value.next() }).get() {
                        try await writer.write(piece)
                    }
                } onCancel: {
                    loop.execute { stream.value.end() }
                }
                try await writer.finish(nil)
            })
    }

    // MARK: Messages

    private func messages(_ request: Request, _ context: HTTPContext) async throws -> Response {
        let query = try access.query(of: request)
        let caller = try access.caller(of: request, from: context.peerAddress, query: query)
        let room = try room(of: context)
        try checkReading(room, by: caller)
        let after = try position(query["after"], "after")
        let before = try position(query["before"], "before")
        guard after == nil || before == nil else { throw Self.bad("`before` and `after` exclude each other: give one") }
        let limit = try number(query, "limit", in: ClientMessage.limits) ?? ClientMessage.defaultHistoryLimit
        let wait = try number(query, "wait", in: 0...60) ?? 0
        guard wait == 0 || before == nil else { throw Self.bad("`wait` is for what comes after, not `before`") }
        let environment = try environment(of: context)
        guard wait > 0 else {
            return try await page(of: room, before: before, after: after, limit: limit, environment)
        }
        let place = try place(for: context)
        defer { place.leave() }
        let start = try await news(in: room, after: after, for: .seconds(Int64(wait)), caller, environment)
        return try await page(of: room, before: nil, after: start, limit: limit, environment)
    }

    /// Holds the request until there is something, or the time is over.
    private func news(
        in room: RoomName, after: Position?, for time: TimeAmount, _ caller: APIAccess.Caller,
        _ environment: NIOLoopBound<ChatSession.Environment>
    ) async throws -> Position {
        let loop = environment.eventLoop
        let (wait, news) = try await loop.submit { () -> (NIOLoopBound<MessageWait>, EventLoopFuture<Position>) in
            let (wait, news) = MessageWait.begin(
                user: caller.user, room: room, after: after, for: time, hub: environment.value.hub)
            return (NIOLoopBound(wait, eventLoop: loop), news)
        }.get()
        return try await withTaskCancellationHandler {
            try await news.get()
        } onCancel: {
            loop.execute { wait.value.end() }
        }
    }

    private func page(
        of room: RoomName, before: Position?, after: Position?, limit: Int,
        _ environment: NIOLoopBound<ChatSession.Environment>
    ) async throws -> Response {
        let slice = try await answer {
            environment.eventLoop.flatSubmit {
                let commands = environment.value.hub.commands
                return after.map { commands.read(room, after: $0, limit: limit) }
                    ?? commands.readLatest(room, before: before, limit: limit)
            }
        }
        return Self.json(slice.page(of: room, id: nil, isForward: after != nil))
    }

    private func post(_ request: Request, _ context: HTTPContext) async throws -> Response {
        let query = try access.query(of: request)
        let caller = try access.caller(of: request, from: context.peerAddress, query: query)
        let room = try room(of: context)
        guard caller.identity.rights.mayPost(to: room) else {
            throw HTTPRefusal(.forbidden, .forbidden, "the token does not allow posting here")
        }
        let body = try await request.body.collect(upTo: .max)
        guard body.readableBytes <= settings.maxMessageBytes else {
            throw HTTPRefusal(
                .payloadTooLarge, .messageTooLarge, "a body may have at most \(settings.maxMessageBytes) bytes")
        }
        let post: Post
        switch ClientMessage.parsePost(body, to: room) {
        case .failure(let refusal): throw HTTPRefusal(refusal)
        case .success(let parsed): post = parsed
        }
        if !caller.isServer, let wait = rates.take(caller.user.text, at: .now()) {
            throw HTTPRefusal(
                Refusal(
                    code: .rateLimited, message: "more than \(settings.messagesPerSecond) messages a second",
                    retryAfter: wait))
        }
        let environment = try environment(of: context)
        let receipt = try await answer {
            environment.eventLoop.flatSubmit {
                let environment = environment.value
                let stored = environment.hub.eventLoop.makePromise(of: Receipt.self)
                Posting(hub: environment.hub, registry: environment.registry)
                    .post(post, from: caller.user, exceptFor: nil) { stored.completeWith($0.mapError { $0 }) }
                return stored.futureResult
            }
        }
        var json = ByteBuffer()
        receipt.write(of: post, into: &json)
        return Self.json(json, status: receipt.isDuplicate ? .ok : .created)
    }

    // MARK: Members and sessions

    private func members(_ request: Request, _ context: HTTPContext) async throws -> Response {
        let query = try access.query(of: request)
        let caller = try access.caller(of: request, from: context.peerAddress, query: query)
        let room = try room(of: context)
        guard !room.isInbox else { throw HTTPRefusal(.forbidden, .forbidden, "an inbox has no list of members") }
        try checkReading(room, by: caller)
        let limit = try number(query, "limit", in: ClientMessage.limits) ?? ClientMessage.defaultMembersLimit
        let after = try query["after"].map { text throws(HTTPRefusal) in
            guard let user = UserName(text) else { throw Self.bad("`after` must be a user's name") }
            return user
        }
        let environment = try environment(of: context)
        let roster = try await answer {
            environment.eventLoop.flatSubmit {
                environment.value.hub.commands.members(of: room, after: after, limit: limit)
            }
        }
        var json = ByteBuffer()
        ServerMessage.members(
            MembersPage(id: nil, room: room, members: roster.members, count: roster.count, hasMore: roster.hasMore)
        ).write(into: &json)
        return Self.json(json)
    }

    private func deleteSessions(_ request: Request, _ context: HTTPContext) async throws -> Response {
        try access.checkAdministrator(
            request, from: context.peerAddress, query: try access.query(of: request))
        return try await Self.endSessions(of: context, endSessions)
    }

    /// The same for the operations port, where nobody is asked who they are.
    static func endSessions(
        of context: HTTPContext, _ endSessions: @Sendable (UserName) async -> Int
    ) async throws -> Response {
        guard let text = context.parameters.get("user").flatMap({ QueryItems.decode($0[...]) }),
            let user = UserName(text)
        else { throw HTTPRefusal(.badRequest, .invalidUser, "this is no user's name") }
        return json(ByteBuffer(string: "{\"closed\":\(await endSessions(user))}"))
    }

    // MARK: Parts

    private func room(of context: HTTPContext) throws(HTTPRefusal) -> RoomName {
        guard let text = context.parameters.get("room").flatMap({ QueryItems.decode($0[...]) }),
            let room = RoomName(text)
        else { throw HTTPRefusal(.badRequest, .invalidRoom, "this is no room's name") }
        return room
    }

    /// For a request that lasts.
    private func place(for context: HTTPContext) throws(HTTPRefusal) -> FrontDoor.Place {
        let place = try access.door.place(for: context.peerAddress)
        context.lasts()
        return place
    }

    private func checkReading(_ room: RoomName, by caller: APIAccess.Caller) throws(HTTPRefusal) {
        guard caller.identity.rights.mayRead(room, as: caller.user) else {
            throw HTTPRefusal(
                .forbidden, .forbidden,
                room.isInbox ? "only its owner may read an inbox" : "the token does not allow this room")
        }
    }

    private func environment(
        of context: HTTPContext
    ) throws(HTTPRefusal) -> NIOLoopBound<ChatSession.Environment> {
        guard let environment = environments[ObjectIdentifier(context.loop)] else {
            throw HTTPRefusal(.internalServerError, .internal, "something is wrong on this node")
        }
        return environment
    }

    /// What the store says, or a refusal.
    private func answer<Value: Sendable>(_ ask: () -> EventLoopFuture<Value>) async throws -> Value {
        do {
            return try await ask().get()
        } catch {
            throw HTTPRefusal(BrokerError(any: error))
        }
    }

    private func position(_ text: String?, _ name: String) throws(HTTPRefusal) -> Position? {
        guard let text else { return nil }
        guard let position = Position(text) else { throw Self.bad("`\(name)` must be a position, EPOCH-SEQ") }
        return position
    }

    private func number(
        _ query: [String: String], _ name: String, in range: ClosedRange<Int>
    ) throws(HTTPRefusal) -> Int? {
        guard let text = query[name] else { return nil }
        guard text.utf8.allSatisfy({ (0x30...0x39).contains($0) }), let number = Int(text), range.contains(number)
        else {
            throw Self.bad("`\(name)` must be an integer from \(range.lowerBound) to \(range.upperBound)")
        }
        return number
    }

    private static func bad(_ message: String) -> HTTPRefusal { HTTPRefusal(.badRequest, .badRequest, message) }

    private static func json(_ bytes: ByteBuffer, status: HTTPResponse.Status = .ok) -> Response {
        Response(
            status: status,
            headers: [
                .contentType: "application/json; charset=utf-8", .cacheControl: "no-store",
                .xContentTypeOptions: "nosniff",
            ],
            body: .init(byteBuffer: bytes))
    }
}

extension Receipt {
    /// The answer to a post.
    fileprivate func write(of post: Post, into out: inout ByteBuffer) {
        out.writeString("{\"room\":\"\(post.room.text)\",\"position\":\"\(position)\",\"time\":\(time)")
        if isDuplicate { out.writeString(",\"duplicate\":true") }
        out.writeString("}")
    }
}

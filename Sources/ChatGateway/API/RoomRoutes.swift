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
        var maxJSONDepth: Int
    }

    let access: APIAccess
    let settings: Settings
    /// Each is used on its loop only.
    let environments: [ObjectIdentifier: NIOLoopBound<ChatSession.Environment>]
    private let rates: RequestRates
    private let userRates: UserRates

    init(
        access: APIAccess, settings: Settings, environments: [NIOLoopBound<ChatSession.Environment>],
        userRates: UserRates
    ) {
        self.access = access
        self.settings = settings
        self.userRates = userRates
        self.environments = Dictionary(
            uniqueKeysWithValues: environments.map { (ObjectIdentifier($0.eventLoop), $0) })
        rates = RequestRates(perSecond: settings.messagesPerSecond)
    }

    /// - Parameter group: that of the public port's API.
    func add(to group: RouterGroup<HTTPContext>) {
        group.serve("/rooms/:room/events", [(.get, events)])
        group.serve("/rooms/:room/messages", [(.get, messages), (.post, post)])
        group.serve("/rooms/:room/members", [(.get, members)])
    }

    // MARK: Events

    private func events(_ request: Request, _ context: HTTPContext) async throws -> Response {
        let query = try access.query(of: request)
        let caller = try access.caller(of: request, from: context.peerAddress, query: query)
        let room = try context.room()
        try access.checkReading(room, by: caller)
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
                identity: caller.identity, room: room, hub: environment.hub, grace: settings.presenceGrace
            ) { stream in
                environment.registry.remove(stream)
                place.leave()
            }
            environment.registry.add(stream)
            if access.door.sanctions?.refusal(of: caller.identity) != nil { stream.end() }
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
        let room = try context.room()
        try access.checkReading(room, by: caller)
        let after = try position(query["after"], "after")
        let before = try position(query["before"], "before")
        guard after == nil || before == nil else { throw Self.bad("`before` and `after` exclude each other: give one") }
        let limit = try number(query, "limit", in: ClientMessage.limits) ?? ClientMessage.defaultHistoryLimit
        let wait = try number(query, "wait", in: 0...60) ?? 0
        guard wait == 0 || before == nil else { throw Self.bad("`wait` is for what comes after, not `before`") }
        try checkReads(limit, by: caller)
        let environment = try environment(of: context)
        guard wait > 0 else {
            return try await page(of: room, before: before, after: after, limit: limit, environment)
        }
        let place = try place(for: context)
        defer { place.leave() }
        let start = try await news(in: room, after: after, for: .seconds(Int64(wait)), caller, environment)
        try access.check(caller)
        try access.checkReading(room, by: caller)
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
        let slice = try await answer(in: room) {
            environment.eventLoop.flatSubmit {
                environment.value.hub.commands.read(
                    SlicedRead(after.map { .after($0, limit: limit) } ?? .latest(before: before, limit: limit)),
                    of: room, on: environment.eventLoop)
            }
        }
        return Response.json(slice.page(of: room, id: nil, isForward: after != nil))
    }

    private func post(_ request: Request, _ context: HTTPContext) async throws -> Response {
        let query = try access.query(of: request)
        let caller = try access.caller(of: request, from: context.peerAddress, query: query)
        let room = try context.room()
        guard caller.identity.rights.mayPost(to: room) else {
            throw HTTPRefusal(.forbidden, .forbidden, "the token does not allow posting here")
        }
        let body = try await request.body.collect(upTo: .max)
        guard body.readableBytes <= settings.maxMessageBytes else {
            throw HTTPRefusal(
                .payloadTooLarge, .messageTooLarge, "a body may have at most \(settings.maxMessageBytes) bytes")
        }
        let post: Post
        switch ClientMessage.parsePost(body, to: room, maximumDepth: settings.maxJSONDepth) {
        case .failure(let refusal): throw HTTPRefusal(refusal)
        case .success(let parsed): post = parsed
        }
        if !caller.isServer, let wait = rates.take(of: caller.user.text, at: .now()) {
            throw HTTPRefusal(
                Refusal(
                    code: .rateLimited, message: "more than \(settings.messagesPerSecond) messages a second",
                    retryAfter: wait))
        }
        let environment = try environment(of: context)
        let receipt = try await answer(in: room) {
            environment.eventLoop.flatSubmit {
                let environment = environment.value
                let stored = environment.hub.eventLoop.makePromise(of: Receipt.self)
                var posting = environment.posting
                // Other servers write on behalf of all their users.
                if caller.isServer { posting.newRooms = nil }
                posting.post(post, from: caller.user, exceptFor: nil) {
                    stored.completeWith($0.mapError { $0 })
                }
                return stored.futureResult
            }
        }
        var json = ByteBuffer()
        receipt.write(of: post, into: &json)
        return Response.json(json, status: receipt.isDuplicate ? .ok : .created)
    }

    // MARK: Members

    private func members(_ request: Request, _ context: HTTPContext) async throws -> Response {
        let query = try access.query(of: request)
        let caller = try access.caller(of: request, from: context.peerAddress, query: query)
        let room = try context.room()
        guard !room.isInbox else { throw HTTPRefusal(.forbidden, .forbidden, "an inbox has no list of members") }
        try access.checkReading(room, by: caller)
        let limit = try number(query, "limit", in: ClientMessage.limits) ?? ClientMessage.defaultMembersLimit
        let after = try query["after"].map { text throws(HTTPRefusal) in
            guard let user = UserName(text) else { throw Self.bad("`after` must be a user's name") }
            return user
        }
        try checkReads(limit, by: caller)
        let environment = try environment(of: context)
        let roster = try await answer(in: room) {
            environment.eventLoop.flatSubmit {
                environment.value.hub.commands.members(of: room, after: after, limit: limit)
            }
        }
        if !caller.isServer { userRates.charge(caller.user, for: roster, asked: limit, at: .now()) }
        var json = ByteBuffer()
        ServerMessage.members(
            MembersPage(id: nil, room: room, members: roster.members, count: roster.count, hasMore: roster.hasMore)
        ).write(into: &json)
        return Response.json(json)
    }

    // MARK: Parts

    /// - Throws: when the user has read too much.
    private func checkReads(_ count: Int, by caller: APIAccess.Caller) throws(HTTPRefusal) {
        guard !caller.isServer, let wait = userRates.reads.take(count, of: caller.user.text, at: .now()) else { return }
        throw HTTPRefusal(UserRates.tooManyReads(wait: wait))
    }

    /// For a request that lasts.
    private func place(for context: HTTPContext) throws(HTTPRefusal) -> FrontDoor.Place {
        let place = try access.door.place(for: context.peerAddress)
        context.lasts()
        return place
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
    private func answer<Value: Sendable>(in room: RoomName, _ ask: () -> EventLoopFuture<Value>) async throws -> Value {
        do {
            return try await ask().get()
        } catch {
            throw HTTPRefusal(BrokerError(any: error), room: room)
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
}

extension Receipt {
    /// The answer to a post.
    fileprivate func write(of post: Post, into out: inout ByteBuffer) {
        out.writeString("{\"room\":\"\(post.room.text)\",\"position\":\"\(position)\",\"time\":\(time)")
        if isDuplicate { out.writeString(",\"duplicate\":true") }
        out.writeString("}")
    }
}

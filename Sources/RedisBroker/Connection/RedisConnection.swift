import ChatHub
import Hiredis
import NIOCore

/// One connection to Redis: the handler at the end of a channel. Confined to the channel's event loop.
///
/// Commands are pipelined; what one turn of the loop sends leaves in one write.
final class RedisConnection: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer
    typealias Completion = (Result<Reply, BrokerError>) -> Void

    struct Settings: Sendable {
        var url: RedisURL
        var clientName: String
        var scripts: [Script]
        var isSubscription: Bool
        var peer = RedisHandshake.Peer.store
        var handshakeTimeout: TimeAmount
        var commandTimeout: TimeAmount
        var pingInterval: TimeAmount
        /// The connection that this one replaces.
        var previous: RedisClientIdentity?
    }

    /// What the owner wants to know. Called on the loop.
    struct Events {
        var ready: (_ digests: [String?]) -> Void
        var pushed: (Reply) -> Void
        var readAllForNow: () -> Void
        /// Redis may throw away what it was given; the connection is closed next.
        var unsuitable: (_ reason: String) -> Void
        /// Exactly once, after all outstanding commands have failed.
        var closed: (_ reason: String) -> Void
    }

    private let settings: Settings
    private let counters: RedisCounters
    private var events: Events?
    private let reader = ReplyReader()
    private var machine: StateMachine<Completion>
    private var context: ChannelHandlerContext?
    private var hasBegun = false
    private var unsent = ByteBuffer()
    /// What is sent needs no flush of its own: one is on its way.
    private var isFlushScheduled = false
    /// Between a read and the end of what it brought, which flushes.
    private var isReading = false
    private var timer: (at: NIODeadline, task: Scheduled<Void>)?
    private var closeReason: String?

    init(settings: Settings, counters: RedisCounters, now: NIODeadline, events: Events) {
        self.settings = settings
        self.counters = counters
        self.events = events
        self.machine = StateMachine(
            handshake: Self.handshake(settings), isSubscription: settings.isSubscription, now: now,
            handshakeTimeout: settings.handshakeTimeout, commandTimeout: settings.commandTimeout,
            pingInterval: settings.pingInterval)
    }

    private static func handshake(_ settings: Settings) -> RedisHandshake {
        RedisHandshake(
            url: settings.url, clientName: settings.clientName, scripts: settings.scripts, peer: settings.peer,
            previous: settings.previous)
    }

    var isReady: Bool { machine.isReady }

    /// How Redis calls it, once it is ready.
    var identity: RedisClientIdentity? { machine.identity }

    /// Which life of which store it is connected to, once it is ready.
    var generation: String? { machine.generation }

    /// Redis does not let us see whether it may throw away what it was given.
    var hidesPolicy: Bool { machine.hidesPolicy }

    /// Given up, or ended; a connection never stands again.
    var isClosed: Bool { machine.isClosed }

    /// Whether more than a bounded amount of output waits.
    func isCongested(limit: Int) -> Bool {
        unsent.readableBytes > limit || context?.channel.isWritable == false
    }

    /// Writes a command. The completion runs exactly once, on the loop, and not before this call has returned unless
    /// the connection is not ready. Pass none on a subscribing connection, where answers arrive as pushes.
    ///
    /// - Parameter more: arguments after the first ones.
    func send(_ arguments: [Argument], _ more: [Argument] = [], _ completion: Completion?) {
        guard machine.isReady, let context else {
            completion?(.failure(.unavailable(closeReason ?? "the connection to Redis is not ready")))
            return
        }
        CommandFormatter.write(arguments, more, into: &unsent)
        counters.commands.add()
        if !settings.isSubscription {
            let now = context.eventLoop.now
            let deadline = now + settings.commandTimeout
            machine.sent(completion ?? { _ in }, at: now, deadline: deadline)
            // Not what the machine would say: it would have to look at everything outstanding, for each command.
            scheduleTick(context, at: deadline)
        }
        scheduleFlush(context)
    }

    /// Sends what this turn has collected, without waiting for the end of the turn.
    func flush() {
        guard let context, unsent.readableBytes > 0 else { return }
        let bytes = unsent
        unsent = ByteBuffer()
        context.writeAndFlush(wrapOutboundOut(bytes), promise: nil)
    }

    /// Sends all that is sent meanwhile together, at the end.
    func together(_ sends: () -> Void) {
        let wasScheduled = isFlushScheduled
        isFlushScheduled = true
        sends()
        isFlushScheduled = wasScheduled
        flush()
    }

    /// Gives the connection up; everything outstanding fails with the reason.
    func close(_ reason: String) {
        guard !machine.isClosed else { return }
        if closeReason == nil { closeReason = reason }
        let channel = context?.channel
        finish()
        channel?.close(promise: nil)
    }

    private func scheduleFlush(_ context: ChannelHandlerContext) {
        guard !isFlushScheduled, !isReading else { return }
        isFlushScheduled = true
        context.eventLoop.assumeIsolated().execute { [self] in
            isFlushScheduled = false
            flush()
        }
    }

    // MARK: Timers

    private func scheduleTick(_ context: ChannelHandlerContext) {
        if let next = machine.nextTick { scheduleTick(context, at: next) }
    }

    private func scheduleTick(_ context: ChannelHandlerContext, at next: NIODeadline) {
        if let timer, timer.at <= next { return }
        timer?.task.cancel()
        let task = context.eventLoop.assumeIsolated().scheduleTask(deadline: next) { [weak self] in
            guard let self else { return }
            self.timer = nil
            self.tick()
        }
        timer = (next, task)
    }

    private func tick() {
        guard let context else { return }
        switch machine.ticked(at: context.eventLoop.now) {
        case .nothing: break
        case .ping:
            CommandFormatter.write(["PING"], into: &unsent)
            flush()
        case .close(let reason):
            counters.timeouts.add()
            return close(reason)
        }
        scheduleTick(context)
    }

    // MARK: Channel events

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        if context.channel.isActive { begin(context) }
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        finish()
        self.context = nil
    }

    func channelActive(context: ChannelHandlerContext) {
        begin(context)
        context.fireChannelActive()
    }

    /// Says what is said first, once: the handler may be added in the very moment in which its channel becomes active.
    private func begin(_ context: ChannelHandlerContext) {
        guard !hasBegun else { return }
        hasBegun = true
        for command in Self.handshake(settings).commands { CommandFormatter.write(command, into: &unsent) }
        flush()
        scheduleTick(context)
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard !machine.isClosed else { return }
        isReading = true
        do {
            try reader.feed(unwrapInboundIn(data))
            while !machine.isClosed, let reply = try reader.next() { received(reply, at: context.eventLoop.now) }
        } catch {
            close("Redis sent what is not its protocol: \(error)")
        }
    }

    func channelReadComplete(context: ChannelHandlerContext) {
        events?.readAllForNow()
        isReading = false
        flush()
        context.fireChannelReadComplete()
    }

    func channelInactive(context: ChannelHandlerContext) {
        if closeReason == nil { closeReason = "Redis closed the connection" }
        finish()
        context.fireChannelInactive()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        close(RedisConnector.describe(error))
    }

    private func received(_ reply: Reply, at now: NIODeadline) {
        switch machine.received(reply, at: now) {
        case .nothing: break
        case .becameReady(let digests):
            if let context { scheduleTick(context) }
            events?.ready(digests)
        case .answered(let completion, let sentAt):
            counters.commandNanoseconds.add(Int((now - sentAt).nanoseconds))
            counters.commandsAnswered.add()
            answer(reply, to: completion)
        case .pushed:
            if case .error(let text) = reply, Redirection(text)?.isMove != true {
                return close("Redis refuses the subscription: \(RedisError.trimmed(text))")
            }
            events?.pushed(reply)
        case .close(let reason):
            close(reason)
        case .unsuitable(let reason):
            events?.unsuitable(reason)
            close(reason)
        }
    }

    private func answer(_ reply: Reply, to completion: Completion) {
        guard case .error(let text) = reply, !RedisError.isMissingScript(text) else {
            return completion(.success(reply))
        }
        counters.errors.add()
        completion(.failure(RedisError.brokerError(text)))
        if RedisError.endsConnection(text) { close(RedisError.trimmed(text)) }
    }

    /// Idempotent: fails what is outstanding and tells the owner.
    private func finish() {
        guard let events else { return }
        self.events = nil
        timer?.task.cancel()
        timer = nil
        unsent = ByteBuffer()
        let reason = closeReason ?? "the connection to Redis was closed"
        for completion in machine.closed() { completion(.failure(.unavailable(reason))) }
        events.closed(reason)
    }
}

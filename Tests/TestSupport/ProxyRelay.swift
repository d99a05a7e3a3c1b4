import Foundation
import NIOCore
import NIOPosix
import Synchronization

/// One connection through a ``FaultProxy``, both sides of it.
///
/// `@unchecked Sendable`: everything but the atomics is touched on the loop of both channels only, which every entry
/// asserts; from elsewhere ``perform(_:)`` goes there.
final class ProxyRelay: @unchecked Sendable {
    /// What goes one way. Not a value: a write may end the connection, and so come back here.
    private final class Lane {
        let direction: FaultProxy.Direction
        var waiting: CircularBuffer<(bytes: ByteBuffer, due: NIODeadline)> = []
        var lastDue = NIODeadline.uptimeNanoseconds(0)
        /// Where it comes from has ended.
        var hasEnded = false
        var isScheduled = false

        init(_ direction: FaultProxy.Direction) { self.direction = direction }
    }

    let hasSubscribed = Atomic(false)
    let isDeaf = Atomic(false)
    private let client: any Channel
    private var server: (any Channel)?
    private let state: ProxyState
    private let up = Lane(.up)
    private let down = Lane(.down)
    private var splitter = ReplySplitter()
    /// Nothing more is taken from the server.
    private var isCut = false
    private var isReset = false

    init(client: any Channel, state: ProxyState) {
        self.client = client
        self.state = state
    }

    func perform(_ body: @escaping @Sendable (ProxyRelay) -> Void) {
        client.eventLoop.execute { body(self) }
    }

    /// Connects to the server; what the client says meanwhile waits.
    func open(to port: Int) {
        client.eventLoop.assertInEventLoop()
        state.add(self)
        client.closeFuture.whenComplete { [self, state] _ in state.remove(self) }
        guard !state.faults.withLock({ $0.weather.refuses }) else { return reset() }
        ClientBootstrap(group: client.eventLoop)
            .channelOption(.socketOption(.tcp_nodelay), value: 1)
            .channelInitializer { [self] server in
                server.eventLoop.makeCompletedFuture {
                    try server.pipeline.syncOperations.addHandler(Side(self, reading: .down))
                }
            }
            .connect(host: "127.0.0.1", port: port)
            .whenComplete { [self] result in
                switch result {
                case .success(let server):
                    self.server = server
                    if isReset { reset() } else { pumpAll() }
                case .failure:
                    reset()
                }
            }
    }

    /// RST to both sides: nothing more is sent, whatever waits.
    func reset() {
        client.eventLoop.assertInEventLoop()
        isReset = true
        up.waiting.removeAll()
        down.waiting.removeAll()
        for channel in [client, server].compactMap({ $0 }) {
            // Closed with nothing to linger for, TCP resets.
            let options = channel as? any SocketOptionProvider
            _ = options?.setSoLinger(linger(l_onoff: 1, l_linger: 0))
            channel.close(promise: nil)
        }
    }

    func pumpAll() {
        client.eventLoop.assertInEventLoop()
        _ = client.setOption(.autoRead, value: !isHeld(up))
        _ = server?.setOption(.autoRead, value: !isHeld(down))
        pump(up)
        pump(down)
    }

    private func read(_ bytes: ByteBuffer, _ direction: FaultProxy.Direction) {
        switch direction {
        case .up: readRequests(bytes)
        case .down: readReplies(bytes)
        }
    }

    private func readRequests(_ bytes: ByteBuffer) {
        if !hasSubscribed.load(ordering: .relaxed), String(buffer: bytes).contains("SUBSCRIBE") {
            hasSubscribed.store(true, ordering: .relaxed)
        }
        enqueue(bytes, up)
    }

    private func readReplies(_ bytes: ByteBuffer) {
        guard !isCut, !isDeaf.load(ordering: .relaxed) else { return }
        splitter.append(bytes)
        // In one piece where nothing is to be done to single ones.
        var whole = ByteBuffer()
        while var reply = splitter.next() {
            if isLost(reply) { continue }
            if let length = takeCut(reply) {
                isCut = true
                whole.writeImmutableBuffer(reply.readSlice(length: length) ?? reply)
                break
            }
            whole.writeBuffer(&reply)
        }
        if whole.readableBytes > 0 { enqueue(whole, down) }
        // The bytes are to arrive before the end does.
        if isCut { client.writeAndFlush(ByteBuffer()).whenComplete { [self] _ in reset() } }
    }

    private func isLost(_ reply: ByteBuffer) -> Bool {
        guard hasSubscribed.load(ordering: .relaxed) else { return false }
        return state.faults.withLock { faults in
            guard !faults.losses.isEmpty, let channel = ReplySplitter.channelOfMessages(reply),
                let count = faults.losses[channel]
            else { return false }
            faults.losses[channel] = count > 1 ? count - 1 : nil
            faults.lost += 1
            return true
        }
    }

    private func takeCut(_ reply: ByteBuffer) -> Int? {
        guard !hasSubscribed.load(ordering: .relaxed) else { return nil }
        return state.faults.withLock { faults in
            guard faults.cutsToCome > 0, reply.readableBytes > faults.cutAfter else { return nil }
            faults.cutsToCome -= 1
            faults.cut += 1
            return faults.cutAfter
        }
    }

    private func enqueue(_ bytes: ByteBuffer, _ lane: Lane) {
        let weather = state.faults.withLock { $0.weather }
        var due = max(.now() + TimeAmount(weather.delay), lane.lastDue)
        if weather.jitter > .zero {
            due = max(lane.lastDue, due + .nanoseconds(.random(in: 0...TimeAmount(weather.jitter).nanoseconds)))
        }
        if let rate = weather.bytesPerSecond {
            due = due + .nanoseconds(Int64(bytes.readableBytes) * 1_000_000_000 / Int64(max(rate, 1)))
        }
        lane.lastDue = due
        lane.waiting.append((bytes, due))
        pump(lane)
    }

    private func pump(_ lane: Lane) {
        let target = lane.direction == .up ? server : client
        guard let target, !isReset, !isHeld(lane) else { return }
        let now = NIODeadline.now()
        var hasWritten = false
        while let first = lane.waiting.first, first.due <= now {
            lane.waiting.removeFirst()
            target.write(first.bytes, promise: nil)
            hasWritten = true
        }
        if hasWritten { target.flush() }
        if let next = lane.waiting.first {
            guard !lane.isScheduled else { return }
            lane.isScheduled = true
            client.eventLoop.assumeIsolated().scheduleTask(deadline: next.due) { [self] in
                lane.isScheduled = false
                pump(lane)
            }
        } else if lane.hasEnded {
            target.close(promise: nil)
        }
    }

    private func isHeld(_ lane: Lane) -> Bool {
        let weather = state.faults.withLock { $0.weather }
        if weather.held.contains(lane.direction) { return true }
        return weather.holdsPublications && lane.direction == .down && hasSubscribed.load(ordering: .relaxed)
    }

    private func ended(_ direction: FaultProxy.Direction) {
        let lane = direction == .up ? up : down
        lane.hasEnded = true
        pump(lane)
    }

    /// Reads from one of the two channels.
    final class Side: ChannelInboundHandler {
        typealias InboundIn = ByteBuffer

        private let relay: ProxyRelay
        private let direction: FaultProxy.Direction

        init(_ relay: ProxyRelay, reading direction: FaultProxy.Direction) {
            self.relay = relay
            self.direction = direction
        }

        func channelRead(context: ChannelHandlerContext, data: NIOAny) { relay.read(unwrapInboundIn(data), direction) }

        func channelInactive(context: ChannelHandlerContext) { relay.ended(direction) }

        func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }
    }
}

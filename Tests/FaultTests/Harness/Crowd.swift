import ChatProtocol
import NIOCore
import NIOPosix
import Synchronization
import TestSupport

/// Thousands of members who only listen, each on a connection of its own, and come back at once when it ends. They note
/// positions only.
final class Crowd: Sendable {
    /// One of them, across connections.
    struct Listener: Sendable {
        var last: Position?
        var isJoined = false
        var received = 0
        var connections = 0
        var refusals = 0
        /// What must not be: holes, doubles, losses told.
        var complaints: [String] = []
    }

    private let name: String
    private let rooms: [String]
    private let ports: Mutex<[Int]>
    private let listeners: Mutex<[Listener]>
    private let channels = Mutex<[Int: any Channel]>([:])
    private let isOver = Atomic(false)

    /// - Parameter ports: of the gateways; each listener begins at its own in turn.
    init(_ name: String, count: Int, rooms: [String], ports: [Int]) {
        self.name = name
        self.rooms = rooms
        self.ports = Mutex(ports)
        listeners = Mutex(Array(repeating: Listener(), count: count))
    }

    var all: [Listener] { listeners.withLock { $0 } }
    var joined: Int { listeners.withLock { $0.count(where: \.isJoined) } }

    /// Connects all, so many at a time, and returns when all are in their rooms.
    func come(atATime: Int = 100) async throws {
        let count = all.count
        for start in stride(from: 0, to: count, by: atATime) {
            let end = min(start + atATime, count)
            let ports = ports.withLock { $0 }
            for number in start..<end { connect(number, to: ports[number % ports.count]) }
            try await eventually("\(end) listeners are in", within: .seconds(120)) { self.joined >= end ? true : nil }
        }
    }

    /// Where they go from now on.
    func use(ports new: [Int]) { ports.withLock { $0 = new } }

    func leave() async {
        isOver.store(true, ordering: .relaxed)
        for channel in channels.withLock({ Array($0.values) }) { try? await channel.close() }
    }

    private func connect(_ number: Int, to port: Int) {
        ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .connectTimeout(.seconds(10))
            .channelInitializer { [self] channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(CrowdConnection(self, number: number, port: port))
                }
            }
            .connect(host: "127.0.0.1", port: port)
            .whenComplete { [self] result in
                switch result {
                case .success(let channel):
                    channels.withLock { $0[number] = channel }
                    channel.closeFuture.whenComplete { _ in self.ended(number, on: channel.eventLoop) }
                case .failure:
                    ended(number, on: MultiThreadedEventLoopGroup.singleton.any())
                }
            }
    }

    private func ended(_ number: Int, on loop: any EventLoop) {
        channels.withLock { $0[number] = nil }
        let wasIn = listeners.withLock { listeners in
            defer { listeners[number].isJoined = false }
            if !listeners[number].isJoined { listeners[number].refusals += 1 }
            return listeners[number].isJoined
        }
        guard !isOver.load(ordering: .relaxed) else { return }
        let ports = ports.withLock { $0 }
        let port = ports[Int.random(in: 0..<ports.count)]
        // At once, but after a refusal not in a tight loop.
        loop.scheduleTask(in: wasIn ? .zero : .milliseconds(Int64.random(in: 200...1_000))) {
            self.connect(number, to: port)
        }
    }

    func request(of number: Int, port: Int) -> String {
        """
        GET /ws?user=\(name)-\(number) HTTP/1.1\r\nHost: 127.0.0.1:\(port)\r\nUpgrade: websocket\r\n\
        Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n
        """
    }

    /// What a listener says first: it comes for the first time, or comes back.
    func hello(of number: Int) -> String {
        let room = rooms[number % rooms.count]
        guard let last = listeners.withLock({ $0[number].last }) else {
            return #"{"type":"join","id":"in","room":"\#(room)"}"#
        }
        return #"{"type":"resume","id":"in","rooms":{"\#(room)":"\#(last)"}}"#
    }

    func heard(_ text: String, by number: Int) throws {
        // Most is said about others.
        guard text.hasPrefix(#"{"type":"message""#) || !text.hasPrefix(#"{"type":"user_"#) else { return }
        let event = try WireEvent(text)
        listeners.withLock { listeners in
            var listener = listeners[number]
            switch event.type {
            // Not the user's own inbox, which nobody asked for.
            case "joined" where event.id == "in":
                listener.isJoined = true
                listener.connections += 1
                if listener.last == nil { listener.last = event.position("position") }
                if event.recovered == false {
                    listener.complaints.append("not recovered after \(listener.last as Any)")
                }
            case "message":
                guard let position = event.position("position") else { break }
                if let last = listener.last, last != .zero, !last.isFollowed(by: position) {
                    listener.complaints.append("\(position) after \(last)")
                }
                listener.last = position
                listener.received += 1
            case "gap", "rewind", "error": listener.complaints.append(text)
            default: break
            }
            listeners[number] = listener
        }
    }
}

/// Reads what a gateway sends to one listener, and answers its pings.
private final class CrowdConnection: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private let crowd: Crowd
    private let number: Int
    private let port: Int
    private var buffer = ByteBuffer()
    private var isOpen = false

    init(_ crowd: Crowd, number: Int, port: Int) {
        self.crowd = crowd
        self.number = number
        self.port = port
    }

    func channelActive(context: ChannelHandlerContext) {
        let request = ByteBuffer(string: crowd.request(of: number, port: port))
        context.writeAndFlush(wrapOutboundOut(request), promise: nil)
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        var bytes = unwrapInboundIn(data)
        buffer.writeBuffer(&bytes)
        do {
            if !isOpen {
                guard let answer = try HTTPProbe.parse(&buffer) else { return }
                guard answer.status == 101 else { return context.close(promise: nil) }
                isOpen = true
                write(.text(crowd.hello(of: number)), context)
            }
            while let frame = try RawWebSocket.parse(&buffer) {
                switch frame {
                case .text(let text): try crowd.heard(text, by: number)
                case .ping(let payload): write(.init(firstByte: 0x8A, payload: payload), context)
                case .compressedText, .pong: break
                case .close, .end: return context.close(promise: nil)
                }
            }
        } catch {
            context.close(promise: nil)
        }
        if buffer.readableBytes == 0 { buffer.clear() } else { buffer.discardReadBytes() }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }

    private func write(_ frame: RawWebSocket.Frame, _ context: ChannelHandlerContext) {
        context.writeAndFlush(wrapOutboundOut(frame.bytes), promise: nil)
    }
}

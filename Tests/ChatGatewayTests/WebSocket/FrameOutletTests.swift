#if os(Linux)
import Glibc
import NIOCore
import NIOEmbedded
import Testing

@testable import ChatGateway

@Suite("The way out of a connection")
struct FrameOutletTests {
    /// An outlet between a pair of sockets, the channel's place taken by an embedded one.
    private final class Rig {
        let outlet = FrameOutlet()
        let channel = EmbeddedChannel()
        let dam = Dam()
        let context: ChannelHandlerContext
        private let near: CInt
        private let far: CInt

        init(kind: __socket_type) throws {
            var pair: [CInt] = [-1, -1]
            guard socketpair(AF_UNIX, CInt(kind.rawValue), 0, &pair) == 0 else { throw Broken() }
            (near, far) = (pair[0], pair[1])
            var bytes: CInt = 4096
            setsockopt(near, SOL_SOCKET, SO_SNDBUF, &bytes, socklen_t(MemoryLayout<CInt>.size))
            let place = Place()
            try channel.pipeline.syncOperations.addHandlers([dam, place])
            context = try channel.pipeline.syncOperations.context(handler: place)
            try channel.connect(to: SocketAddress(ipAddress: "192.0.2.1", port: 1)).wait()
            outlet.open(socket: near)
        }

        deinit {
            Glibc.close(near)
            Glibc.close(far)
        }

        /// What one read of the peer brings; nil when there is nothing.
        func received() -> [UInt8]? {
            var bytes = [UInt8](repeating: 0, count: 1 << 20)
            let count = recv(far, &bytes, bytes.count, CInt(MSG_DONTWAIT))
            return count > 0 ? Array(bytes[..<count]) : nil
        }

        func receivedAll() -> [UInt8] {
            var all: [UInt8] = []
            while let bytes = received() { all += bytes }
            return all
        }

        /// What the channel was given and has flushed.
        func takenByChannel() throws -> [UInt8] {
            var bytes: [UInt8] = []
            while let buffer = try channel.readOutbound(as: ByteBuffer.self) { bytes += buffer.readableBytesView }
            return bytes
        }

        func write(_ bytes: [UInt8]) { outlet.write(ByteBuffer(bytes: bytes), to: context) }
        func flush() { outlet.flush(context) }
    }

    private struct Broken: Error {}

    private final class Place: ChannelInboundHandler {
        typealias InboundIn = ByteBuffer
    }

    /// While closed it keeps what was written in the channel, as a full socket would.
    private final class Dam: ChannelOutboundHandler {
        typealias OutboundIn = ByteBuffer
        var isClosed = false

        func flush(context: ChannelHandlerContext) { if !isClosed { context.flush() } }
    }

    private static func numbered(_ count: Int) -> [UInt8] { (0..<count).map { UInt8(truncatingIfNeeded: $0 / 251) } }

    @Test("what is written before a flush leaves in one piece, and not before")
    func onePiece() throws {
        let rig = try Rig(kind: SOCK_SEQPACKET)
        rig.write([1, 2])
        rig.write([3])
        #expect(rig.received() == nil)
        #expect(rig.outlet.queuedBytes == 3)
        rig.flush()
        #expect(rig.received() == [1, 2, 3])
        rig.write([4])
        rig.flush()
        #expect(rig.received() == [4])
        #expect(try rig.takenByChannel() == [])
    }

    @Test("a buffer that others share stays as it is when something is added behind it")
    func shared() throws {
        let rig = try Rig(kind: SOCK_SEQPACKET)
        let shared = ByteBuffer(bytes: [1, 2])
        rig.outlet.write(shared, to: rig.context)
        rig.write([3])
        rig.flush()
        #expect(shared == ByteBuffer(bytes: [1, 2]))
        #expect(rig.received() == [1, 2, 3])
    }

    @Test("long frames are not copied together: the first leaves when the second comes")
    func longFrames() throws {
        let rig = try Rig(kind: SOCK_STREAM)
        rig.write([1])
        rig.write([UInt8](repeating: 2, count: FrameOutlet.joinedBytes))
        #expect(rig.received() == [1])
        rig.flush()
        #expect(rig.receivedAll() + (try rig.takenByChannel()) == [UInt8](repeating: 2, count: FrameOutlet.joinedBytes))
    }

    @Test("of what the system takes in part the channel gets the rest")
    func shortWrite() throws {
        let rig = try Rig(kind: SOCK_STREAM)
        let bytes = Self.numbered(200_000)
        rig.write(bytes)
        rig.flush()
        let first = rig.receivedAll()
        #expect(first.count > 0 && first.count < bytes.count)
        #expect(first + (try rig.takenByChannel()) == bytes)
    }

    @Test("what the system does not take at all is the channel's")
    func wouldBlock() throws {
        let rig = try Rig(kind: SOCK_STREAM)
        rig.write(Self.numbered(200_000))
        rig.flush()
        _ = try rig.takenByChannel()
        rig.write([7, 8])
        rig.flush()
        #expect(try rig.takenByChannel() == [7, 8])
    }

    @Test("while the channel holds bytes nothing passes them, and afterwards all is direct again")
    func behindTheChannel() throws {
        let rig = try Rig(kind: SOCK_STREAM)
        let bytes = Self.numbered(200_000)
        rig.dam.isClosed = true
        rig.write(bytes)
        rig.flush()
        // There is room again, but what came first has to go first.
        let first = rig.receivedAll()
        rig.write([7])
        rig.flush()
        #expect(rig.received() == nil)
        rig.dam.isClosed = false
        rig.context.flush()
        #expect(first + (try rig.takenByChannel()) == bytes + [7])
        rig.write([8])
        rig.flush()
        #expect(rig.received() == [8])
    }

    @Test("after the socket is closed its number is not used again")
    func closed() throws {
        let rig = try Rig(kind: SOCK_SEQPACKET)
        rig.write([1])
        rig.outlet.close()
        rig.write([2])
        rig.flush()
        #expect(rig.received() == nil)
        #expect(try rig.takenByChannel() == [2])
    }
}
#endif

import ChatProtocol
import NIOCore

/// The names of everything in Redis. All of a room's share the hash tag `{ROOM}`, so that in a cluster they are in one slot.
struct Keys: Sendable {
    let prefix: String

    func log(_ room: RoomName) -> String { "\(prefix):{\(room.text)}:log" }
    func retried(_ room: RoomName) -> String { "\(prefix):{\(room.text)}:retried" }
    func sessions(_ room: RoomName) -> String { "\(prefix):{\(room.text)}:sessions" }
    func users(_ room: RoomName) -> String { "\(prefix):{\(room.text)}:users" }
    func rules(_ room: RoomName) -> String { "\(prefix):{\(room.text)}:rules" }
    func pace(_ room: RoomName) -> String { "\(prefix):{\(room.text)}:pace" }
    func channel(_ room: RoomName) -> String { "\(prefix):{\(room.text)}" }

    /// The room of a channel; nil for any other channel.
    func room(ofChannel channel: ByteBuffer) -> RoomName? {
        channel.withUnsafeReadableBytes { bytes in
            let start = prefix.utf8.count + 2
            guard bytes.count > start, bytes[start - 1] == UInt8(ascii: "{"), bytes[start - 2] == UInt8(ascii: ":"),
                bytes[bytes.count - 1] == UInt8(ascii: "}"), bytes[..<(start - 2)].elementsEqual(prefix.utf8)
            else { return nil }
            let tag = UnsafeRawBufferPointer(rebasing: bytes[start..<(bytes.count - 1)])
            return RoomName(utf8: tag) ?? (tag.elementsEqual(RoomName.control.text.utf8) ? .control : nil)
        }
    }

    /// Subject → order.
    var orders: String { "\(channel(.control)):orders" }
    /// Subject → when its order is forgotten, in ms by Redis' clock.
    var orderEnds: String { "\(channel(.control)):ends" }

    /// Node incarnation → its last heartbeat in ms by Redis' clock; 0 once it was declared dead.
    var nodes: String { "\(prefix):nodes" }
    /// `LOOP ROOM` for each room in which the incarnation has sessions.
    func rooms(of incarnation: String) -> String { "\(prefix):node:\(incarnation)" }
    /// The channel of the probes that a node sends to itself.
    func probe(of incarnation: String) -> String { "\(prefix):probe:\(incarnation)" }
    /// One that is in the slot of the tag.
    func probe(of incarnation: String, tag: String) -> String { "\(prefix):probe:{\(tag)}:\(incarnation)" }
}

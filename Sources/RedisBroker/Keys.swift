import ChatProtocol

/// The names of everything in Redis. All of a room's share the hash tag `{ROOM}`, so that in a cluster they are in one slot.
struct Keys: Sendable {
    let prefix: String

    func log(_ room: RoomName) -> String { "\(prefix):{\(room.text)}:log" }
    func retried(_ room: RoomName) -> String { "\(prefix):{\(room.text)}:retried" }
    func sessions(_ room: RoomName) -> String { "\(prefix):{\(room.text)}:sessions" }
    func users(_ room: RoomName) -> String { "\(prefix):{\(room.text)}:users" }
    func channel(_ room: RoomName) -> String { "\(prefix):{\(room.text)}" }

    /// Node incarnation → its last heartbeat in ms by Redis' clock; 0 once it was declared dead.
    var nodes: String { "\(prefix):nodes" }
    /// `LOOP ROOM` for each room in which the incarnation has sessions.
    func rooms(of incarnation: String) -> String { "\(prefix):node:\(incarnation)" }
    /// The channel of the probes that a node sends to itself.
    func probe(of incarnation: String) -> String { "\(prefix):probe:\(incarnation)" }
    /// One that is in the slot of the tag.
    func probe(of incarnation: String, tag: String) -> String { "\(prefix):probe:{\(tag)}:\(incarnation)" }
}

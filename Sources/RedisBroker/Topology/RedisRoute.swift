import ChatProtocol
import Hiredis
import NIOCore

/// What one event loop sends its commands through: one link, or in a cluster one to each primary. Confined to the loop.
///
/// Every command but WAIT has its key, or its channel, right behind its name; a script's keys share a slot.
protocol RedisRoute: AnyObject {
    var eventLoop: any EventLoop { get }
    /// `up` comes for each link that came to stand, `down` when none stands any more.
    var events: RedisLink.Events { get set }
    /// Why not everything can be reached; nil when it can.
    var failure: String? { get }
    /// Something can be reached.
    var isUp: Bool { get }
    /// Rooms are spread over several primaries, and what two commands do has no order unless they share a key.
    var isSharded: Bool { get }
    /// The word for publishing.
    var publish: Argument { get }
    /// Redis does not let us see whether it may throw away what it was given.
    var hidesPolicy: Bool { get }

    func start()
    func stop()
    /// Sends all that is sent meanwhile together, at the end.
    func together(_ sends: () -> Void)

    /// Why a room's data cannot be reached; nil when it can.
    func failure(for room: RoomName) -> String?
    /// Which life of which store has a room's data.
    func generation(for room: RoomName) -> StoreGeneration
    func isCongested(for room: RoomName, limit: Int) -> Bool

    /// Sends one command. Fails at once when its place cannot be reached.
    func send(_ arguments: [Argument], _ completion: RedisConnection.Completion?)
    /// Sends a command without key to the place where a room's data is.
    func send(_ arguments: [Argument], besides room: RoomName, _ completion: @escaping RedisConnection.Completion)
    /// Tells rooms of different places apart.
    func place(of room: RoomName) -> Int
    /// Runs a script by its digest, and whole if Redis does not have it (any more).
    func run(
        _ script: Script, keys: [String], _ arguments: [Argument], _ completion: @escaping RedisConnection.Completion)
}

extension RedisRoute {
    func send(_ arguments: [Argument]) { send(arguments, nil) }
}

extension RedisLink: RedisRoute {
    var isSharded: Bool { false }
    var publish: Argument { "PUBLISH" }

    func failure(for room: RoomName) -> String? { failure }
    func generation(for room: RoomName) -> StoreGeneration { generation }
    func isCongested(for room: RoomName, limit: Int) -> Bool { isCongested(limit: limit) }
    func place(of room: RoomName) -> Int { 0 }

    func send(_ arguments: [Argument], besides room: RoomName, _ completion: @escaping RedisConnection.Completion) {
        send(arguments, completion)
    }

    func run(
        _ script: Script, keys: [String], _ arguments: [Argument], _ completion: @escaping RedisConnection.Completion
    ) {
        run(script, keys: keys, arguments, isAsking: false, completion)
    }
}

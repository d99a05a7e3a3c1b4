import ChatHub
import ChatProtocol
import NIOCore

/// The subscribing side of a broker: one connection, or one to each primary of a cluster. Confined to the broker's loop.
protocol RedisListening: AnyObject {
    var delegate: (any BrokerDelegate)? { get set }
    /// A connection came to stand or was lost, or a probe was heard after silence.
    var stateChanged: () -> Void { get set }

    func start()
    func stop()
    func subscribe(to room: RoomName)
    func unsubscribe(from room: RoomName)
    /// Sends a probe through Redis to ourselves.
    func probe()
    /// Replaces a subscription that is connected but deaf.
    func look()
    /// Postpones the expiry of the logs of some subscribed rooms.
    func renewLogs()
    /// Why not everything that is published is heard; nil when it is, or when that may pass and `isLenient`.
    func trouble(at now: NIODeadline, isLenient: Bool) -> ListeningTrouble?
}

struct ListeningTrouble: Equatable {
    var reason: String
    /// A connection does not stand; otherwise nothing was heard on one yet.
    var isOfConnection: Bool
}

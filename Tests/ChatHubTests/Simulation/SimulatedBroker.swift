import ChatHub
import ChatProtocol
import NIOCore
import NIOEmbedded

/// A node's broker over a simulated store: a link per loop for commands, and a subscription. What the subscription has
/// heard waits in ``inbox`` until the schedule hands it on.
///
/// `@unchecked Sendable`: everything in a simulation happens on the test's thread.
final class SimulatedBroker: Broker, @unchecked Sendable {
    enum Heard {
        case publication(Publication)
        case subscribed
    }

    let eventLoop: any EventLoop
    /// The broker's loop comes first.
    let commands: [SimulatedCommands]
    private(set) var delegate: (any BrokerDelegate)?
    /// What arrived from the subscription and was not handed on yet, and what waits to be asked of the store.
    var inbox: [Heard] = []
    private(set) var room: RoomName?
    private var isAsked = false
    /// The store that the subscription is with; nil while it is lost.
    private(set) var subscribedStore: SimulatedStore?
    private(set) var source: SimulatedStore?

    init(eventLoop: EmbeddedEventLoop, loops: [EmbeddedEventLoop], store: SimulatedStore) {
        self.eventLoop = eventLoop
        source = store
        commands = ([eventLoop] + loops).map { SimulatedCommands(link: SimulatedLink(loop: $0, store: store)) }
        commands[0].link.storeReplaced = { [weak self] in self?.delegate?.storeReplaced() }
    }

    var links: [SimulatedLink] { commands.map(\.link) }

    func commands(on loop: any EventLoop) -> any BrokerCommands {
        guard let found = commands.first(where: { $0.link.loop === loop }) else {
            preconditionFailure("the broker was not made for this loop")
        }
        return found
    }

    func setDelegate(_ delegate: any BrokerDelegate) {
        self.delegate = delegate
        delegate.statusChanged(to: .available)
    }

    func subscribe(to room: RoomName) {
        self.room = room
        isAsked = true
    }

    func unsubscribe(from room: RoomName) {
        self.room = nil
        isAsked = false
        subscribedStore = nil
        inbox = []
    }

    // MARK: - The schedule's

    /// A subscription waits to be confirmed.
    var canSubscribe: Bool { isAsked && source != nil }

    /// The store has taken the subscription up: what it publishes from now on is heard.
    func confirmSubscription() {
        guard canSubscribe, let source else { return }
        isAsked = false
        subscribedStore = source
        inbox.append(.subscribed)
    }

    /// A store has published.
    func published(_ publication: Publication, by store: SimulatedStore) {
        if subscribedStore === store { inbox.append(.publication(publication)) }
    }

    /// Hands on one thing that was heard.
    func handOn(_ index: Int = 0) {
        guard index < inbox.count, let room, let delegate else { return }
        switch inbox.remove(at: index) {
        case .publication(let publication): delegate.received(publication, in: room)
        case .subscribed: delegate.subscribed(to: [room])
        }
    }

    func handedOnAllForNow() { delegate?.receivedAllForNow() }

    /// The subscribing connection is lost, with what it had not handed on.
    func loseSubscription() {
        source = nil
        subscribedStore = nil
        inbox = []
        isAsked = room != nil
        delegate?.subscriptionsLost()
    }

    /// The subscribing connection stands again; the subscription is asked for.
    func connectSubscription(to store: SimulatedStore) {
        guard source == nil else { return }
        source = store
    }
}

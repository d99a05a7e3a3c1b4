import ChatProtocol
import Logging
import NIOCore
import NIOEmbedded
import TestSupport

@testable import ChatHub

/// Some nodes that share a simulated store, with one room. Nothing happens by itself: ``run()`` lets everything happen in
/// order, and a schedule picks what happens next.
final class SimulatedCluster {
    final class Node {
        let brokerLoop = EmbeddedEventLoop()
        let loops: [EmbeddedEventLoop]
        let broker: SimulatedBroker
        let directory: RoomDirectory
        let hubs: [LoopHub]

        init(
            loops count: Int, store: SimulatedStore, hub: LoopHub.Settings, directory settings: RoomDirectory.Settings,
            clock: @escaping @Sendable () -> UInt64
        ) throws {
            let loops = (0..<count).map { _ in EmbeddedEventLoop() }
            self.loops = loops
            let broker = SimulatedBroker(eventLoop: brokerLoop, loops: loops, store: store)
            let directory = RoomDirectory(
                broker: broker, settings: settings,
                logger: Logger(label: "test", factory: { _ in SwiftLogNoOpLogHandler() }))
            (self.broker, self.directory) = (broker, directory)
            hubs = loops.enumerated().map { index, loop in
                LoopHub(
                    eventLoop: loop, index: index, broker: broker, directory: directory, settings: hub,
                    clock: { clock() * 1000 })
            }
            let started = directory.start(hubs: hubs)
            brokerLoop.run()
            try started.wait()
        }

        var allLoops: [EmbeddedEventLoop] { [brokerLoop] + loops }
    }

    let room = RoomName.of("general")
    private let time = TestTime()
    private(set) var stores: [SimulatedStore] = []
    private(set) var nodes: [Node] = []
    /// The next publications of the store reach nobody.
    var isMute = false
    /// A node's store is about to be found replaced.
    var willNoticeReplacement: (Int) -> Void = { _ in }

    private var former: [Node] = []
    private let makeNode: (SimulatedStore) throws -> Node

    init(
        nodes count: Int = 1, loops: Int = 1, hub: LoopHub.Settings = .init(),
        directory: RoomDirectory.Settings = .init()
    ) throws {
        makeNode = { [time] store in
            try Node(loops: loops, store: store, hub: hub, directory: directory, clock: { time.milliseconds })
        }
        stores.append(makeStore(SimulatedLog()))
        for index in 0..<count { nodes.append(try startNode(index)) }
    }

    private func startNode(_ index: Int) throws -> Node {
        let node = try makeNode(store)
        let link = node.broker.links[0]
        let notice = link.storeReplaced
        link.storeReplaced = { [weak self] in
            self?.willNoticeReplacement(index)
            notice()
        }
        return node
    }

    /// A node is killed, with what it held, and started again.
    func restart(_ index: Int) throws {
        let node = nodes[index]
        for link in node.broker.links { link.disconnect(isDoneYet: false) }
        former.append(node)
        nodes[index] = try startNode(index)
    }

    private func makeStore(_ log: SimulatedLog) -> SimulatedStore {
        let store = SimulatedStore(generation: UInt64(stores.count + 1), log: log) { [time] in
            time.milliseconds += 1
            return time.milliseconds
        }
        store.publish = { [weak self] store, publication in
            guard let self, !isMute else { return }
            for node in nodes { node.broker.published(publication, by: store) }
        }
        return store
    }

    /// The one that is the truth.
    var store: SimulatedStore { stores[stores.count - 1] }

    /// All that was ever stored there, of what it has.
    var log: [LogEntry] { store.log.all }

    // MARK: - What happens

    /// Everything happens that can, in order.
    func run() {
        var isBusy = true
        while isBusy {
            isBusy = false
            for node in nodes {
                for loop in node.allLoops { loop.run() }
                if node.broker.canSubscribe {
                    node.broker.confirmSubscription()
                    isBusy = true
                }
                while !node.broker.inbox.isEmpty {
                    node.broker.handOn()
                    isBusy = true
                }
                node.broker.handedOnAllForNow()
                for link in node.broker.links {
                    while link.hasRequests {
                        link.executeNext()
                        isBusy = true
                    }
                    while link.hasAnswers {
                        link.answerNext()
                        isBusy = true
                    }
                }
            }
        }
        for node in nodes { for loop in node.allLoops { loop.run() } }
    }

    /// Time passes on every node; only what is due there happens.
    func pass(_ amount: TimeAmount) {
        time.milliseconds += UInt64(amount.nanoseconds / 1_000_000)
        for node in nodes {
            for loop in node.allLoops { loop.advanceTime(by: amount) }
            for link in node.broker.links where link.isUp && link.isOverdue { link.disconnect(isDoneYet: true) }
        }
    }

    /// Time passes, and everything happens that can.
    func advance(by amount: TimeAmount) {
        let step = TimeAmount.milliseconds(250)
        for _ in 0..<max(1, amount.nanoseconds / step.nanoseconds) {
            pass(min(amount, step))
            run()
        }
    }

    /// The store is replaced by one that lacks the last writes, or everything. Nobody has noticed yet.
    func replaceStore(lacking writes: Int?) {
        stores.append(makeStore(writes.map { store.log(lacking: $0) } ?? SimulatedLog()))
        store.logLength = stores[stores.count - 2].logLength
    }

    /// A link finds the present store.
    func reconnect(_ link: SimulatedLink, isDoneYet: Bool = false) {
        link.disconnect(isDoneYet: isDoneYet)
        link.connect(to: store)
    }

    /// A node's subscription finds the present store.
    func resubscribe(_ node: Int) {
        nodes[node].broker.loseSubscription()
        nodes[node].broker.connectSubscription(to: store)
    }

    /// A whole node finds the present store.
    func reconnect(_ node: Int) {
        for link in nodes[node].broker.links { reconnect(link) }
        resubscribe(node)
    }

    func reconnectAll() {
        for node in nodes.indices { reconnect(node) }
    }

    // MARK: - Clients

    func connect(_ client: SimulatedClient, node: Int = 0, loop: Int = 0, history: Int = 0, limit: Int? = nil) {
        client.connect(node: node, loop: loop)
        join(client, history: history, limit: limit)
    }

    /// Joins, or joins again, on its present connection.
    func join(_ client: SimulatedClient, history: Int = 0, limit: Int? = nil) {
        guard let session = client.session, !client.isJoining else { return }
        let hub = nodes[client.place.node].hubs[client.place.loop]
        let replay = client.replay(history: history, limit: limit)
        client.isFresh = replay == .none
        hub.join(room, session: session, replay: replay) { [room] result in
            guard let client = session.client, client.session === session else { return }
            switch result {
            case .success(let outcome):
                let joined = ServerMessage.joined(
                    Joined(id: nil, room: room, position: outcome.position, recovered: outcome.recovered))
                var json = ByteBuffer()
                joined.write(into: &json)
                var frame = ByteBuffer()
                TextFrame.writeHeader(payload: json.readableBytes, into: &frame)
                frame.writeImmutableBuffer(json)
                hub.send(frame, to: session)
            case .failure:
                client.joinFailed()
            }
        }
    }

    func disconnect(_ client: SimulatedClient) {
        guard let session = client.session else { return }
        nodes[client.place.node].hubs[client.place.loop].leave(room, session: session)
        client.disconnect()
    }

    func becomesWritable(_ client: SimulatedClient) {
        guard let session = client.session else { return }
        session.writesLeft = .max
        guard !session.isWritable else { return }
        session.isWritable = true
        session.arrive()
        nodes[client.place.node].hubs[client.place.loop].writable(session)
    }

    /// Sends a message whose text is its `id`.
    func post(
        _ id: String, from client: SimulatedClient, isRetry: Bool = false,
        completion: @escaping (Result<Receipt, BrokerError>) -> Void = { _ in }
    ) {
        let hub = nodes[client.place.node].hubs[client.place.loop]
        hub.commands.append(
            draft(id, from: client, isRetry: isRetry), to: room, known: hub.known(of: room), completion: completion)
    }

    private func draft(_ id: String, from client: SimulatedClient, isRetry: Bool) -> Draft {
        let (body, length) = StoredMessage.render(
            room: room, user: client.user, id: RequestID(id), to: nil, content: Content(string: id))
        return Draft(
            body: body, identityLength: length, isRetry: isRetry,
            exceptFor: client.wantsEcho ? nil : client.session?.id)
    }

    /// Another node, which knows no store but the present one, stores a message there.
    func postElsewhere(_ id: String) {
        _ = store.append([draft(id, from: SimulatedClient("other"), isRetry: false)], known: .zero, isSettled: true)
    }

    /// The texts in the log.
    var texts: [String] { log.map { Self.text(of: $0) } }

    static func text(of entry: LogEntry) -> String {
        var event = ByteBuffer()
        StoredMessage.write(entry.body, position: entry.position, time: entry.time, into: &event)
        guard case .message(let message) = try? ServerMessage.parse(event) else { return "?" }
        return message.text ?? "?"
    }
}

package import ChatProtocol
package import Logging
package import NIOCore

/// Gives orders to all nodes, and sees to it that this one does as ordered.
///
/// An order is written down, then published. A node that hears it carries it out and answers; one that was away reads
/// what it missed when its subscription stands again, and once a second looks whether there is something that it did not
/// hear. Who gave an order waits for the answers of all nodes that live.
///
/// `@unchecked Sendable`: confined to the broker's loop, where ``give(_:)`` and ``change(_:in:)`` hop, but for
/// ``sanctions``, which are locked.
package final class Moderator: @unchecked Sendable {
    package struct Settings: Sendable {
        /// How often this node looks for orders that it did not hear.
        package var auditInterval: TimeAmount = .seconds(1)
        /// How long an order waits for a node that lives and does not answer. More than a lease: who has died meanwhile is
        /// known by then.
        package var patience: TimeAmount = .seconds(4)
        /// How often it looks who lives.
        package var lookInterval: TimeAmount = .milliseconds(100)

        package init() {}
    }

    /// What came of an order.
    package struct Outcome: Sendable, Equatable {
        /// Sessions that ended or left a room, on all nodes.
        package var affected: Int
        /// Nodes that live and have not answered. They carry it out when they hear of it.
        package var silent: [String]

        package init(affected: Int, silent: [String]) {
            self.affected = affected
            self.silent = silent
        }
    }

    /// Does as ordered to the sessions of this node: to all of them, or those that are at least so old. How many it
    /// concerned. Called on the broker's loop.
    package typealias Performer = @Sendable (Order, TimeAmount?) -> EventLoopFuture<Int>

    package let sanctions = Sanctions()
    package let eventLoop: any EventLoop
    private let broker: any ModeratedBroker
    private let store: any ModerationStore
    private let settings: Settings
    private let logger: Logger
    private var perform: Performer?
    /// By the numbers of the orders.
    private var tallies: [UInt64: OrderTally] = [:]
    private var awaited: [UInt64: EventLoopPromise<Outcome>] = [:]
    /// Of the orders that were read last.
    private var version: UInt64?
    private var isReading = false
    private var isToBeReadAgain = false

    package init(broker: any ModeratedBroker, settings: Settings = Settings(), logger: Logger) {
        self.broker = broker
        self.store = broker.moderation
        self.eventLoop = broker.eventLoop
        self.settings = settings
        self.logger = logger
    }

    /// Begins to hear orders, and to read those that were given before.
    package func start(_ perform: @escaping Performer) -> EventLoopFuture<Void> {
        eventLoop.submit { [self] in
            self.perform = perform
            broker.subscribe(to: .control)
            eventLoop.scheduleRepeatedTask(initialDelay: .zero, delay: settings.auditInterval) { [weak self] _ in
                self?.read()
            }
        }
    }

    // MARK: - Giving

    /// Gives an order to all nodes; from any thread. Fails when it could not be written down.
    package func give(_ order: Order) -> EventLoopFuture<Outcome> {
        eventLoop.flatSubmit { [self] in
            // Asked before: a node that registers afterwards reads the order.
            let living = store.nodes()
            return store.give(order).and(living).flatMap { [self] number, living in
                // It may have been heard by now, or this node's subscription may be away.
                carryOut(GivenOrder(order, number: number, age: 0, left: order.duration), age: nil)
                remember(number)
                tallies[number]?.live(living)
                let promise = eventLoop.makePromise(of: Outcome.self)
                awaited[number] = promise
                eventLoop.scheduleTask(in: settings.patience) { [self] in finish(number) }
                look(after: number)
                return promise.futureResult
            }
        }
    }

    /// Ends the waiting when all have answered, or else looks again who lives.
    private func look(after number: UInt64) {
        guard awaited[number] != nil else { return }
        if tallies[number]?.isComplete == true { return finish(number) }
        eventLoop.scheduleTask(in: settings.lookInterval) { [self] in
            guard awaited[number] != nil else { return }
            store.nodes().whenComplete { [self] result in
                if case .success(let nodes) = result { tallies[number]?.live(nodes) }
                look(after: number)
            }
        }
    }

    private func finish(_ number: UInt64) {
        guard let promise = awaited.removeValue(forKey: number) else { return }
        let tally = tallies[number] ?? OrderTally()
        if !tally.silent.isEmpty {
            logger.warning("Nodes that live have not answered an order", metadata: ["nodes": "\(tally.silent)"])
        }
        promise.succeed(Outcome(affected: tally.affected, silent: tally.silent))
    }

    /// Changes a room's rules, and tells all of them; nil: only tells. From any thread.
    package func change(_ change: RuleChange?, in room: RoomName) -> EventLoopFuture<RoomRules> {
        eventLoop.flatSubmit { [store] in store.change(change, in: room) }
    }

    private func answered(_ answer: OrderAnswer) {
        // Maybe before the order's giver, which may be this node, knows its number.
        remember(answer.number)
        tallies[answer.number]?.answered(answer.node, affected: answer.affected)
        if tallies[answer.number]?.isComplete == true { finish(answer.number) }
    }

    /// Keeps a tally for longer than anybody waits for it.
    private func remember(_ number: UInt64) {
        guard tallies[number] == nil else { return }
        tallies[number] = OrderTally()
        eventLoop.scheduleTask(in: settings.patience * 2) { [self] in tallies[number] = nil }
    }

    // MARK: - Hearing

    func received(_ event: ControlEvent) {
        switch event {
        case .order(let given): carryOut(given, age: nil)
        case .answer(let answer): answered(answer)
        case .displaced(let session, let room, let prohibition):
            let reason = prohibition == .full ? "the room is full" : nil
            _ = perform?(Order(.place(of: session, in: room), reason: reason, duration: 0), nil)
        }
    }

    /// The subscription stands, maybe again, or the store is another one: there may be orders that were not heard, and
    /// such as the store has lost.
    func mayHaveMissed() {
        version = nil
        read()
    }

    /// - Parameter age: of an order that was not heard but read: who came later is not meant by it.
    private func carryOut(_ given: GivenOrder, age: TimeAmount?) {
        guard sanctions.heard(given, at: eventLoop.now) else { return }
        done(given, age: age)
    }

    private func done(_ given: GivenOrder, age: TimeAmount?) {
        guard let perform, !given.order.isLifted else { return answer(given, affected: 0) }
        perform(given.order, age).hop(to: eventLoop).whenComplete { [self] result in
            switch result {
            case .success(let affected): answer(given, affected: affected)
            case .failure(let error): logger.error("An order was not carried out", metadata: ["error": "\(error)"])
            }
        }
    }

    private func answer(_ given: GivenOrder, affected: Int) {
        let answer = OrderAnswer(number: given.number, node: store.node, affected: affected)
        answered(answer)
        // Nobody waits for the others.
        if given.age <= UInt64(settings.patience.nanoseconds / 1_000_000) {
            store.answer(given.number, affected: affected)
        }
    }

    private func read() {
        guard !isReading else {
            isToBeReadAgain = true
            return
        }
        isReading = true
        store.orders(otherThan: version).whenComplete { [self] result in
            isReading = false
            switch result {
            case .success(let orders?): took(orders)
            case .success(nil): break
            case .failure(let error): logger.debug("Orders cannot be read", metadata: ["reason": "\(error)"])
            }
            guard isToBeReadAgain else { return }
            isToBeReadAgain = false
            read()
        }
    }

    private func took(_ orders: Orders) {
        version = orders.version
        let (news, missing) = sanctions.read(orders.all, at: eventLoop.now)
        for given in news { done(given, age: .milliseconds(Int64(clamping: given.age))) }
        guard !missing.isEmpty else { return }
        store.giveBack(missing).whenFailure { [self] error in
            logger.debug("Orders cannot be given back", metadata: ["reason": "\(error)"])
            version = nil
        }
    }
}

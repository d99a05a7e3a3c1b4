import ChatHub
import Hiredis
import Logging
import NIOCore

/// Asks the sentinels where the primary is: before each connection, and all the time, so that a demoted primary is left
/// at once, also while it goes on answering.
///
/// `@unchecked Sendable`: everything happens on the broker's loop; ``primary(for:)`` hops there.
final class SentinelGuide: @unchecked Sendable {
    /// A sentinel that does not answer for so long is passed over.
    static let patience = TimeAmount.milliseconds(500)
    private static let interval = TimeAmount.milliseconds(500)

    /// The primary is somewhere else than it was. On the broker's loop.
    var moved: (RedisURL.Endpoint) -> Void = { _ in }

    private let eventLoop: any EventLoop
    private let name: String
    private let links: [RedisLink]
    private let counters: RedisCounters
    private let logger: Logger
    private var view: SentinelView
    private var waiting: [EventLoopPromise<RedisURL.Endpoint>] = []
    /// By sentinel: it has not answered the last question.
    private var isAsked: [Bool]
    private var timer: RepeatedTask?

    /// - Parameter link: Makes a link to a sentinel.
    init(
        name: String, sentinels: [RedisURL.Endpoint], eventLoop: any EventLoop, counters: RedisCounters,
        logger: Logger, link: (RedisURL.Endpoint) -> RedisLink
    ) {
        self.name = name
        self.eventLoop = eventLoop
        self.links = sentinels.map(link)
        self.counters = counters
        self.logger = logger
        self.view = SentinelView(sentinels: sentinels.count)
        self.isAsked = Array(repeating: false, count: sentinels.count)
        for (number, link) in links.enumerated() {
            link.events.up = { [weak self] in self?.ask() }
            link.events.down = { [weak self] in self?.view.lost(number) }
            link.events.failureChanged = { [weak self] in self?.giveUp() }
        }
    }

    func start() {
        for link in links { link.start() }
        timer = eventLoop.scheduleRepeatedTask(initialDelay: Self.interval, delay: Self.interval) { [weak self] _ in
            self?.ask()
        }
    }

    func stop() {
        timer?.cancel()
        timer = nil
        for link in links { link.stop() }
        settle(.failure(.unavailable("this node is shutting down")))
    }

    /// Where the primary is, as the sentinels say now. Fails with why none of them can tell.
    func primary(for loop: any EventLoop) -> EventLoopFuture<RedisURL.Endpoint> {
        eventLoop.flatSubmit { [self] in
            let promise = eventLoop.makePromise(of: RedisURL.Endpoint.self)
            waiting.append(promise)
            ask()
            return promise.futureResult
        }.hop(to: loop)
    }

    /// Asks all sentinels that can be asked, but for those that have not answered the last question.
    private func ask() {
        for number in links.indices where links[number].isUp && !isAsked[number] { ask(number) }
        giveUp()
    }

    private func ask(_ number: Int) {
        isAsked[number] = true
        var master = Reply.null
        links[number].send(["SENTINEL", "MASTER", .text(name)]) { result in
            if case .success(let reply) = result { master = reply }
        }
        links[number].send(["SENTINEL", "GET-MASTER-ADDR-BY-NAME", .text(name)]) { [self] result in
            isAsked[number] = false
            guard case .success(let reply) = result else { return giveUp() }
            answered(number, SentinelView.Answer(master: master, address: reply))
        }
    }

    private func answered(_ number: Int, _ answer: SentinelView.Answer?) {
        let isBest = view.answered(number, answer)
        if let primary = view.news() {
            counters.topologyChanges.add()
            logger.notice("The sentinels name another primary", metadata: ["primary": "\(primary)"])
            moved(primary)
        }
        if isBest, let primary = view.primary { settle(.success(primary)) } else { giveUp() }
    }

    /// Tells who waits what is known, when no answer is to be expected any more.
    private func giveUp() {
        guard !waiting.isEmpty, !isAsked.contains(true) else { return }
        guard links.allSatisfy({ $0.isUp || $0.failure != RedisLink.notConnectedYet }) else { return }
        settle(view.primary.map { .success($0) } ?? .failure(whyNot))
    }

    private func settle(_ result: Result<RedisURL.Endpoint, BrokerError>) {
        let promises = waiting
        waiting.removeAll()
        for promise in promises {
            switch result {
            case .success(let endpoint): promise.succeed(endpoint)
            case .failure(let error): promise.fail(error)
            }
        }
    }

    private var whyNot: BrokerError {
        if links.contains(where: \.isUp) { return .unavailable("no sentinel knows a primary called \(name)") }
        let first = links.first.map { "\($0.endpoint?.description ?? "the first"): \($0.failure ?? "")" }
        return .unavailable("no sentinel answers; \(first ?? "none is configured")")
    }
}
